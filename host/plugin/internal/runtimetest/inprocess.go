package runtimetest

import (
	"context"
	"errors"
	"sync"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest"
	"github.com/narthex-io/narthex/sdk/wire"
)

// InProcess is a guest in goroutines of the test, behind the same frames; it implements session.Transport.
type InProcess struct {
	in, out chan wire.Frame
	closing chan struct{}
	done    chan struct{}
	err     error
	once    sync.Once
}

// NewInProcess starts p. Its log lines go to lines.
func NewInProcess(p sdk.Plugin, lines func([]byte)) *InProcess {
	return NewScripted(func(c guest.Conn) error { return guest.Serve(context.Background(), c, p, lines) })
}

// NewScripted starts a guest whose side of the protocol is script. When that returns, the guest has ended.
func NewScripted(script func(guest.Conn) error) *InProcess {
	t := &InProcess{
		in: make(chan wire.Frame), out: make(chan wire.Frame, 16),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	go func() {
		defer close(t.done)
		end := &session.EndError{Reason: session.ReasonExit, Detail: "exit status 0"}
		if err := script(inProcessConn{t}); err != nil {
			end = &session.EndError{Reason: session.ReasonClosed, Detail: err.Error()}
		}
		t.err = end
	}()
	return t
}

// Send implements session.Transport.
func (t *InProcess) Send(ctx context.Context, f wire.Frame) error {
	select {
	case t.out <- f:
		return nil
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Recv implements session.Transport.
func (t *InProcess) Recv(ctx context.Context) (wire.Frame, error) {
	select {
	case f := <-t.in:
		return f, nil
	case <-t.done:
		return wire.Frame{}, t.err
	case <-ctx.Done():
		return wire.Frame{}, ctx.Err()
	}
}

// Close implements session.Transport. A plugin in the test's own process can't be killed, only asked.
func (t *InProcess) Close() error {
	t.once.Do(func() { close(t.closing) })
	<-t.done
	return nil
}

type inProcessConn struct{ t *InProcess }

var errConnClosed = errors.New("connection closed")

// Send implements guest.Conn.
func (c inProcessConn) Send(f wire.Frame) error {
	select {
	case c.t.in <- f:
		return nil
	case <-c.t.closing:
		return errConnClosed
	}
}

// Recv implements guest.Conn.
func (c inProcessConn) Recv() (wire.Frame, error) {
	select {
	case f := <-c.t.out:
		return f, nil
	case <-c.t.closing:
		return wire.Frame{}, errConnClosed
	}
}
