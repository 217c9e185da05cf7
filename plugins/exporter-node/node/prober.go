//go:build linux

package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// errMountTimeout is an answer for a file system that gives none.
var errMountTimeout = errors.New("mountpoint timeout")

// prober calls statfs(2) without depending on its return, which a network file system whose server is gone may put off
// for ever, in a state in which nothing can interrupt it.
//
// Each path has at most one call under way, which concurrent scrapes share, so that a dead mount costs one goroutine
// (and its thread) however often it is scraped. That goroutine is the only one in the package that a scrape does not
// wait for; it ends when the kernel lets go, and from then on the path is measured again.
type prober struct {
	statfs  func(path string, buf *unix.Statfs_t) error
	timeout time.Duration // Of one scrape for all its paths together.

	mu    sync.Mutex
	calls map[string]*statfsCall // Those under way.
}

type statfsCall struct {
	started time.Time
	done    chan struct{} // Closed when answer is there.
	answer  answer
}

// answer is what statfs said; stat means nothing when err is set.
type answer struct {
	stat unix.Statfs_t
	err  error
}

// ask returns an answer for each path, in their order. It waits for slow ones until the timeout or half of the time
// that ctx leaves, whichever is shorter, and does not wait at all for one that outlasted a timeout before. It fails
// only when ctx is done.
func (p *prober) ask(ctx context.Context, paths []string) ([]answer, error) {
	calls := make([]*statfsCall, len(paths))
	for i, path := range paths {
		calls[i] = p.call(path)
	}
	timeout := p.timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)/2)
	}
	limit, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answers := make([]answer, len(calls))
	for i, c := range calls {
		answers[i] = c.wait(limit, p.timeout)
	}
	return answers, ctx.Err()
}

// call starts a call for path or joins the one under way.
func (p *prober) call(path string) *statfsCall {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.calls[path]; ok {
		return c
	}
	if p.calls == nil {
		p.calls = make(map[string]*statfsCall)
	}
	c := &statfsCall{started: time.Now(), done: make(chan struct{})}
	p.calls[path] = c
	go func() {
		c.answer.err = p.statfs(path, &c.answer.stat)
		p.mu.Lock()
		delete(p.calls, path)
		p.mu.Unlock()
		close(c.done)
	}()
	return c
}

func (c *statfsCall) wait(ctx context.Context, timeout time.Duration) answer {
	select {
	case <-c.done:
		return c.answer
	default:
	}
	if time.Since(c.started) >= timeout {
		return answer{err: errMountTimeout}
	}
	select {
	case <-c.done:
		return c.answer
	case <-ctx.Done():
		return answer{err: errMountTimeout}
	}
}
