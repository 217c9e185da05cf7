package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// Discovery is a discovery whose guest may come and go. It implements sdk.Discovery.
type Discovery struct {
	unit   *unit
	tenure *tenure

	mu   sync.Mutex
	idle guest // started and waiting for Run
}

func newDiscovery(u *unit) *Discovery { return &Discovery{unit: u, tenure: newTenure()} }

// Fingerprint changes when the plugin's file, its settings or the use's config do.
func (d *Discovery) Fingerprint() string { return d.unit.fingerprint }

// Run implements sdk.Discovery. It returns when ctx is done, with ctx's error, or the catalogue is closed, with
// [ErrClosed]; in between it runs guest after guest. While there is none it sends nothing, so that what was found stays, unless the operator
// wants it dropped when the plugin has failed.
// The first update of a new guest is completed with empty groups for the sources that the guest before it had and it
// has not. Each Run has a guest of its own, which it closes; a retired discovery goes on until ctx is done.
func (d *Discovery) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	if !d.tenure.enter() {
		return ErrClosed
	}
	defer d.tenure.leave()
	ctx, stop := until(ctx, d.tenure.closing)
	defer stop()
	r := relay{unit: d.unit, out: updates, sources: map[string]int{}}
	for {
		err := d.runGuest(ctx, &r)
		if ctx.Err() != nil {
			break
		}
		pause := d.unit.failed(err)
		r.giveUp(ctx)
		if !sleep(ctx, pause) {
			break
		}
	}
	if isClosed(d.tenure.closing) {
		return ErrClosed
	}
	return ctx.Err()
}

// runGuest runs one guest to its end.
func (d *Discovery) runGuest(ctx context.Context, r *relay) error {
	d.mu.Lock()
	g := d.idle
	d.idle = nil
	d.mu.Unlock()
	if g == nil {
		var err error
		if g, err = d.unit.launch(ctx); err != nil {
			return err
		}
	}
	defer d.unit.end(g)
	err := r.run(ctx, g.Discovery())
	if err == nil {
		err = errors.New("the discovery ended by itself")
	}
	return err
}

// offer keeps a started guest for the next Run.
func (d *Discovery) offer(g guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = g
}

// drop closes the guest that waits for a Run, if there is one.
func (d *Discovery) drop() {
	d.mu.Lock()
	g := d.idle
	d.idle = nil
	d.mu.Unlock()
	if g != nil {
		d.unit.end(g)
	}
}

func (d *Discovery) retire(gone func()) {
	if !d.tenure.enter() {
		d.tenure.retire(gone)
		return
	}
	d.tenure.retire(gone)
	go func() { // close waits for it
		d.drop()
		d.tenure.leave()
	}()
}

func (d *Discovery) close() {
	d.drop()
	d.tenure.close()
}

// relay passes updates on and remembers which sources have targets, and how many.
type relay struct {
	unit    *unit
	out     chan<- []sdk.Group
	sources map[string]int
	targets int // of all sources
}

func (r *relay) run(ctx context.Context, d sdk.Discovery) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := make(chan []sdk.Group)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, in) }()
	for first := true; ; first = false {
		var over error
		select {
		case groups := <-in:
			if first {
				groups = append(groups, r.vanished(groups)...)
			}
			if over = r.note(groups); over != nil {
				break
			}
			select {
			case r.out <- groups:
				continue
			case <-ctx.Done():
			}
		case err := <-ended:
			return err
		}
		cancel()
		return cmp.Or(over, <-ended)
	}
}

// vanished returns empty groups for the known sources that groups does not name.
func (r *relay) vanished(groups []sdk.Group) []sdk.Group {
	left := maps.Clone(r.sources)
	for _, g := range groups {
		delete(left, g.Source)
	}
	var empty []sdk.Group
	for _, source := range slices.Sorted(maps.Keys(left)) {
		empty = append(empty, sdk.Group{Source: source})
	}
	return empty
}

// note remembers an update, unless there would be more targets with it than the limit.
func (r *relay) note(groups []sdk.Group) error {
	changed := map[string]int{}
	for _, g := range groups {
		changed[g.Source] += len(g.Targets)
	}
	targets, sources := r.targets, len(r.sources)
	for source, n := range changed {
		old, known := r.sources[source]
		targets += n - old
		if known && n == 0 {
			sources--
		} else if !known && n > 0 {
			sources++
		}
	}
	limit := cmp.Or(r.unit.settings.Limits.Targets, defaultTargets)
	if targets > limit || sources > limit {
		return &session.EndError{Reason: session.ReasonTargets, Detail: fmt.Sprintf("found %d targets in %d sources; the limit is %d", targets, sources, limit)}
	}
	r.targets = targets
	for source, n := range changed {
		if n > 0 {
			r.sources[source] = n
		} else {
			delete(r.sources, source)
		}
	}
	r.unit.mu.Lock()
	r.unit.updated = time.Now()
	r.unit.mu.Unlock()
	return nil
}
