package exec

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// Result is the value of a plan at all steps.
type Result struct {
	Type parser.ValueType
	// Series are those of a vector or matrix that have points, in the order of evaluation.
	Series []ResultSeries
	// Scalar has a value for each step.
	Scalar []float64
	String string

	Notes *Annotations
	// StorageWarnings are what the storage had to say.
	StorageWarnings []error
	Stats           Stats
	memory          *resultMemory
}

// Release gives the memory of all points back to the pool. They must not be used any more.
func (r *Result) Release() { r.memory.release() }

// ReleaseSeries gives back the memory of Series itself. The points stay.
func (r *Result) ReleaseSeries() {
	if len(r.Series) > 0 && cap(r.Series) <= maxPooledSeries {
		clear(r.Series)
		r.memory.pool.results.Put(&seriesList{r.Series[:0]})
	}
	r.Series = nil
}

// seriesList is memory for the series of a result.
type seriesList struct{ list []ResultSeries }

// newSeriesList returns memory for n series.
func (q *query) newSeriesList(n int) []ResultSeries {
	if l, ok := q.Pool.results.Get().(*seriesList); ok {
		return slices.Grow(l.list, n)
	}
	return make([]ResultSeries, 0, n)
}

// ResultSeries is a series with its points.
type ResultSeries struct {
	Labels labels.Labels
	Points sample.Points
}

// Prepared is a plan whose series have been selected.
type Prepared struct {
	q    *query
	root plan.Node
	op   operator
	// memory is that of the points of the result.
	memory resultMemory
}

// Prepare makes the operators of a plan. Operators that need all of their input, such as aggregations, are evaluated
// already. The caller ends with [Prepared.Finish].
func Prepare(ctx context.Context, root plan.Node, env Env) (*Prepared, error) {
	q := &query{Env: env, Usage: env.Usage, tally: &tally{times: 1, readAll: true}}
	if q.Usage == nil {
		q.Usage = &Usage{}
	}
	if q.Pool == nil {
		q.Pool = &Pool{}
	}
	if env.PerStep {
		q.perStep, q.readPerStep = make([]atomic.Int64, env.Grid.N), make([]atomic.Int64, env.Grid.N)
	}
	q.notes.usage = q.Usage
	p := &Prepared{q: q, root: root, memory: resultMemory{pool: q.Pool}}
	q.findReads(root)
	var err error
	switch root.Type() {
	case parser.ValueTypeVector:
		p.op, err = q.build(ctx, root, env.Grid)
	case parser.ValueTypeMatrix:
		p.op, err = q.samples(ctx, root)
	default:
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	p.op, err = q.finalNames(ctx, p.op)
	return p, err
}

// finalNames drops the metric names that were kept to the end.
func (q *query) finalNames(ctx context.Context, op operator) (operator, error) {
	in := op.series()
	if !slices.ContainsFunc(in, func(s series) bool { return s.dropName }) {
		return op, nil
	}
	out, pace := make([]series, len(in)), q.pace(ctx)
	for i, s := range in {
		out[i].labels = s.labels
		if s.dropName {
			out[i].labels = withoutName(s.labels)
		}
		if err := pace(madeOf(s.labels, out[i].labels)); err != nil {
			return nil, err
		}
	}
	return q.merge(ctx, op, out)
}

// Finish evaluates what is left and returns the result. It is called once.
func (p *Prepared) Finish(ctx context.Context) (*Result, error) {
	res := &Result{Type: p.root.Type(), Notes: &p.q.notes, memory: &p.memory}
	var err error
	if p.q.Probes != nil {
		defer p.q.enterProbe(&p.q.Probes.result)()
	}
	switch res.Type {
	case parser.ValueTypeString:
		res.String, err = stringArg(p.root)
	case parser.ValueTypeScalar:
		res.Scalar, err = p.q.scalar(ctx, p.root, p.q.Grid)
	default:
		res.Series, err = p.collect(ctx)
	}
	if err != nil {
		return nil, err
	}
	p.q.releaseSelections()
	res.StorageWarnings = p.q.storageWarnings
	res.Stats = p.q.Usage.Stats()
	for i := range p.q.perStep {
		res.Stats.PerStep = append(res.Stats.PerStep, p.q.perStep[i].Load())
		res.Stats.ReadPerStep = append(res.Stats.ReadPerStep, p.q.readPerStep[i].Load())
	}
	return res, nil
}

// collect makes points of all rows.
func (p *Prepared) collect(ctx context.Context) ([]ResultSeries, error) {
	in := p.op.series()
	grid := p.q.Grid
	if m, ok := bare(p.op).(pointer); ok {
		return m.points(ctx, p.q)
	}
	all := p.q.newSeriesList(len(in))
	err := p.q.each(ctx, p.op, grid, func(i int, r *row) error {
		n := r.count()
		if n == 0 {
			return nil
		}
		all = append(all, ResultSeries{in[i].labels, p.memory.points(r, n, grid, (len(in)-i)*grid.N)})
		return p.q.keepMore(n, int64(n)*sampleBytes+histogramBytes(r.H))
	})
	return all, err
}

// pointer is an operator whose points do not lie on the grid of the query.
type pointer interface {
	points(ctx context.Context, q *query) ([]ResultSeries, error)
}

// samples makes the operator of a range selector or subquery at the root of a plan: the samples of its one window.
func (q *query) samples(ctx context.Context, root plan.Node) (operator, error) {
	if inv, ok := root.(*plan.StepInvariant); ok {
		root = inv.Expr
	}
	switch n := root.(type) {
	case *plan.Selector:
		src, err := q.selectSeries(ctx, n, q.Grid)
		if err != nil {
			return nil, err
		}
		src.counted = make(counted, len(src.list))
		return &rawSamples{source: src, from: n.Reference(q.Grid.Start) - n.Range, to: n.Reference(q.Grid.Start)}, nil
	case *plan.Subquery:
		inner := n.Inner(q.Grid)
		defer q.under(q.tally.below(n, q.Grid, inner, false))()
		op, err := q.build(ctx, n.Expr, inner)
		if err != nil {
			return nil, err
		}
		q.Grid = inner
		return op, nil
	default:
		return nil, fmt.Errorf("no samples for a plan of type %T", n)
	}
}

// rawSamples are the samples in a window, as they were stored.
type rawSamples struct {
	*source
	// from is excluded, to included.
	from, to int64
}

func (s *rawSamples) series() []series { return s.out }

// row is never called: the samples do not lie on a grid.
func (s *rawSamples) row(_ context.Context, _ *worker, _ int, dst *row) error {
	dst.reset(0)
	return nil
}

func (s *rawSamples) points(ctx context.Context, q *query) ([]ResultSeries, error) {
	var all []ResultSeries
	w := q.newWorker(ctx)
	defer w.close()
	for i := range s.list {
		if err := s.read(ctx, w, i, false); err != nil {
			return nil, err
		}
		points, err := s.window(w)
		if err != nil {
			return nil, err
		}
		if points.Len() == 0 {
			continue
		}
		t := q.tallyRow(s.tally, s.counted, i)
		for _, p := range points.All() {
			size := sampleSize(p.H)
			t.add(0, size, size)
		}
		t.done()
		if err := q.hold(points.Len()); err != nil {
			return nil, err
		}
		all = append(all, ResultSeries{s.out[i].labels, points})
	}
	return all, nil
}

// window returns the samples of the window.
func (s *rawSamples) window(w *worker) (points sample.Points, err error) {
	if s.n.Anchored || s.n.Smoothed {
		return s.extendedSamples(w)
	}
	c := &w.cols
	for k, t := range c.T {
		if t > s.from && t <= s.to {
			if h := histogramAt(c, k); h != nil {
				points.Append(sample.Sample{T: t, H: w.arena.Copy(h)})
			} else {
				points.Append(sample.Sample{T: t, F: c.F[k]})
			}
		}
	}
	return points, nil
}
