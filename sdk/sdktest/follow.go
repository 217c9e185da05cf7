package sdktest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Followed is a running discovery and everything that it has found so far.
type Followed struct {
	tb      testing.TB
	updates chan []sdk.Group

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each update
	updated int
	sources map[string][]sdk.Group
}

// Follow runs d until the test ends.
func Follow(tb testing.TB, d sdk.Discovery) *Followed {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &Followed{tb: tb, updates: make(chan []sdk.Group), changed: make(chan struct{}), sources: map[string][]sdk.Group{}}
	var work sync.WaitGroup
	work.Go(func() {
		defer close(f.updates)
		_ = d.Run(ctx, f.updates) // ends with ctx's error
	})
	work.Go(func() {
		for groups := range f.updates {
			f.take(groups)
		}
	})
	tb.Cleanup(func() {
		cancel()
		work.Wait()
	})
	return f
}

func (f *Followed) take(groups []sdk.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.updated++
	for _, g := range groups {
		delete(f.sources, g.Source)
	}
	for _, g := range groups {
		f.sources[g.Source] = append(f.sources[g.Source], g)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// Updates returns how many updates have come.
func (f *Followed) Updates() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.updated
}

// Targets returns what is known: the labels of each target by its address.
func (f *Followed) Targets() map[string]map[string]string {
	targets, _ := f.look()
	return targets
}

func (f *Followed) look() (map[string]map[string]string, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	targets := map[string]map[string]string{}
	for _, groups := range f.sources {
		for _, g := range groups {
			for _, t := range g.Targets {
				targets[t] = g.Labels
			}
		}
	}
	return targets, f.changed
}

// Wait waits, for 20 s at most, until exactly the targets want are known, and returns their labels by address.
func (f *Followed) Wait(want ...string) map[string]map[string]string {
	f.tb.Helper()
	slices.Sort(want)
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		targets, changed := f.look()
		if slices.Equal(slices.Sorted(maps.Keys(targets)), want) {
			return targets
		}
		select {
		case <-changed:
		case <-deadline.C:
			f.tb.Fatalf("targets are %v, want %v", slices.Sorted(maps.Keys(targets)), want)
		}
	}
}

// WaitFor waits, for 20 s at most, until ok says yes to the labels of all known targets by address.
func (f *Followed) WaitFor(ok func(targets map[string]map[string]string) bool) {
	f.tb.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		targets, changed := f.look()
		if ok(targets) {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			f.tb.Fatalf("what was waited for does not come; targets are %v", targets)
		}
	}
}
