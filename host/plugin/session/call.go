package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/wire"
)

// call is one that the guest has not answered yet.
type call struct {
	answer  chan answer      // holds one, so that the receiver never waits
	updates chan []sdk.Group // nil unless it runs a discovery
	gone    chan struct{}    // closed when nobody waits for the call any more
}

type answer struct {
	body []byte
	err  error
}

// begun is a call before it is sent.
type begun struct {
	method  string
	fields  []wire.Field
	body    []byte
	updates chan []sdk.Group // for a discovery
	left    time.Duration    // for the call; 0 means no limit
}

type discovery struct{ s *Session }

// Run implements sdk.Discovery.
func (d discovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	s := d.s
	id, c, err := s.begin(ctx, begun{method: wire.MethodRun, updates: make(chan []sdk.Group)})
	if err != nil {
		return err
	}
	for {
		select {
		case g := <-c.updates:
			select {
			case updates <- g:
				continue
			case <-ctx.Done():
			}
		case a := <-c.answer:
			return a.err
		case <-s.done:
			return s.goneError()
		case <-ctx.Done():
		}
		s.abandon(context.WithoutCancel(ctx), id, c)
		return ctx.Err()
	}
}

// call calls a method and waits for the answer, for ctx and for the call timeout.
func (s *Session) call(ctx context.Context, method string, body []byte, fields ...wire.Field) ([]byte, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.limits.CallTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	id, c, err := s.begin(ctx, begun{method: method, fields: fields, body: body, left: time.Until(deadline)})
	if err != nil {
		return nil, s.failed(s.expired(ReasonQueue, err, time.Since(start)))
	}
	select {
	case a := <-c.answer:
		if len(a.body) > int(s.limits.OutputBytes) && a.err == nil {
			a.err = &LimitError{Reason: ReasonOutput, Err: fmt.Errorf("plugin %s: %d bytes of output are more than the limit of %d",
				s.manifest.Name, len(a.body), s.limits.OutputBytes)}
		}
		return a.body, s.failed(s.expired(ReasonDeadline, a.err, time.Since(start)))
	case <-s.done:
		return nil, s.failed(s.goneError())
	case <-ctx.Done():
		background := context.WithoutCancel(ctx)
		if !s.goWork(func() { s.abandon(background, id, c) }) {
			return nil, s.failed(s.goneError())
		}
		return nil, s.failed(s.expired(ReasonDeadline, fmt.Errorf("call plugin %s: %w", s.manifest.Name, ctx.Err()), time.Since(start)))
	}
}

// expired makes a *[LimitError] of err when it was the guest's own time for a call that is over, and not its caller's.
// A guest that keeps to the time, which it gets in whole milliseconds, says itself that it is over.
func (s *Session) expired(r Reason, err error, took time.Duration) error {
	if err == nil || took < s.limits.CallTimeout-time.Millisecond || ReasonOf(err) != "" {
		return err
	}
	return &LimitError{Reason: r, Err: err}
}

func (s *Session) failed(err error) error {
	if err != nil {
		s.stats.callsFailed.Add(1)
	}
	return err
}

// begin registers a call and sends it.
func (s *Session) begin(ctx context.Context, b begun) (uint32, *call, error) {
	head := wire.Head{Line: b.method, Fields: b.fields}
	if b.left > 0 {
		head.AddUint(wire.FieldTimeoutMillis, uint64(max(b.left.Milliseconds(), 1)))
	}
	const usual = 128 // bytes of a head
	payload, err := head.Append(make([]byte, 0, usual+len(b.body)))
	if err != nil {
		return 0, nil, fmt.Errorf("call plugin %s: %w", s.manifest.Name, err)
	}
	payload = append(payload, b.body...)
	c := &call{answer: make(chan answer, 1), updates: b.updates, gone: make(chan struct{})}
	s.mu.Lock()
	if s.over || s.stopping {
		s.mu.Unlock()
		return 0, nil, s.goneError()
	}
	for s.seq++; s.seq == 0 || s.calls[s.seq] != nil; s.seq++ {
	}
	id := s.seq
	s.calls[id] = c
	s.mu.Unlock()
	s.stats.calls.Add(1)
	if err := s.send(ctx, wire.Frame{Type: wire.Call, ID: id, Payload: payload}); err != nil {
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
		return 0, nil, fmt.Errorf("call plugin %s: %w", s.manifest.Name, s.orGone(err))
	}
	return id, c, nil
}

// abandon cancels a call that nobody waits for any more, and ends a guest that does not answer it in the grace time.
func (s *Session) abandon(ctx context.Context, id uint32, c *call) {
	close(c.gone)
	ctx, cancel := context.WithTimeout(ctx, s.limits.Grace)
	defer cancel()
	end := &EndError{Reason: ReasonDeadline, Detail: fmt.Sprintf("did not answer a cancelled call within %v", s.limits.Grace)}
	if s.send(ctx, wire.Frame{Type: wire.Cancel, ID: id}) != nil {
		end = &EndError{Reason: ReasonQueue, Detail: fmt.Sprintf("did not read what waits for it within %v", s.limits.Grace)}
	} else {
		select {
		case <-c.answer:
			return
		case <-s.ended:
			return
		case <-ctx.Done():
		}
	}
	select {
	case <-s.ended: // The session is being closed, which is why nothing could be sent.
		return
	default:
	}
	s.fail(end)
}

// goneError says why the session cannot be used.
func (s *Session) goneError() error {
	if err := s.Err(); err != nil {
		return fmt.Errorf("plugin %s: %w", s.manifest.Name, err)
	}
	return fmt.Errorf("plugin %s: %w", s.manifest.Name, ErrStopped)
}

// orGone returns why the session ended if it did, which says more than the error of the send that noticed it.
func (s *Session) orGone(err error) error {
	if end := s.Err(); end != nil {
		return end
	}
	return err
}

// ErrStopped is the error for calls to a session that was closed in an orderly way.
var ErrStopped = errors.New("stopped")

// goWork runs f in a goroutine that the session waits for, unless it is over; then it reports false.
func (s *Session) goWork(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	s.work.Go(f)
	return true
}
