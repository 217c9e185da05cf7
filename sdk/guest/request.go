package guest

import (
	"context"
	"errors"

	"github.com/narthex-io/narthex/sdk/wire"
)

var errGone = errors.New("the host is gone")

// open reserves an id for a request to the host, and a channel for its answers. Each request has at most three answers
// under way (a last one, and one for each direction of a connection; or, for a watch, one change), so the loop never waits to
// deliver one.
func (g *guest) open() (uint32, chan wire.Frame, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return 0, nil, errGone
	}
	for g.seq++; g.seq == 0 || g.requests[g.seq] != nil; g.seq++ {
	}
	c := make(chan wire.Frame, 3)
	g.requests[g.seq] = c
	return g.seq, c, nil
}

// drop forgets a request; answers that are still on the way are discarded.
func (g *guest) drop(id uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.requests, id)
}

// deliver hands an answer to the request that waits for it.
func (g *guest) deliver(f wire.Frame) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.requests[f.ID]; c != nil {
		select {
		case c <- f:
		default: // only changes of a watch come unasked, and one unread change says it all
		}
	}
}

// failRequests wakes everyone who waits for an answer that cannot come any more.
func (g *guest) failRequests() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for id, c := range g.requests {
		delete(g.requests, id)
		close(c)
	}
}

// await returns the next answer on c.
func await(ctx context.Context, c <-chan wire.Frame) (wire.Frame, error) {
	select {
	case f, ok := <-c:
		if !ok {
			return f, errGone
		}
		return f, nil
	case <-ctx.Done():
		return wire.Frame{}, ctx.Err()
	}
}

// acquire takes a place in a semaphore.
func acquire(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// goWork runs f in a goroutine that Serve waits for, unless the guest is ending; then it reports false.
func (g *guest) goWork(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.work.Go(f)
	return true
}
