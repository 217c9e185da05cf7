package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// drainTime is how long a retired unit still answers, so that whoever has not switched to its successor yet does
// not miss a scrape or lose a batch.
const drainTime = 10 * time.Second

// callee is a unit whose guest is called, and may come and go: of any kind but a discovery.
type callee struct {
	unit   *unit
	tenure *tenure

	mu      sync.Mutex
	current *lease        // nil while there is no guest
	changed chan struct{} // closed when current changes
}

// lease is a guest and the calls that run on it.
type lease struct {
	guest
	calls sync.WaitGroup
}

func newCallee(u *unit) callee {
	return callee{unit: u, tenure: newTenure(), changed: make(chan struct{})}
}

// Fingerprint changes when the plugin's file, its settings or the use's config do.
func (c *callee) Fingerprint() string { return c.unit.fingerprint }

// call calls f with the guest. While the guest is being restarted, and after the unit is gone, it returns an error that
// names the plugin and the reason.
func (c *callee) call(f func(guest) error) error {
	l := c.borrow()
	if l == nil {
		if isClosed(c.tenure.ended) || c.unit.err() == nil {
			return fmt.Errorf("plugin %s: %w", c.unit.file.name, ErrClosed)
		}
		return fmt.Errorf("plugin %s is being restarted: %w", c.unit.file.name, c.unit.err())
	}
	defer l.calls.Done()
	start := time.Now()
	err := f(l.guest)
	failed := err
	if isVerdict(err) {
		failed = nil // The plugin has done its work.
	}
	c.unit.catalogue.metrics.observe(c.unit.file.name, time.Since(start), failed)
	if limit, ok := errors.AsType[*session.LimitError](err); ok {
		c.unit.exceeded(limit)
	}
	return err
}

// isVerdict reports whether err says that a request is refused.
func isVerdict(err error) bool {
	_, unauthenticated := sdk.IsUnauthenticated(err)
	return unauthenticated || sdk.IsForbidden(err)
}

func (c *callee) borrow() *lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.calls.Add(1)
	}
	return c.current
}

func (c *callee) install(l *lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = l
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits for a guest that is being restarted, as long as ctx lets it.
func (c *callee) await(ctx context.Context) {
	for {
		c.mu.Lock()
		there, changed := c.current != nil, c.changed
		c.mu.Unlock()
		if there {
			return
		}
		select {
		case <-changed:
		case <-c.tenure.ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// start takes the first guest over and watches it until the unit is retired, longer than any context of a caller.
//
//nolint:contextcheck,nolintlint // see above
func (c *callee) start(g guest) {
	if !c.tenure.enter() { // closed while it started
		c.unit.end(g)
		return
	}
	l := &lease{guest: g}
	c.install(l) // here, so that it answers when Prepare returns
	go func() {  // close waits for it
		defer c.tenure.leave()
		c.supervise(l)
	}()
}

func (c *callee) supervise(l *lease) {
	ctx, stop := until(context.Background(), c.tenure.drained(drainTime))
	defer stop()
	for l != nil {
		select {
		case <-l.Done():
		case <-ctx.Done():
		}
		pause := time.Duration(0)
		if ctx.Err() == nil {
			pause = c.unit.failed(endOf(l)) // before install, so that a call finds the reason
		}
		c.install(nil)
		if !isClosed(c.tenure.closing) {
			l.calls.Wait()
		}
		c.unit.end(l.guest)
		l.calls.Wait()
		l = c.relaunch(ctx, pause)
	}
}

// relaunch tries until a guest starts, and installs it; nil means that ctx is done.
func (c *callee) relaunch(ctx context.Context, pause time.Duration) *lease {
	for sleep(ctx, pause) && ctx.Err() == nil {
		g, err := c.unit.launch(ctx)
		if err == nil {
			l := &lease{guest: g}
			c.install(l)
			return l
		}
		if ctx.Err() == nil {
			pause = c.unit.failed(err)
		}
	}
	return nil
}

func endOf(g guest) error {
	if err := g.Err(); err != nil {
		return err
	}
	return fmt.Errorf("the guest ended by itself")
}

func (c *callee) retire(gone func()) { c.tenure.retire(gone) }

func (c *callee) close() { c.tenure.close() }
