package framegrpc

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Started reports whether a host started this process, rather than a person.
func Started() bool { return os.Getenv(CookieKey) == CookieValue }

// Serve serves one stream with handle as a plugin's process, and does not return: the process ends with status 0 after handle
// returned nil, else with 1. Standard input is the lifeline: the host holds its other end, and its end of file means that
// the host has finished with the process, or died.
func Serve(handle func(ctx context.Context, s Stream) error) { serve(&served{handle: handle}) }

// ServeShared is Serve for a process that serves several streams at a time, each with a handle of its own. Its status is that of the
// stream which ended last.
func ServeShared(handle func(ctx context.Context, s Stream) error) {
	serve(&served{handle: handle, several: true})
}

func serve(s *served) {
	go plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  ProtocolVersion,
			MagicCookieKey:   CookieKey,
			MagicCookieValue: CookieValue,
		},
		Plugins: plugin.PluginSet{PluginName: &grpcPlugin{served: s}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, ServerOptions()...)...)
		},
		Logger: hclog.NewNullLogger(),
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
	if !s.orderly.Load() {
		os.Exit(1)
	}
	os.Exit(0)
}

// served is the one stream that a process serves, or several of them.
type served struct {
	handle  func(ctx context.Context, s Stream) error
	several bool
	taken   atomic.Bool
	orderly atomic.Bool // handle returned nil
}

func (s *served) serve(ctx context.Context, stream Stream) error {
	if s.taken.Swap(true) && !s.several {
		return errors.New("the plugin is already serving")
	}
	err := s.handle(ctx, stream)
	s.orderly.Store(err == nil)
	return err
}

// grpcPlugin is the server's half of go-plugin's interface.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	served *served
}

// GRPCServer implements plugin.GRPCPlugin.
func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	Register(s, p.served.serve)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin; a guest is no client.
func (*grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a guest serves only")
}
