package rules

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// restore gives the alerts of a group the times from before the start of the server, which the series ALERTS_FOR_STATE
// hold. What cannot be restored begins anew.
func (g *Group) restore(ctx context.Context, now time.Time) {
	begin := time.Now()
	for _, r := range g.rules {
		a := r.alerting
		if a == nil {
			continue
		}
		if a.hold >= g.env.GracePeriod {
			if err := g.restoreRule(ctx, a, now); err != nil {
				g.log.Error("alerts begin anew: their state from before the start cannot be read", "rule", r.name, "err", err)
			}
		}
		a.mu.Lock()
		a.restoring = false
		a.mu.Unlock()
	}
	g.env.metrics.lastRestore.WithLabelValues(g.key).Set(time.Since(begin).Seconds())
}

func (g *Group) restoreRule(ctx context.Context, a *alerting, now time.Time) (err error) {
	q, err := g.env.Storage.Querier(now.Add(-g.env.OutageTolerance).UnixMilli(), now.UnixMilli())
	if err != nil {
		return fmt.Errorf("open storage: %w", err)
	}
	defer func() {
		if closeErr := q.Close(); err == nil {
			err = closeErr
		}
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	byKey := map[string]*alert{}
	for _, al := range a.active {
		byKey[string(al.labels.AppendKey(nil))] = al
	}
	set := q.Select(ctx, false, nil, a.stateMatchers()...)
	for set.Next() {
		s := set.At()
		al := byKey[string(s.Labels().DropMetricName().AppendKey(nil))]
		if al == nil {
			continue
		}
		last, ok, err := lastSample(s)
		if err != nil {
			return fmt.Errorf("read %s: %w", forStateName, err)
		}
		if ok && !sample.IsStale(last.F) { // A stale marker: it was not active any more.
			al.activeAt = restoredAt(time.UnixMilli(last.T).UTC(), time.Unix(int64(last.F), 0).UTC(), now, a.hold, g.env.GracePeriod)
		}
	}
	return set.Err()
}

// stateMatchers select the state series of all alerts of the rule.
func (a *alerting) stateMatchers() []*labels.Matcher {
	ms := []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, forStateName),
		labels.MustNewMatcher(labels.MatchEqual, alertName, a.rule.name),
	}
	for name, value := range a.rule.labels.All() {
		if name != alertName && !strings.Contains(value, "{{") {
			ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, name, value))
		}
	}
	return ms
}

// lastSample returns the last sample of a series, if it is a float.
func lastSample(s storage.Series) (last sample.Sample, ok bool, err error) {
	var columns storage.Columns
	r := s.Samples(nil)
	for r.Read(&columns) {
		n := columns.Len() - 1
		ok = len(columns.H) == 0 || columns.H[n] == nil
		last = sample.Sample{T: columns.T[n], F: columns.F[n]}
		columns.Reset()
	}
	return last, ok, r.Err()
}

// restoredAt returns since when an alert counts as active that was so since activeAt when the server was last seen, at
// downAt. Time in which the server was down does not count as pending; and at least grace passes before it fires, unless
// it fired before.
func restoredAt(downAt, activeAt, now time.Time, hold, grace time.Duration) time.Time {
	downAt = downAt.Truncate(time.Second)
	switch remaining := hold - downAt.Sub(activeAt); {
	case remaining <= 0:
		return activeAt
	case remaining < grace:
		return now.Add(grace).Add(-hold)
	default:
		return activeAt.Add(now.Sub(downAt))
	}
}
