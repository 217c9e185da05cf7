//go:build !unix

package httpclient

import "syscall"

// isQuiet cannot tell here, and hopes.
func isQuiet(syscall.RawConn) bool { return true }
