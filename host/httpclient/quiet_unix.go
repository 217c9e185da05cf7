//go:build unix

package httpclient

import (
	"errors"
	"syscall"
)

// isQuiet reports whether a connection is open and nothing waits to be read. It takes a byte from one that is not.
func isQuiet(raw syscall.RawConn) bool {
	quiet := false
	err := raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:])
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}
