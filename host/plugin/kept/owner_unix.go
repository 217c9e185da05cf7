//go:build unix

package kept

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// CheckOwner returns why what is in a folder may come from anybody: it belongs to another user who is not root, or all may write to it.
// What is executed, or trusted otherwise, must not come from there. A group may write, because Kubernetes gives volumes to one. A folder
// that cannot be looked at is an error, too.
func CheckOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user: remove it, or name another folder", dir)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("anybody may write to %s: take that away (chmod o-w), or name another folder", dir)
	}
	return nil
}

// IsPrivate reports whether a folder belongs to this process's user, and to nobody else.
func IsPrivate(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}
