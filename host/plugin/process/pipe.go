package process

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"github.com/narthex-io/narthex/sdk/wire"
	"github.com/narthex-io/narthex/sdk/wire/framegrpc"
)

// pipe moves frames over one stream of a process, and is the half of a session.Transport that needs no process.
type pipe struct {
	stream  grpc.ClientStream
	cancel  context.CancelFunc
	in, out chan wire.Frame // unbuffered: gRPC's window is the queue
	closing chan struct{}
	done    chan struct{} // closed when nothing of the guest runs any more; err is set before
	err     error
	once    sync.Once
}

func newPipe() pipe {
	return pipe{in: make(chan wire.Frame), out: make(chan wire.Frame), closing: make(chan struct{}), done: make(chan struct{})}
}

// open opens the stream, which cancel ends. ctx bounds the opening alone.
func (p *pipe) open(ctx context.Context, conn *grpc.ClientConn, messageBytes uint32) (err error) {
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	stop := context.AfterFunc(ctx, cancel)
	p.stream, err = framegrpc.Open(streamCtx, conn, int(messageBytes))
	if !stop() && err == nil {
		err = ctx.Err()
	}
	return err
}

// read passes frames on until the stream ends, and returns the stream's error. When the pipe is closing, nobody wants them.
func (p *pipe) read() error {
	for {
		f, err := framegrpc.Recv(p.stream)
		if err != nil {
			return err
		}
		select {
		case p.in <- f:
		case <-p.closing:
		}
	}
}

// write sends frames until the stream ends; the reader learns why. When the pipe is closing, the guest learns that nothing more
// comes.
func (p *pipe) write(ended <-chan struct{}) {
	for {
		select {
		case f := <-p.out:
			if framegrpc.Send(p.stream, f) != nil {
				<-ended
				return
			}
		case <-p.closing:
			_ = p.stream.CloseSend() // whoever closes looks at whether the guest ends
			<-ended
			return
		case <-ended:
			return
		}
	}
}

// Send implements session.Transport.
func (p *pipe) Send(ctx context.Context, f wire.Frame) error {
	select {
	case p.out <- f:
		return nil
	case <-p.done:
		return p.err
	case <-p.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Recv implements session.Transport.
func (p *pipe) Recv(ctx context.Context) (wire.Frame, error) {
	select {
	case f := <-p.in:
		return f, nil
	case <-p.done:
		return wire.Frame{}, p.err
	case <-ctx.Done():
		return wire.Frame{}, ctx.Err()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
