// Package process runs guests as child processes under hashicorp/go-plugin: native plugins, for what the sandbox cannot
// do. A child speaks the same frames as a sandboxed guest, on one gRPC stream over a Unix socket in a folder that only
// the host's user can enter.
//
// Start with [Start], whose [Child] is the transport of a host/plugin/session. A child is not sandboxed: it can do what
// the host's user can. It gets a small environment and not the host's, so that secrets there stay there. It ends with
// its host, however that ends: its standard input is a pipe whose end of file tells it to exit, and on Linux the kernel
// kills it when the host dies.
package process

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/narthex-io/narthex/host/plugin/session"
)

// exitGrace is how long a child whose stream has ended may take to exit.
const exitGrace = 2 * time.Second

var errClosed = &session.EndError{Reason: session.ReasonClosed}

// StartOptions configure one child. Zero fields mean the default in brackets.
type StartOptions struct {
	// Args are the child's arguments.
	Args []string
	// Reasons says that the child is the host's own code, which tells why the guest inside it ended: see [EncodeEnd].
	Reasons bool
	// Env are variables, as NAME=value, that the child gets besides a few of the host's: see environment.
	Env []string
	// MessageBytes is the largest payload from the child. [64 MiB]
	MessageBytes uint32
	// MemoryBytes is the most memory that no file backs; Go's runtime in the child tries to stay below nine tenths of it
	// (GOMEMLIMIT), and a child that has more is ended, where that is known. 0 is no limit.
	MemoryBytes uint64
	// StartTimeout is the time for the child's handshake. [15 s]
	StartTimeout time.Duration
	// Stderr gets what the child writes to stderr and stdout; nil discards it. It must bound the rate itself, as
	// session.Log does.
	Stderr io.Writer
}

func (o StartOptions) withDefaults() StartOptions {
	o.MessageBytes = cmp.Or(o.MessageBytes, 64<<20)
	o.StartTimeout = cmp.Or(o.StartTimeout, 15*time.Second)
	return o
}

// Child is a running process with one guest; it implements session.Transport.
type Child struct {
	program
	pipe
	reasons bool
}

// Start starts the executable at path and waits for its handshake. ctx bounds that and not the child's life; the caller
// closes the Child.
func Start(ctx context.Context, path string, o StartOptions) (*Child, error) {
	o = o.withDefaults()
	c := &Child{program: newProgram(path, o), pipe: newPipe(), reasons: o.Reasons}
	err := c.start(ctx, func(conn *grpc.ClientConn) error { return c.open(ctx, conn, o.MessageBytes) })
	if err != nil {
		if c.cancel != nil {
			c.cancel()
		}
		return nil, err
	}
	go c.run()
	return c, nil
}

// run moves frames until the stream ends, and then ends the process.
func (c *Child) run() {
	defer close(c.done)
	ended := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { c.write(ended) })
	over := uint64(0)
	writer.Go(func() { over = c.watchMemory(ended) })
	err := c.read()
	close(ended)
	c.runner.hangUp()
	if status.Code(err) == codes.OK || errors.Is(err, io.EOF) || status.Code(err) == codes.Unavailable {
		c.awaitExit()
	}
	c.cancel()
	natural := c.runner.end() // before the force below
	c.reap()
	writer.Wait()
	c.err = c.reason(err, natural)
	if over > 0 && !isClosed(c.closing) {
		c.err = c.memoryError(over)
	}
}

func (c *Child) awaitExit() {
	t := time.NewTimer(exitGrace)
	defer t.Stop()
	select {
	case <-c.runner.exited:
	case <-c.closing:
	case <-t.C:
	}
}

// reason says why the child ended, from the stream's error and from how the process ended by itself, if it did.
func (c *Child) reason(err error, natural *session.EndError) error {
	select {
	case <-c.closing:
		return errClosed
	default:
	}
	if end := decodeEnd(err); c.reasons && end != nil {
		return end
	}
	switch {
	case status.Code(err) == codes.ResourceExhausted:
		return &session.EndError{Reason: session.ReasonMessage, Detail: status.Convert(err).Message()}
	case natural != nil:
		return natural
	case errors.Is(err, io.EOF):
		return &session.EndError{Reason: session.ReasonDeadline, Detail: "ended its stream and did not exit"}
	default:
		return &session.EndError{Reason: session.ReasonError, Detail: status.Convert(err).Message()}
	}
}

// Close implements session.Transport.
func (c *Child) Close() error {
	c.once.Do(func() {
		close(c.closing)
		c.runner.kill()
		c.cancel()
	})
	<-c.done
	return nil
}
