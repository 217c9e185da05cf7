//go:build !wasip1

package guest

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
	"github.com/narthex-io/narthex/sdk/wire/framegrpc"
)

// Main serves p and does not return. Started by hand, it says what p is and exits.
func Main(p sdk.Plugin) {
	if !framegrpc.Started() {
		fmt.Fprintln(os.Stderr, usage(p))
		os.Exit(1)
	}
	stderr := os.Stderr // before go-plugin replaces it
	serve := framegrpc.Serve
	if p.Manifest.Shared {
		serve = framegrpc.ServeShared
	}
	serve(func(ctx context.Context, stream framegrpc.Stream) error {
		return Serve(ctx, &streamConn{stream: stream}, p, func(line []byte) { _, _ = stderr.Write(line) })
	})
}

// streamConn makes a gRPC stream safe for concurrent sends.
type streamConn struct {
	stream framegrpc.Stream
	mu     sync.Mutex
}

// Send implements Conn.
func (c *streamConn) Send(f wire.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return framegrpc.Send(c.stream, f)
}

// Recv implements Conn.
func (c *streamConn) Recv() (wire.Frame, error) { return framegrpc.Recv(c.stream) }
