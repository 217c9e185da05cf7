//go:build unix

package wasm

import (
	"io/fs"
	"os"
	"syscall"
)

// isOurs reports whether a folder belongs to this process's user, and to nobody else.
func isOurs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}
