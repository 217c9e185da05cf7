package rules

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/narthex-io/narthex/host/template"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// Evaluate evaluates all rules of the group for one time. What goes wrong with a rule shows in that rule's status alone.
// When ctx ends, the rules that are left are not evaluated.
func (g *Group) Evaluate(ctx context.Context, at time.Time) {
	begin := time.Now()
	g.env.metrics.iterations.WithLabelValues(g.key).Inc()
	var samples atomic.Int64
	if g.batches == nil {
		for _, r := range g.rules {
			samples.Add(int64(g.evaluate(ctx, r, at)))
		}
	} else {
		for _, batch := range g.batches {
			g.evaluateBatch(ctx, batch, at, &samples)
		}
	}
	g.markOrphans(ctx, at)
	g.noteEvaluation(begin, samples.Load())
}

// evaluateBatch evaluates rules at the same time where there is room for it.
func (g *Group) evaluateBatch(ctx context.Context, batch []int, at time.Time, samples *atomic.Int64) {
	var running sync.WaitGroup
	defer running.Wait()
	for i, index := range batch {
		r := g.rules[index]
		if i < len(batch)-1 { // The last one is this goroutine's own.
			select {
			case g.env.places <- struct{}{}:
				running.Go(func() {
					defer func() { <-g.env.places }()
					samples.Add(int64(g.evaluate(ctx, r, at)))
				})
				continue
			default:
			}
		}
		samples.Add(int64(g.evaluate(ctx, r, at)))
	}
}

func (g *Group) noteEvaluation(begin time.Time, samples int64) {
	took := time.Since(begin)
	var sum time.Duration
	for _, r := range g.rules {
		r.mu.Lock()
		sum += r.took
		r.mu.Unlock()
	}
	m := g.env.metrics
	m.groupDuration.Observe(took.Seconds())
	m.lastDuration.WithLabelValues(g.key).Set(took.Seconds())
	m.lastRuleSum.WithLabelValues(g.key).Set(sum.Seconds())
	m.lastEvaluation.WithLabelValues(g.key).Set(float64(begin.UnixNano()) / 1e9)
	m.samples.WithLabelValues(g.key).Set(float64(samples))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.took, g.evaluated = took, begin
}

// evaluate evaluates one rule and returns the number of its samples.
func (g *Group) evaluate(ctx context.Context, r *rule, at time.Time) (samples int) {
	if ctx.Err() != nil {
		return 0
	}
	begin := time.Now()
	defer func() {
		took := time.Since(begin)
		g.env.metrics.ruleDuration.Observe(took.Seconds())
		r.finished(begin, took)
	}()
	g.env.metrics.evaluations.WithLabelValues(g.key).Inc()
	m := g.moment(r, at)
	entries, err := guarded(ctx, r, m)
	if err != nil {
		if ctx.Err() == nil { // Otherwise the server is being stopped.
			g.failed(r, err)
		}
		return 0
	}
	if r.alerting != nil && g.env.Notifier != nil {
		due := r.alerting.due(at, g.env.ResendDelay, g.interval, g.externalURL+template.TableLink(r.query))
		if len(due) > 0 {
			g.env.Notifier.Send(ctx, due...)
		}
	}
	switch err := g.store(ctx, r, entries, m.millis()); {
	case err == nil:
		r.result(nil)
	case ctx.Err() == nil:
		g.failed(r, err)
	}
	return len(entries)
}

// failed notes a failure. It is logged when it is new, and not with each evaluation.
func (g *Group) failed(r *rule, err error) {
	if r.result(err) {
		g.log.Warn("rule fails", "rule", r.name, "err", err)
	}
	g.env.metrics.failures.WithLabelValues(g.key).Inc()
}

func (g *Group) moment(r *rule, at time.Time) *moment {
	return &moment{
		at: at, offset: g.offset, limit: g.limit, query: g.query,
		expanded: func(err error) {
			g.env.metrics.expansions.Inc()
			if err == nil {
				return
			}
			g.env.metrics.expansionFailures.Inc()
			if text := err.Error(); text != r.textErr {
				r.textErr = text
				g.log.Warn("text of an alert cannot be expanded", "rule", r.name, "err", err)
			}
		},
	}
}

// guarded evaluates a rule and makes an error of a panic.
func guarded(ctx context.Context, r *rule, m *moment) (entries []storage.Entry, err error) {
	defer func() {
		if p := recover(); p != nil {
			entries, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.evaluate(ctx, m)
}

// store stores the samples of a rule, and marks the series as stale that it made the last time and does not make any
// more.
func (g *Group) store(ctx context.Context, r *rule, entries []storage.Entry, t int64) error {
	if len(entries) == 0 && len(r.produced) == 0 {
		return nil
	}
	kept := make(map[string]series, len(entries))
	keys := make([]string, len(entries))
	var buf []byte
	for i := range entries {
		buf = entries[i].Labels.AppendKey(buf[:0])
		if old, ok := r.produced[string(buf)]; ok {
			keys[i], entries[i].Ref = old.key, old.ref
		} else {
			keys[i] = string(buf)
		}
	}
	app := g.env.Storage.Appender()
	outcomes := make([]storage.Outcome, len(entries))
	if err := app.Append(ctx, entries, outcomes); err != nil {
		return errors.Join(err, app.Rollback())
	}
	var rejected error
	for i, o := range outcomes {
		if o.Err != nil {
			rejected = o.Err
			g.logRejected(r, entries[i], o.Err)
			continue
		}
		kept[keys[i]] = series{key: keys[i], labels: entries[i].Labels, ref: o.Ref}
	}
	var gone []series
	for key, s := range r.produced {
		if _, ok := kept[key]; !ok {
			gone = append(gone, s)
		}
	}
	if err := appendStale(ctx, app, gone, t); err != nil {
		return errors.Join(err, app.Rollback())
	}
	if err := app.Commit(ctx); err != nil {
		return fmt.Errorf("store samples: %w", err)
	}
	r.produced = kept
	return rejected
}

// logRejected says at warn what an operator can do something about.
func (g *Group) logRejected(r *rule, e storage.Entry, err error) {
	switch {
	case errors.Is(err, storage.ErrOutOfOrder), errors.Is(err, storage.ErrTooOld), errors.Is(err, storage.ErrDuplicate):
		g.log.Debug("sample of a rule rejected", "rule", r.name, "series", e.Labels.String(), "err", err)
	default:
		g.log.Warn("sample of a rule rejected", "rule", r.name, "series", e.Labels.String(), "err", err)
	}
}

// appendStale appends stale markers. Their rejection is fine: somebody else may write the series now.
func appendStale(ctx context.Context, app storage.Appender, gone []series, t int64) error {
	if len(gone) == 0 {
		return nil
	}
	entries := make([]storage.Entry, len(gone))
	for i, s := range gone {
		entries[i] = storage.Entry{Ref: s.ref, Labels: s.labels, T: t, V: sample.StaleNaN()}
	}
	return app.Append(ctx, entries, make([]storage.Outcome, len(entries)))
}

// markOrphans marks the series as stale whose rules are not there any more.
func (g *Group) markOrphans(ctx context.Context, at time.Time) {
	if len(g.orphans) == 0 || ctx.Err() != nil {
		return
	}
	app := g.env.Storage.Appender()
	err := appendStale(ctx, app, g.orphans, at.Add(-g.offset).UnixMilli())
	if err == nil {
		err = app.Commit(ctx)
	} else {
		err = errors.Join(err, app.Rollback())
	}
	if err != nil {
		g.log.Warn("series of rules that are gone are not marked as stale; trying again", "err", err)
		return
	}
	g.orphans = nil
}

var _ Engine = (*promql.Engine)(nil)
