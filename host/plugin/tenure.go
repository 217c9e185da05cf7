package plugin

import (
	"context"
	"sync"
	"time"
)

// tenure ends a unit in three steps: retire (nobody new), close (now), ended (nothing runs).
type tenure struct {
	retiring chan struct{} // closed when the config no longer uses the unit
	closing  chan struct{} // closed when everything has to end at once
	ended    chan struct{} // closed when it is retired and the last user has left

	mu    sync.Mutex
	users int
	gone  func()
}

func newTenure() *tenure {
	return &tenure{retiring: make(chan struct{}), closing: make(chan struct{}), ended: make(chan struct{})}
}

// enter counts a user, unless the unit is retired.
func (t *tenure) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if isClosed(t.retiring) {
		return false
	}
	t.users++
	return true
}

func (t *tenure) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users--
	t.check()
}

// retire lets nobody enter any more. gone may be nil; it is called once, when the last user leaves.
func (t *tenure) retire(gone func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if isClosed(t.ended) {
		if gone != nil {
			gone()
		}
		return
	}
	if gone != nil {
		t.gone = gone
	}
	if !isClosed(t.retiring) {
		close(t.retiring)
	}
	t.check()
}

// close retires, hurries, and waits.
func (t *tenure) close() {
	t.mu.Lock()
	if !isClosed(t.closing) {
		close(t.closing)
	}
	t.mu.Unlock()
	t.retire(nil)
	<-t.ended
}

func (t *tenure) check() {
	if t.users > 0 || !isClosed(t.retiring) || isClosed(t.ended) {
		return
	}
	if t.gone != nil {
		t.gone()
	}
	close(t.ended)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// until returns a context that ends with ctx and when stop is closed. The caller calls the function.
func until(ctx context.Context, stop <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		watch.Wait()
	}
}

// drained returns a channel that is closed at once when the unit has to close, and some time after it was retired. Its
// goroutine ends when the channel is closed.
func (t *tenure) drained(d time.Duration) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		defer close(out)
		select {
		case <-t.closing:
			return
		case <-t.retiring:
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-t.closing:
		case <-timer.C:
		}
	}()
	return out
}
