// Package framegrpc carries frames over one bidirectional gRPC stream, as native plugins do under hashicorp/go-plugin:
// the service, its codec and the handshake that both sides need.
//
// Start with [Register] in a guest and [Open] in a host. A message of the stream is a frame as package wire encodes it,
// not protobuf. Wasm guests never link this package.
package framegrpc

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/narthex-io/narthex/sdk/wire"
)

// The handshake of go-plugin. The cookie tells a start by a host from one by hand; it is no secret.
const (
	ProtocolVersion = wire.ABI
	CookieKey       = "NARTHEX_PLUGIN"
	CookieValue     = "nx1"
	// PluginName is the name under which the stream is dispensed.
	PluginName = "frames"
)

const (
	serviceName = "narthex.nx1.Guest"
	streamName  = "Frames"
)

// Stream is one side's end of the stream, of which [grpc.ServerStream] and [grpc.ClientStream] are examples. Sending
// and receiving may run at once; two sends or two receives may not.
type Stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// Send sends f.
func Send(s Stream, f wire.Frame) error { return s.SendMsg(&f) }

// Recv receives a frame, whose payload the caller owns.
func Recv(s Stream) (wire.Frame, error) {
	var f wire.Frame
	err := s.RecvMsg(&f)
	return f, err
}

// Register makes s serve the stream with handle, which is called for each stream that the host opens.
func Register(s grpc.ServiceRegistrar, handle func(ctx context.Context, s Stream) error) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName:    streamName,
			ServerStreams: true,
			ClientStreams: true,
			Handler:       func(_ any, stream grpc.ServerStream) error { return handle(stream.Context(), stream) },
		}},
	}, nil)
}

// ServerOptions are what a guest's gRPC server needs for the stream.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.MaxSendMsgSize(math.MaxInt32),
	}
}

// Open opens the stream on conn. A frame from the guest of more than maxBytes ends it with codes.ResourceExhausted.
// The stream ends with ctx.
func Open(ctx context.Context, conn grpc.ClientConnInterface, maxBytes int) (grpc.ClientStream, error) {
	desc := &grpc.StreamDesc{StreamName: streamName, ServerStreams: true, ClientStreams: true}
	return conn.NewStream(ctx, desc, "/"+serviceName+"/"+streamName,
		grpc.ForceCodecV2(newCodec()),
		grpc.MaxCallRecvMsgSize(maxBytes+wire.HeaderSize),
		grpc.MaxCallSendMsgSize(math.MaxInt32))
}

// codec encodes frames itself and leaves go-plugin's own services to protobuf.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2; the payload is not copied.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*wire.Frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	header := wire.AppendHeader(make([]byte, 0, wire.HeaderSize), *f)
	return mem.BufferSlice{mem.SliceBuffer(header), mem.SliceBuffer(f.Payload)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*wire.Frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	parsed, err := wire.ParseFrame(data.Materialize())
	if err != nil {
		return fmt.Errorf("decode frame: %w", err)
	}
	*f = parsed
	return nil
}
