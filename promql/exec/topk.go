package exec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// bounds are the extremes of a parameter.
type bounds struct {
	min, max float64
	nan      bool
}

func rangeOf(ctx context.Context, values []float64) (bounds, error) {
	b := bounds{min: math.Inf(1), max: math.Inf(-1)}
	return b, inPieces(ctx.Err, len(values), func(from, to int) {
		for _, v := range values[from:to] {
			if math.IsNaN(v) {
				b.nan = true
				continue
			}
			b.min, b.max = min(b.min, v), max(b.max, v)
		}
	})
}

// checkK checks the parameters of the aggregations that take a number of series.
func checkK(ctx context.Context, values []float64) (none bool, err error) {
	b, err := rangeOf(ctx, values)
	switch {
	case err != nil:
		return false, err
	case b.max < 1 && !b.nan:
		return true, nil
	case b.nan:
		return false, errors.New("Parameter value is NaN") //nolint:staticcheck // upstream's text
	case b.min <= math.MinInt64:
		return false, fmt.Errorf("Scalar value %v underflows int64", b.min) //nolint:staticcheck // upstream's text
	case b.max >= math.MaxInt64:
		return false, fmt.Errorf("Scalar value %v overflows int64", b.max) //nolint:staticcheck // upstream's text
	}
	return false, nil
}

// candidate is a value that is among the best of its group so far.
type candidate struct {
	f      float64
	h      *histogram.FloatHistogram
	series int32
}

// selectK evaluates topk, bottomk and limitk: it keeps the best of each group and step.
func (q *query) selectK(ctx context.Context, n *plan.Aggregate, op operator, param []float64, g plan.Grid) (operator, error) {
	in := op.series()
	none, err := checkK(ctx, param)
	if err != nil {
		return nil, err
	}
	if none {
		return &fixed{}, q.each(ctx, op, g, func(int, *row) error { return nil })
	}
	gr, err := q.groupSeries(ctx, in, n)
	if err != nil {
		return nil, err
	}
	if err := q.holdBytes(heapBytes * int64(len(gr.out)) * int64(g.N)); err != nil {
		return nil, err
	}
	ended := ending(ctx)
	cells := make([]heap, len(gr.out)*g.N)
	err = q.each(ctx, op, g, func(i int, r *row) error {
		if n.Op != parser.AggLimitK && len(r.H) > 0 {
			q.dropHistograms(r, n.Op, spotOf(n, n.Pos()))
		}
		base, grown := int(gr.of[i])*g.N, 0
		for step, f := range r.F {
			if isAbsent(f) {
				continue
			}
			if err := ended(); err != nil {
				return err
			}
			k := int(min(param[step], float64(len(in))))
			if k < 1 {
				continue
			}
			c := candidate{f, r.hist(step), int32(i)}
			if cells[base+step].offer(c, k, n.Op) {
				grown++
			}
		}
		return q.keepMore(grown, int64(grown)*candidateBytes)
	})
	if err != nil {
		return nil, err
	}
	return q.best(ctx, in, cells, n.Op, g)
}

// best makes rows of the candidates that are left. With one step, the best come first.
func (q *query) best(ctx context.Context, in []series, cells []heap, op parser.AggregateOp, g plan.Grid) (operator, error) {
	f, rowOf := &fixed{}, map[int32]int{}
	ended, pace := ending(ctx), q.pace(ctx)
	for i := range cells {
		if err := ended(); err != nil {
			return nil, err
		}
		step := i % g.N
		best := cells[i].candidates
		if op != parser.AggLimitK {
			if err := SortFunc(ctx, best, func(a, b candidate) int { return compareValues(a.f, b.f, op == parser.AggTopK) }); err != nil {
				return nil, err
			}
		}
		for _, c := range best {
			k, found := rowOf[c.series]
			if !found {
				k = len(f.rows)
				rowOf[c.series] = k
				f.out, f.rows = append(f.out, in[c.series]), append(f.rows, row{})
				if err := f.rows[k].resetUnless(ctx.Err, g.N); err != nil {
					return nil, err
				}
				if err := pace(seriesBytes + 8*int64(g.N)); err != nil {
					return nil, err
				}
			}
			if c.h != nil {
				f.rows[k].setH(step, c.h)
			} else {
				f.rows[k].F[step] = c.f
			}
		}
	}
	return f, nil
}

const (
	// heapBytes is the size of a heap without its candidates, candidateBytes that of a candidate.
	heapBytes      = int64(unsafe.Sizeof(heap{}))
	candidateBytes = int64(unsafe.Sizeof(candidate{}))
)

// heap holds the best candidates, the worst of them first.
type heap struct{ candidates []candidate }

// offer takes a candidate in if it is among the best k, and reports whether the heap has grown. Of equals the first
// stays.
func (h *heap) offer(c candidate, k int, op parser.AggregateOp) bool {
	s := h.candidates
	switch {
	case len(s) < k:
		h.candidates = append(s, c)
		if op != parser.AggLimitK {
			h.up(len(s), op)
		}
		return true
	case op == parser.AggLimitK:
		return false
	case worse(s[0].f, c.f, op):
		s[0] = c
		h.down(op)
	}
	return false
}

// worse reports whether b is to be kept rather than a.
func worse(a, b float64, op parser.AggregateOp) bool {
	switch {
	case math.IsNaN(b):
		return false
	case math.IsNaN(a):
		return true
	case op == parser.AggTopK:
		return a < b
	default:
		return a > b
	}
}

func (h *heap) up(i int, op parser.AggregateOp) {
	s := h.candidates
	for i > 0 {
		parent := (i - 1) / 2
		if !worse(s[i].f, s[parent].f, op) {
			return
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *heap) down(op parser.AggregateOp) {
	s := h.candidates
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(s) {
			return
		}
		if child+1 < len(s) && worse(s[child+1].f, s[child].f, op) {
			child++
		}
		if !worse(s[child].f, s[i].f, op) {
			return
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
}

// ratioOf yields the series whose hash falls into a part of all hashes.
type ratioOf struct {
	operator
	ratio []float64
}

func (q *query) limitRatio(ctx context.Context, n *plan.Aggregate, op operator, ratio []float64, g plan.Grid) (operator, error) {
	b, err := rangeOf(ctx, ratio)
	switch {
	case err != nil:
		return nil, err
	case b.nan:
		return nil, errors.New("Ratio value is NaN") //nolint:staticcheck // upstream's text
	case b.min == 0 && b.max == 0:
		return &fixed{}, q.each(ctx, op, g, func(int, *row) error { return nil })
	}
	if b.max > 1 {
		q.notes.warnf(spotOf(n, n.ParamPos), "ratio value should be between -1 and 1, got %g, capping to %g", b.max, 1.0)
	}
	if b.min < -1 {
		q.notes.warnf(spotOf(n, n.ParamPos), "ratio value should be between -1 and 1, got %g, capping to %g", b.min, -1.0)
	}
	return &ratioOf{op, ratio}, nil
}

func (o *ratioOf) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := o.operator.row(ctx, w, i, dst); err != nil {
		return err
	}
	at := float64(o.series()[i].labels.Hash()) / float64(math.MaxUint64)
	return inPieces(w.ended, len(o.ratio), func(from, to int) {
		for step := from; step < to; step++ {
			ratio := max(-1, min(1, o.ratio[step]))
			if ratio >= 0 && at >= ratio || ratio < 0 && at < 1+ratio {
				dst.drop(step)
			}
		}
	})
}
