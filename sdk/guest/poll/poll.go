// Package poll makes a discovery of a function that finds all targets at once: it is called at once and then at each
// interval, and what changed since the last time is sent on.
//
// Start with [Options] and [New]. A function that fails keeps what it found before, and is asked again an interval
// later. Discoveries that are told of changes don't need this package.
package poll

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// Options say what to ask, and how often. All are needed.
type Options struct {
	// Interval is the time from one call of Find to the next.
	Interval time.Duration
	// Log hears of failures.
	Log *slog.Logger
	// Find returns all groups that there are now. Groups of one source form it together.
	Find func(ctx context.Context) ([]sdk.Group, error)
}

// New returns a discovery that polls.
func New(o Options) sdk.Discovery { return &poller{o} }

type poller struct{ Options }

// Run implements sdk.Discovery. The first update follows the first call of Find that does not fail.
func (p *poller) Run(ctx context.Context, updates chan<- []sdk.Group) error {
	timer := time.NewTicker(p.Interval)
	defer timer.Stop()
	var known map[string][]sdk.Group
	for {
		groups, err := p.Find(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			p.Log.Error("looking for targets failed, keeping the last ones", "err", err)
		default:
			found := bySource(groups)
			if changed := difference(known, found); known == nil || len(changed) > 0 {
				select {
				case updates <- changed:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			known = found
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func bySource(groups []sdk.Group) map[string][]sdk.Group {
	sources := make(map[string][]sdk.Group, len(groups))
	for _, g := range groups {
		sources[g.Source] = append(sources[g.Source], g)
	}
	return sources
}

// difference returns the groups of each source that changed, and an empty one for each that is gone.
func difference(before, now map[string][]sdk.Group) []sdk.Group {
	changed := []sdk.Group{}
	for source, groups := range now {
		if last, ok := before[source]; !ok || !reflect.DeepEqual(last, groups) {
			changed = append(changed, groups...)
		}
	}
	for source := range before {
		if _, ok := now[source]; !ok {
			changed = append(changed, sdk.Group{Source: source, Targets: []string{}})
		}
	}
	return changed
}
