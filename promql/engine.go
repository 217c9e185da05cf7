package promql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/narthex-io/narthex/promql/exec"
	"github.com/narthex-io/narthex/storage"
)

// Engine evaluates queries. It is safe for use by several goroutines.
type Engine struct {
	opts    Options
	logger  *slog.Logger
	metrics *metrics
	queue   *queue
	active  activeQueries
	logs    logs
	pool    exec.Pool
}

// New returns an engine. The error is that of the registerer.
func New(opts Options) (*Engine, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxSamples <= 0 {
		opts.MaxSamples = defaultMaxSamples
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = defaultMaxBytes
	}
	if opts.MaxConcurrency <= 0 {
		opts.MaxConcurrency = defaultMaxConcurrency
	}
	if opts.LookbackDelta <= 0 {
		opts.LookbackDelta = defaultLookback
	}
	if opts.NoStepSubqueryInterval == nil {
		opts.NoStepSubqueryInterval = func(int64) int64 { return defaultSubqueryStep.Milliseconds() }
	}
	m, err := newMetrics(opts.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register engine metrics: %w", err)
	}
	m.concurrentMax.Set(float64(opts.MaxConcurrency))
	logger := opts.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{opts: opts, logger: logger, metrics: m, queue: newQueue(opts.MaxConcurrency)}, nil
}

// MaxConcurrency returns the number of queries that run at the same time.
func (e *Engine) MaxConcurrency() int { return e.opts.MaxConcurrency }

// Instant evaluates a query at one time. The value is of any type; it is a [Matrix] for a range selector.
func (e *Engine) Instant(ctx context.Context, q storage.Queryable, query string, opts QueryOptions, ts time.Time) (*Result, error) {
	t := ts.UnixMilli()
	return e.run(ctx, &request{storage: q, query: query, opts: opts, start: t, end: t})
}

// Range evaluates a query at start, start+step, … up to end. The value is a [Matrix].
func (e *Engine) Range(ctx context.Context, q storage.Queryable, query string, opts QueryOptions, start, end time.Time, step time.Duration) (*Result, error) {
	r := &request{storage: q, query: query, opts: opts, start: start.UnixMilli(), end: end.UnixMilli(), step: step.Milliseconds()}
	if err := r.checkRange(); err != nil {
		return nil, err
	}
	return e.run(ctx, r)
}

// request is one query on its way through the engine. Times are in milliseconds; step is zero for an instant query.
type request struct {
	storage          storage.Queryable
	query            string
	opts             QueryOptions
	start, end, step int64

	// explain is set if it is not the result that is asked for.
	explain *explainer

	usage exec.Usage
	// stats grow as the query goes on, so that they tell something even if it fails.
	stats Stats
}

// checkRange reports what is wrong with the steps of a range query.
func (r *request) checkRange() error {
	if r.step <= 0 {
		return &ParseError{errors.New("step of a range query must be at least 1ms")}
	}
	if r.end < r.start {
		return &ParseError{errors.New("end of a range query is before its start")}
	}
	return nil
}

// run evaluates a request under the limits of the engine.
func (e *Engine) run(ctx context.Context, r *request) (*Result, error) {
	begin := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, cancelTimeout := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancelTimeout()
	e.metrics.current.Inc()
	defer e.metrics.current.Dec()
	id := e.active.add(r, cancel)
	defer e.active.remove(id)
	res, err := e.inTurn(ctx, r, id)
	samples := r.usage.Stats()
	r.stats.Samples.TotalQueryable, r.stats.Samples.Read, r.stats.Samples.Peak = samples.Total, samples.Read, samples.Peak
	t := &r.stats.Timings
	t.ExecTotal = time.Since(begin)
	t.EvalTotal = t.ExecTotal - t.ExecQueue
	if KindOf(err) != KindBadData {
		e.metrics.observeQuery(&r.stats)
		e.logQuery(r, err)
	}
	if err != nil {
		return nil, err
	}
	res.Stats = r.stats
	return res, nil
}

// inTurn evaluates a request when a place is free.
func (e *Engine) inTurn(ctx context.Context, r *request, id uint64) (*Result, error) {
	begin := time.Now()
	if err := stopped(ctx, "query execution"); err != nil {
		return nil, err
	}
	place, err := e.queue.enter(ctx, &r.opts.Origin)
	r.stats.Timings.ExecQueue = time.Since(begin)
	e.metrics.observe(sliceQueue, r.stats.Timings.ExecQueue)
	if err != nil {
		return nil, stopped(ctx, "query queue")
	}
	defer e.queue.leave(place)
	defer e.logActive(place, r)()
	e.active.setRunning(id)
	return e.guarded(ctx, r)
}

// guarded turns a panic into an error of this query.
func (e *Engine) guarded(ctx context.Context, r *request) (res *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = nil, &exec.PanicError{Value: p, Stack: debug.Stack()}
		}
		if bug, ok := errors.AsType[*exec.PanicError](err); ok {
			e.logger.Error("query panicked", "query", r.query, "err", bug, "stack", string(bug.Stack))
		}
	}()
	return e.evaluate(ctx, r)
}
