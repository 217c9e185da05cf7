// Package netadapter makes the host's TCP connections look like those of package net, for libraries that take a function to
// dial with. Start with [Dial]. It is a package of its own because a sandboxed guest is smaller without package net.
package netadapter

import (
	"context"
	"fmt"
	"net"

	"github.com/narthex-io/narthex/sdk"
)

// Dial returns a function that connects through the host, of the form that libraries want. Networks other than tcp, tcp4 and
// tcp6, which are all one here, are an error.
func Dial(dial sdk.DialFunc) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		switch network {
		case "tcp", "tcp4", "tcp6":
		default:
			return nil, fmt.Errorf("dial %s %s: the host connects over TCP alone", network, address)
		}
		c, err := dial(ctx, address)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Addr: Address(address), Err: err}
		}
		return Conn{c}, nil
	}
}

// Conn is a net.Conn.
type Conn struct{ sdk.Conn }

// LocalAddr implements net.Conn; the host does not tell its own address.
func (Conn) LocalAddr() net.Addr { return Address("host") }

// RemoteAddr implements net.Conn.
func (c Conn) RemoteAddr() net.Addr { return Address(c.RemoteAddress()) }

// Address is a net.Addr.
type Address string

// Network implements net.Addr.
func (Address) Network() string { return "tcp" }

// String implements net.Addr.
func (a Address) String() string { return string(a) }
