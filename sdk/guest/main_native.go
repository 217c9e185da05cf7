//go:build !wasip1

package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
	"github.com/narthex-io/narthex/sdk/wire/framegrpc"
)

// Main serves p and does not return. Standard input is the lifeline: the host holds its other end, and its end of file
// means that the host has finished with the plugin, or died. Started by hand, it says what p is and exits.
func Main(p sdk.Plugin) {
	if os.Getenv(framegrpc.CookieKey) != framegrpc.CookieValue {
		fmt.Fprintln(os.Stderr, usage(p))
		os.Exit(1)
	}
	s := &served{plugin: p, stderr: os.Stderr} // before go-plugin replaces it
	go plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  framegrpc.ProtocolVersion,
			MagicCookieKey:   framegrpc.CookieKey,
			MagicCookieValue: framegrpc.CookieValue,
		},
		Plugins: plugin.PluginSet{framegrpc.PluginName: &grpcPlugin{served: s}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, framegrpc.ServerOptions()...)...)
		},
		Logger: hclog.NewNullLogger(),
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
	if !s.orderly.Load() {
		os.Exit(1)
	}
	os.Exit(0)
}

// served is the one stream that a process serves.
type served struct {
	plugin  sdk.Plugin
	stderr  *os.File
	taken   atomic.Bool
	orderly atomic.Bool // stopped as the host asked
}

func (s *served) serve(ctx context.Context, stream framegrpc.Stream) error {
	if s.taken.Swap(true) {
		return errors.New("the plugin is already serving")
	}
	err := Serve(ctx, &streamConn{stream: stream}, s.plugin, func(line []byte) { _, _ = s.stderr.Write(line) })
	s.orderly.Store(err == nil)
	return err
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

// grpcPlugin is the server's half of go-plugin's interface.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	served *served
}

// GRPCServer implements plugin.GRPCPlugin.
func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	framegrpc.Register(s, p.served.serve)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin; a guest is no client.
func (*grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a guest serves only")
}
