package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/narthex-io/narthex/host/plugin/session"
)

// partGrace is how long a guest of a shared process may take to end its stream when the host does not want it any more. One that takes
// longer is ended with the process, and with all that share it: there is no other way.
const partGrace = time.Second

// Shared is a running process with several guests, each on a stream of its own.
type Shared struct {
	program
	conn         *grpc.ClientConn
	messageBytes uint32
	done         chan struct{} // closed when the process has been waited for; why is set before

	mu  sync.Mutex
	why error // the process ended, or is being ended
}

// StartShared starts the executable at path and waits for its handshake; its guests are those that [Shared.Open] opens. ctx bounds
// the start and not the process's life; the caller closes it.
func StartShared(ctx context.Context, path string, o StartOptions) (*Shared, error) {
	o = o.withDefaults()
	s := &Shared{program: newProgram(path, o), messageBytes: o.MessageBytes, done: make(chan struct{})}
	err := s.start(ctx, func(conn *grpc.ClientConn) error {
		s.conn = conn
		return nil
	})
	if err != nil {
		return nil, err
	}
	go s.run()
	return s, nil
}

// run waits for the process's end.
func (s *Shared) run() {
	defer close(s.done)
	ended := make(chan struct{})
	var watch sync.WaitGroup
	over := uint64(0)
	watch.Go(func() { over = s.watchMemory(ended) })
	<-s.runner.exited
	close(ended)
	watch.Wait()
	natural := s.runner.end()
	s.reap()
	switch {
	case over > 0:
		s.note(s.memoryError(over))
	case natural != nil:
		s.note(natural)
	default:
		s.note(&session.EndError{Reason: session.ReasonTrap, Detail: "the process was killed"})
	}
}

// note remembers why the process ends; the first reason counts.
func (s *Shared) note(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why == nil {
		s.why = why
	}
}

// end ends the process by force and waits for that.
func (s *Shared) end(why error) {
	s.note(why)
	s.runner.kill()
	<-s.done
}

// Err returns why the process ended, or is about to; nil while guests can be opened.
func (s *Shared) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// Close ends the process, in an orderly way where it can, and waits for that. Guests that are left end with it.
func (s *Shared) Close() error {
	s.note(errClosed)
	s.runner.hangUp()
	t := time.NewTimer(exitGrace)
	defer t.Stop()
	select {
	case <-s.done:
	case <-t.C:
		s.end(errClosed)
	}
	return nil
}

// Stream is one guest of a [Shared] process; it implements session.Transport.
type Stream struct {
	pipe
	shared *Shared
}

// Open opens a stream to a guest of its own in the process. ctx bounds the opening; the caller closes the Stream.
func (s *Shared) Open(ctx context.Context) (*Stream, error) {
	t := &Stream{pipe: newPipe(), shared: s}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if err := t.open(ctx, s.conn, s.messageBytes); err != nil {
		t.cancel()
		return nil, errors.Join(fmt.Errorf("open a stream to plugin process %d: %w", s.PID(), err), s.Err())
	}
	go t.run()
	return t, nil
}

// run moves frames until the stream ends.
func (t *Stream) run() {
	defer close(t.done)
	ended := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { t.write(ended) })
	err := t.read()
	close(ended)
	t.cancel()
	writer.Wait()
	t.err = t.reason(err)
}

// reason says why the stream ended. When the connection broke, the process is gone, or no good any more.
func (t *Stream) reason(err error) error {
	switch code := status.Code(err); {
	case isClosed(t.closing):
		return errClosed
	case errors.Is(err, io.EOF):
		return &session.EndError{Reason: session.ReasonError, Detail: "ended its stream"}
	case code == codes.ResourceExhausted:
		return &session.EndError{Reason: session.ReasonMessage, Detail: status.Convert(err).Message()}
	case code == codes.Unavailable || code == codes.Canceled:
		return t.shared.broken(err)
	}
	return &session.EndError{Reason: session.ReasonError, Detail: status.Convert(err).Message()}
}

// broken waits for the end of a process whose connection broke, and returns why it ended.
func (s *Shared) broken(err error) error {
	t := time.NewTimer(exitGrace)
	defer t.Stop()
	select {
	case <-s.done:
	case <-t.C:
		s.end(&session.EndError{Reason: session.ReasonError, Detail: status.Convert(err).Message()})
	}
	return s.Err()
}

// Close implements session.Transport: it has the guest end its stream, and ends the process when it does not.
func (t *Stream) Close() error {
	t.once.Do(func() { close(t.closing) })
	grace := time.NewTimer(partGrace)
	defer grace.Stop()
	select {
	case <-t.done:
	case <-grace.C:
		t.shared.end(&session.EndError{
			Reason: session.ReasonSibling, Detail: "shared its process with a guest that had to be ended and did not let go",
		})
		<-t.done
	}
	return nil
}

// PID returns the id of the process that the guest shares.
func (t *Stream) PID() int { return t.shared.PID() }
