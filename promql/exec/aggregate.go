package exec

import (
	"context"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// buildAggregate evaluates an aggregation. Rows are folded into their groups as they come, so that groups × steps are
// in memory at most, but for the aggregations that need all values.
func (q *query) buildAggregate(ctx context.Context, n *plan.Aggregate, g plan.Grid) (operator, error) {
	if n.Op == parser.AggCountValues {
		return q.countValues(ctx, n, g)
	}
	var param []float64
	if n.Param != nil {
		var err error
		if param, err = q.scalar(ctx, n.Param, g); err != nil {
			return nil, err
		}
	}
	op, err := q.build(ctx, n.Expr, g)
	if err != nil {
		return nil, err
	}
	switch n.Op {
	case parser.AggTopK, parser.AggBottomK, parser.AggLimitK:
		return q.selectK(ctx, n, op, param, g)
	case parser.AggLimitRatio:
		return q.limitRatio(ctx, n, op, param, g)
	case parser.AggQuantile:
		if err := q.noteQuantileParam(ctx, param, spotOf(n, n.ParamPos)); err != nil {
			return nil, err
		}
	}
	gr, err := q.groupSeries(ctx, op.series(), n)
	if err != nil {
		return nil, err
	}
	acc, err := q.newAccumulator(ctx, n, gr, param, g)
	if err != nil {
		return nil, err
	}
	if err := q.fold(ctx, op, n, gr, acc, g); err != nil {
		return nil, err
	}
	return q.results(ctx, gr, acc, g)
}

// noteQuantileParam warns of the worst parameters that quantile gets; none is worse than not a number.
func (q *query) noteQuantileParam(ctx context.Context, values []float64, at spot) error {
	r, err := rangeOf(ctx, values)
	if err != nil {
		return err
	}
	if r.nan {
		q.notes.warnf(at, "quantile value should be between 0 and 1, got %g", math.NaN())
		return nil
	}
	if r.max > 1 {
		q.notes.warnf(at, "quantile value should be between 0 and 1, got %g", r.max)
	}
	if r.min < 0 {
		q.notes.warnf(at, "quantile value should be between 0 and 1, got %g", r.min)
	}
	return nil
}

// groups tells to which group each series belongs.
type groups struct {
	of  []int32
	out []series
}

func (q *query) groupSeries(ctx context.Context, in []series, n *plan.Aggregate) (*groups, error) {
	gr := &groups{of: make([]int32, len(in))}
	index := newKeyIndex(0)
	var key []byte
	pace := q.pace(ctx)
	for i := range in {
		// Fast path: where only the labels to group by are read, most series have those of the one before.
		if i > 0 && !in[i].dropName && labels.Equal(in[i].labels, in[i-1].labels) {
			gr.of[i] = gr.of[i-1]
			continue
		}
		made := int64(0)
		if n.Without {
			key = in[i].labels.AppendKeyWithout(key[:0], n.Grouping)
		} else {
			key = in[i].labels.AppendKeyBy(key[:0], n.Grouping)
		}
		k, isNew := index.add(key)
		if isNew {
			gr.out = append(gr.out, series{labels: groupLabels(in[i].labels, n)})
			made = seriesBytes + int64(gr.out[k].labels.ByteSize())
		}
		gr.of[i] = k
		gr.out[k].dropName = gr.out[k].dropName || in[i].dropName
		if err := pace(made); err != nil {
			return nil, err
		}
	}
	return gr, nil
}

func groupLabels(ls labels.Labels, n *plan.Aggregate) labels.Labels {
	if n.Without {
		return ls.DropSorted(n.Grouping)
	}
	return ls.KeepSorted(n.Grouping)
}

// fold hands all rows to the accumulator.
func (q *query) fold(ctx context.Context, op operator, n *plan.Aggregate, gr *groups, acc accumulator, g plan.Grid) error {
	ignores, in := ignoresHistograms(n.Op), op.series()
	nameless := !q.DelayNameRemoval && plan.NamesUnread(n.Expr)
	var unnamed series
	return q.look(ctx, op, g, func(i int, r *row) error {
		if ignores && len(r.H) > 0 {
			q.dropHistograms(r, n.Op, spotOf(n, n.ExprPos))
		}
		s := &in[i]
		if nameless {
			s = &unnamed // The series still have names that they should have lost.
		}
		return inPieces(ctx.Err, len(r.F), func(from, to int) {
			acc.fold(int(gr.of[i])*g.N+from, r.part(from, to), s)
		})
	})
}

func ignoresHistograms(op parser.AggregateOp) bool {
	return slices.Contains([]parser.AggregateOp{
		parser.AggMin, parser.AggMax, parser.AggStddev, parser.AggStdvar, parser.AggQuantile, parser.AggTopK, parser.AggBottomK,
	}, op)
}

// dropHistograms leaves a row with its floats.
func (q *query) dropHistograms(r *row, op parser.AggregateOp, at spot) {
	for step := range r.H {
		if r.H[step] != nil {
			r.F[step] = absent
			q.notes.infof(at, "ignored histogram in %s aggregation", op)
		}
	}
	clear(r.H)
	r.H = r.H[:0]
}

// results makes rows of what the accumulator holds.
func (q *query) results(ctx context.Context, gr *groups, acc accumulator, g plan.Grid) (operator, error) {
	f, ended := &fixed{out: make([]series, 0, len(gr.out)), rows: make([]row, 0, len(gr.out))}, ending(ctx)
	// Small rows are cut from larger pieces of memory.
	var free []float64
	for k := range gr.out {
		if err := ended(); err != nil {
			return nil, err
		}
		if len(free) < g.N {
			free = make([]float64, max(g.N, min(blockValues, (len(gr.out)-k)*g.N)))
		}
		r := row{F: free[:0:g.N]}
		free = free[g.N:]
		if err := r.resetUnless(ctx.Err, g.N); err != nil {
			return nil, err
		}
		if err := acc.result(k*g.N, &r); err != nil {
			return nil, err
		}
		if r.count() == 0 {
			continue
		}
		f.out, f.rows = append(f.out, gr.out[k]), append(f.rows, r)
		if err := q.holdRow(&f.rows[len(f.rows)-1]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// cellBytes is the size of the cell of a group at one step.
func cellBytes(op parser.AggregateOp) int64 {
	switch op {
	case parser.AggAvg:
		return int64(unsafe.Sizeof(mean{}))
	case parser.AggStddev, parser.AggStdvar:
		return int64(unsafe.Sizeof(variance{}))
	default:
		return int64(unsafe.Sizeof(sumCell{}))
	}
}

// newAccumulator returns the accumulator of an aggregation into groups.
func (q *query) newAccumulator(ctx context.Context, n *plan.Aggregate, gr *groups, param []float64, g plan.Grid) (accumulator, error) {
	cells := len(gr.out) * g.N
	if err := q.keepMore(cells, int64(cells)*cellBytes(n.Op)); err != nil {
		return nil, err
	}
	switch n.Op {
	case parser.AggSum:
		floats, err := newCells(ctx, cells)
		return &sumAcc{floats: floats, hists: q.histogramCells(n, cells)}, err
	case parser.AggAvg:
		return &avgAcc{floats: make([]mean, cells), hists: q.histogramCells(n, cells)}, nil
	case parser.AggMin:
		values, err := repeated(ctx, absent, cells)
		return &extremeAcc{values: values, sign: -1}, err
	case parser.AggMax:
		values, err := repeated(ctx, absent, cells)
		return &extremeAcc{values: values, sign: 1}, err
	case parser.AggCount:
		return &countAcc{counts: make([]float64, cells)}, nil
	case parser.AggGroup:
		return &countAcc{counts: make([]float64, cells), group: true}, nil
	case parser.AggStddev:
		return &varianceAcc{cells: make([]variance, cells), root: true}, nil
	case parser.AggStdvar:
		return &varianceAcc{cells: make([]variance, cells)}, nil
	case parser.AggQuantile:
		return &quantileAcc{q: q, steps: max(g.N, 1), phi: param, kept: make([][]keptValues, len(gr.out)), ended: ctx.Err}, nil
	default:
		return nil, fmt.Errorf("no accumulator for %s", n.Op)
	}
}
