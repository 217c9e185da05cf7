package grant

import (
	"os"
	"syscall"
)

// procMagic is what statfs calls the kernel's file system of processes, wherever it is mounted.
const procMagic = 0x9fa0

// isProc reports whether f tells about processes: the server's own environment and memory among them.
func isProc(f *os.File) bool {
	var s syscall.Statfs_t
	for {
		err := syscall.Fstatfs(int(f.Fd()), &s)
		if err != syscall.EINTR {
			return err == nil && int64(s.Type) == procMagic //nolint:unconvert // not everywhere
		}
	}
}
