package rules

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// slot returns the last moment up to now at which the group's turn comes: the groups are spread over the interval by
// their names, so that they do not all query at once, and independent of when the server started.
func (g *Group) slot(now time.Time) time.Time {
	hash := labels.FromStrings("name", g.name, "file", g.file).Hash()
	offset := int64(hash % uint64(g.interval))
	base := now.UnixNano() - offset
	return time.Unix(0, base-base%int64(g.interval)+offset).UTC()
}

// run evaluates the group at its moments until ctx is done or leave is closed. An evaluation under way is finished,
// unless ctx ends it.
func (g *Group) run(ctx context.Context, leave <-chan struct{}) {
	at := g.slot(time.Now()).Add(g.interval)
	if !sleepUntil(ctx, leave, at) {
		return
	}
	for {
		g.Evaluate(ctx, at)
		if g.rounds++; g.restoring && g.rounds > 1 {
			// By the second evaluation the first scrapes have come in, and recording rules that alerts need have caught up.
			g.restore(ctx, time.Now())
			g.restoring = false
		}
		if !sleepUntil(ctx, leave, at.Add(g.interval)) {
			return
		}
		if missed := int64(time.Since(at)/g.interval) - 1; missed > 0 {
			g.env.metrics.missed.WithLabelValues(g.key).Add(float64(missed))
			g.env.metrics.iterations.WithLabelValues(g.key).Add(float64(missed))
			at = at.Add(time.Duration(missed) * g.interval)
		}
		at = at.Add(g.interval)
	}
}

// retire ends the series of a group that was removed. It waits for two intervals, so that another group that makes them
// now can begin to: what has newer samples is not marked.
func (g *Group) retire(ctx context.Context) {
	for _, r := range g.rules {
		g.orphans = append(g.orphans, r.made()...)
	}
	now := time.Now()
	if !sleepUntil(ctx, nil, now.Add(2*g.interval)) {
		return
	}
	// A storage that takes samples out of order would take the markers.
	continued, err := g.continued(ctx, now.Add(-g.offset).UnixMilli())
	if err != nil {
		g.log.Warn("series of a group that is gone are not marked as stale", "err", err)
		return
	}
	g.orphans = slices.DeleteFunc(g.orphans, func(s series) bool { return continued[s.key] })
	g.markOrphans(ctx, now)
}

// continued returns the keys of the orphans that have samples after t.
func (g *Group) continued(ctx context.Context, t int64) (keys map[string]bool, err error) {
	q, err := g.env.Storage.Querier(t+1, math.MaxInt64)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	keys = map[string]bool{}
	for _, orphan := range g.orphans {
		var ms []*labels.Matcher
		for name, value := range orphan.labels.All() {
			ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, name, value))
		}
		set := q.Select(ctx, false, nil, ms...)
		for set.Next() {
			if s := set.At(); labels.Equal(s.Labels(), orphan.labels) {
				var c storage.Columns
				keys[orphan.key] = s.Samples(nil).Read(&c)
			}
		}
		if err := set.Err(); err != nil {
			return nil, fmt.Errorf("look for newer samples: %w", err)
		}
	}
	return keys, nil
}

// sleepUntil waits and reports whether the moment has come, rather than the end of ctx or of leave.
func sleepUntil(ctx context.Context, leave <-chan struct{}, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-leave:
		return false
	case <-timer.C:
	}
	// All may have happened at once.
	select {
	case <-leave:
		return false
	default:
		return ctx.Err() == nil
	}
}
