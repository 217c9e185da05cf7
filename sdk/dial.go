package sdk

import (
	"context"
	"io"
	"time"
)

// DialFunc connects to a granted target, host:port, over TCP. The caller closes the connection.
type DialFunc func(ctx context.Context, target string) (Conn, error)

// Conn is a TCP connection that the host holds. It has the methods of a net.Conn but for those with an address: package
// sdk/guest/netadapter makes one of it, for libraries. Reading and writing may run at once, and each from several goroutines.
// The host reads no further ahead than what is asked for, and a write returns when the system has taken it.
type Conn interface {
	io.ReadWriteCloser
	// CloseWrite ends what is written: the other side comes to an end of file, and reading goes on.
	CloseWrite() error
	// SetDeadline sets the time after which reads and writes, also those that wait, fail with os.ErrDeadlineExceeded; the zero
	// time is none. SetReadDeadline and SetWriteDeadline do it for one of them.
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	// RemoteAddress is the address that was connected to, as ip:port.
	RemoteAddress() string
}
