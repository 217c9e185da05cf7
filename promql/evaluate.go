package promql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/exec"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
)

// evaluate takes a request through all steps: parse, plan, optimize, prepare, evaluate.
func (e *Engine) evaluate(ctx context.Context, r *request) (res *Result, err error) {
	begin := time.Now()
	root, err := e.plan(ctx, r)
	if ended := stopped(ctx, "query preparation"); ended != nil {
		return nil, ended
	}
	if err != nil {
		return nil, &ParseError{err}
	}
	env := e.env(r)
	if r.explain != nil {
		r.explain.planned(root)
		if !r.explain.analyze {
			return &Result{}, nil
		}
		env.Probes = r.explain.probes
	}
	planned, t := time.Now(), &r.stats.Timings
	defer func() {
		selecting := r.usage.Selecting()
		t.QueryPreparation = planned.Sub(begin) + selecting
		t.InnerEval = time.Since(planned) - selecting - t.ResultSort
	}()
	querier, err := openQuerier(r.storage, root, env)
	if err != nil {
		return nil, &StorageError{err}
	}
	defer func() {
		if closeErr := querier.Close(); closeErr != nil && err == nil {
			res, err = nil, &StorageError{closeErr}
		}
	}()
	env.Querier = querier
	prepared, err := exec.Prepare(ctx, root, env)
	if err != nil {
		return nil, classify(ctx, err)
	}
	out, err := prepared.Finish(ctx)
	if err != nil {
		return nil, classify(ctx, err)
	}
	evaluated := time.Now()
	res, err = e.result(ctx, r, out)
	t.ResultSort = time.Since(evaluated)
	return res, classify(ctx, err)
}

// plan returns the optimized plan of a request.
func (e *Engine) plan(ctx context.Context, r *request) (plan.Node, error) {
	expr, err := parser.New(parser.Options{
		EnableExperimentalFunctions:  e.opts.EnableExperimentalFunctions,
		EnableExtendedRangeSelectors: e.opts.EnableExtendedRangeSelectors,
		EnableBinopFillModifiers:     e.opts.EnableBinopFillModifiers,
		Ended:                        ctx.Err,
	}).ParseExpr(r.query)
	if err != nil {
		return nil, err
	}
	if t := expr.Type(); r.step > 0 && t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return nil, fmt.Errorf("invalid expression type %q for range query, must be Scalar or instant Vector", t.Documented())
	}
	root, err := plan.Build(expr, plan.Query{
		Start: r.start, End: r.end, Step: r.step, SubqueryStep: e.opts.NoStepSubqueryInterval,
	})
	if err != nil {
		return nil, err
	}
	if r.explain != nil {
		r.explain.before = plan.Describe(root)
	}
	return plan.Optimize(root), nil
}

func (e *Engine) env(r *request) exec.Env {
	lookback := r.opts.LookbackDelta
	if lookback <= 0 {
		lookback = e.opts.LookbackDelta
	}
	return exec.Env{
		Grid:              plan.NewGrid(r.start, r.end, r.step),
		Lookback:          lookback.Milliseconds(),
		MaxSamples:        int64(e.opts.MaxSamples),
		MaxBytes:          e.opts.MaxBytes,
		Usage:             &r.usage,
		Pool:              &e.pool,
		Parallelism:       e.parallelism(),
		DelayNameRemoval:  e.opts.EnableDelayedNameRemoval,
		TypeAndUnitLabels: e.opts.EnableTypeAndUnitLabels,
		StartTimestamps:   e.opts.EnableStartTimestamps,
		PerStep:           r.opts.PerStepStats && e.opts.EnablePerStepStats,
	}
}

// parallelism returns the number of goroutines that a query may use.
func (e *Engine) parallelism() int {
	if e.opts.Parallelism > 0 {
		return e.opts.Parallelism
	}
	return runtime.GOMAXPROCS(0)
}

// openQuerier opens one snapshot that serves all selectors of a plan.
func openQuerier(q storage.Queryable, root plan.Node, env exec.Env) (storage.Querier, error) {
	mint, maxt := int64(math.MaxInt64), int64(math.MinInt64)
	plan.EachSelector(root, env.Grid, func(s *plan.Selector, g plan.Grid) {
		from, to := s.Bounds(g, env.Lookback)
		mint, maxt = min(mint, from), max(maxt, to)
	})
	if mint > maxt {
		mint, maxt = 0, 0 // Nothing will be selected.
	}
	return q.Querier(mint, maxt)
}

// classify turns an error of the evaluation into one of this package.
func classify(ctx context.Context, err error) error {
	var storageErr *exec.StorageError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		if ended := stopped(ctx, "expression evaluation"); ended != nil {
			return ended
		}
		return err
	case errors.As(err, &storageErr):
		return &StorageError{err}
	default:
		return err
	}
}

// result turns what the plan has yielded into the answer.
func (e *Engine) result(ctx context.Context, r *request, out *exec.Result) (*Result, error) {
	res := &Result{release: out.Release, Warnings: out.Notes.Warnings(r.query), Infos: out.Notes.Infos(r.query)}
	for _, w := range out.StorageWarnings {
		res.Warnings = append(res.Warnings, w.Error())
	}
	for i, n := range out.Stats.PerStep {
		t := r.start + int64(i)*r.step
		r.stats.Samples.PerStep = append(r.stats.Samples.PerStep, StepCount{t, n})
		r.stats.Samples.ReadPerStep = append(r.stats.Samples.ReadPerStep, StepCount{t, out.Stats.ReadPerStep[i]})
	}
	var err error
	series := out.Series
	if limit := r.opts.Limit; limit > 0 && len(series) > limit {
		if r.step > 0 || out.Type == parser.ValueTypeMatrix {
			// A matrix is ordered by labels, so the first ones in that order stay.
			if err := exec.SortFunc(ctx, series, func(a, b exec.ResultSeries) int { return labels.Compare(a.Labels, b.Labels) }); err != nil {
				return nil, err
			}
		}
		series = series[:limit]
		res.Warnings = append(res.Warnings, "results truncated due to limit")
	}
	switch {
	case out.Type == parser.ValueTypeString:
		res.Value = String{r.start, out.String}
	case out.Type == parser.ValueTypeScalar && r.step == 0:
		res.Value = Scalar{r.start, out.Scalar[0]}
	case out.Type == parser.ValueTypeScalar:
		res.Value = scalarMatrix(r, out.Scalar)
	case out.Type == parser.ValueTypeVector && r.step == 0:
		res.Value = vector(series)
		out.Release() // The vector holds copies.
	default:
		res.Value, err = matrix(ctx, series)
	}
	out.ReleaseSeries()
	return res, err
}

func scalarMatrix(r *request, values []float64) Matrix {
	s := Series{Labels: labels.EmptyLabels()}
	for i, v := range values {
		s.Points.Append(Point{T: r.start + int64(i)*r.step, F: v})
	}
	return Matrix{s}
}

func vector(series []exec.ResultSeries) Vector {
	v := make(Vector, 0, len(series))
	for _, s := range series {
		p := s.Points.At(0)
		v = append(v, Sample{Labels: s.Labels, T: p.T, F: p.F, H: p.H})
	}
	return v
}

func matrix(ctx context.Context, series []exec.ResultSeries) (Matrix, error) {
	m := make(Matrix, 0, len(series))
	for _, s := range series {
		m = append(m, Series{Labels: s.Labels, Points: s.Points})
	}
	return m, exec.SortFunc(ctx, m, func(a, b Series) int { return labels.Compare(a.Labels, b.Labels) })
}
