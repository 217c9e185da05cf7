package plugin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// defaultContentType is what an exporter writes when its manifest does not say.
const defaultContentType = "text/plain; version=0.0.4"

// drainTime is how long a retired exporter still answers, so that whoever has not switched to its successor yet does
// not miss a scrape.
const drainTime = 10 * time.Second

// Exporter is an exporter whose guest may come and go. It implements sdk.Exporter.
type Exporter struct {
	unit   *unit
	tenure *tenure

	mu      sync.Mutex
	current *lease // nil while there is no guest
}

// lease is a guest and the collections that run on it.
type lease struct {
	guest
	calls sync.WaitGroup
}

func newExporter(u *unit) *Exporter { return &Exporter{unit: u, tenure: newTenure()} }

// Fingerprint changes when the plugin's file, its settings or the use's config do.
func (e *Exporter) Fingerprint() string { return e.unit.fingerprint }

// ContentType is the exposition format that Collect writes.
func (e *Exporter) ContentType() string {
	return cmp.Or(e.unit.file.manifest.ContentType, defaultContentType)
}

// Collect implements sdk.Exporter. While the guest is being restarted, and after the exporter is gone, it returns an
// error that names the plugin and the reason.
func (e *Exporter) Collect(ctx context.Context, w io.Writer) error {
	l := e.borrow()
	if l == nil {
		if isClosed(e.tenure.ended) || e.unit.err() == nil {
			return fmt.Errorf("plugin %s: %w", e.unit.file.name, ErrClosed)
		}
		return fmt.Errorf("plugin %s is being restarted: %w", e.unit.file.name, e.unit.err())
	}
	defer l.calls.Done()
	start := time.Now()
	err := l.Exporter().Collect(ctx, w)
	e.unit.catalogue.metrics.observe(e.unit.file.name, time.Since(start), err)
	return err
}

func (e *Exporter) borrow() *lease {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != nil {
		e.current.calls.Add(1)
	}
	return e.current
}

func (e *Exporter) install(l *lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current = l
}

// start takes the first guest over and watches it until the exporter is retired, longer than any context of a caller.
//
//nolint:contextcheck,nolintlint // see above
func (e *Exporter) start(g guest) {
	if !e.tenure.enter() { // closed while it started
		e.unit.end(g)
		return
	}
	l := &lease{guest: g}
	e.install(l) // here, so that it answers when Prepare returns
	go func() {  // close waits for it
		defer e.tenure.leave()
		e.supervise(l)
	}()
}

func (e *Exporter) supervise(l *lease) {
	ctx, stop := until(context.Background(), e.tenure.drained(drainTime))
	defer stop()
	for l != nil {
		select {
		case <-l.Done():
		case <-ctx.Done():
		}
		pause := time.Duration(0)
		if ctx.Err() == nil {
			pause = e.unit.failed(endOf(l)) // before install, so that Collect finds the reason
		}
		e.install(nil)
		if !isClosed(e.tenure.closing) {
			l.calls.Wait()
		}
		e.unit.end(l.guest)
		l.calls.Wait()
		l = e.relaunch(ctx, pause)
	}
}

// relaunch tries until a guest starts, and installs it; nil means that ctx is done.
func (e *Exporter) relaunch(ctx context.Context, pause time.Duration) *lease {
	for sleep(ctx, pause) && ctx.Err() == nil {
		g, err := e.unit.launch(ctx)
		if err == nil {
			l := &lease{guest: g}
			e.install(l)
			return l
		}
		if ctx.Err() == nil {
			pause = e.unit.failed(err)
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

func (e *Exporter) retire(gone func()) { e.tenure.retire(gone) }

func (e *Exporter) close() { e.tenure.close() }

var (
	_ sdk.Discovery = (*Discovery)(nil)
	_ sdk.Exporter  = (*Exporter)(nil)
)
