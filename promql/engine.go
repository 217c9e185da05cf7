package promql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
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
	running sync.WaitGroup
	shared  exec.SharedBudget
	pool    exec.Pool
}

// New returns an engine; it starts nothing. It fails if the metrics cannot be registered.
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
	return &Engine{
		opts: opts, logger: logger, metrics: m, queue: newQueue(opts.MaxConcurrency),
		shared: exec.SharedBudget{Max: opts.MaxTotalBytes},
	}, nil
}

// MaxConcurrency returns the number of queries that run at the same time.
func (e *Engine) MaxConcurrency() int { return e.opts.MaxConcurrency }

// Timeout returns how long a query may take, its wait for a place included.
func (e *Engine) Timeout() time.Duration { return e.opts.Timeout }

// Instant evaluates a query at one time. The value can be of any type: it is a [Matrix] for a range selector. Times are
// cut to milliseconds. [KindOf] tells errors apart.
func (e *Engine) Instant(ctx context.Context, q storage.Queryable, query string, opts QueryOptions, ts time.Time) (*Result, error) {
	t := ts.UnixMilli()
	return e.run(ctx, &request{storage: q, query: query, opts: opts, start: t, end: t})
}

// Range evaluates a query at start, start+step, … up to end. The value is a [Matrix]. Times and the step, of at least 1 ms,
// are cut to milliseconds. The number of steps is not limited, but see [Options.MaxSamples].
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
	// stats are filled in as the query goes on, so that those of a query that fails are known, too.
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
	res, stats, err := e.inTurn(ctx, r, e.begin(r, cancel))
	samples := r.usage.Stats()
	stats.Samples.TotalQueryable, stats.Samples.Read, stats.Samples.Peak = samples.Total, samples.Read, samples.Peak
	t := &stats.Timings
	t.ExecTotal = time.Since(begin)
	t.EvalTotal = t.ExecTotal - t.ExecQueue
	if KindOf(err) != KindBadData {
		e.metrics.observeQuery(&stats)
		e.logQuery(r, &stats, err)
	}
	if err != nil {
		return nil, err
	}
	res.Stats = stats
	return res, nil
}

// begin adds a query to the active ones, and returns its ID, for end.
func (e *Engine) begin(r *request, cancel context.CancelCauseFunc) (id uint64) {
	e.metrics.current.Inc()
	return e.active.add(r, cancel)
}

func (e *Engine) end(id uint64) {
	e.active.remove(id)
	e.metrics.current.Dec()
}

// inTurn evaluates a request when a place is free.
func (e *Engine) inTurn(ctx context.Context, r *request, id uint64) (*Result, Stats, error) {
	begin := time.Now()
	if err := stopped(ctx, "query execution"); err != nil {
		e.end(id)
		return nil, Stats{}, err
	}
	place, err := e.queue.enter(ctx, &r.opts.Origin)
	waited := time.Since(begin)
	e.metrics.observe(sliceQueue, waited)
	if err != nil {
		e.end(id)
		return nil, Stats{Timings: Timings{ExecQueue: waited}}, stopped(ctx, "query queue")
	}
	e.active.setRunning(id)
	done := make(chan outcome, 1)
	e.running.Go(func() { done <- e.inPlace(ctx, r, id, place) })
	out := await(ctx, done)
	out.stats.Timings.ExecQueue = waited
	return out.res, out.stats, out.err
}

// outcome is how a query ended.
type outcome struct {
	res   *Result
	stats Stats
	err   error
}

// inPlace evaluates a request, and frees its place.
func (e *Engine) inPlace(ctx context.Context, r *request, id uint64, place int) outcome {
	defer e.queue.leave(place)
	defer e.end(id)
	defer e.logActive(place, r)()
	defer e.shared.Enter(&r.usage)()
	res, err := e.guarded(ctx, r)
	return outcome{res, r.stats, err}
}

// grace is how long a query may take to end once it has to. Some steps cannot be interrupted, such as compiling a regular
// expression or allocating memory, and are slow when many queries run: then the caller gets its answer, and the query
// keeps its place until it has ended.
const grace = 20 * time.Millisecond

// await waits for the end of a query, but not much longer than for that of ctx.
func await(ctx context.Context, done <-chan outcome) outcome {
	select {
	case out := <-done:
		return out
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case out := <-done:
		return out
	case <-timer.C:
		return outcome{err: stopped(ctx, "query execution")}
	}
}

// Close waits for queries whose callers have their answer, a timeout for example, but which have not ended yet. No query
// may be started once it has been called.
func (e *Engine) Close() { e.running.Wait() }

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
