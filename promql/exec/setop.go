package exec

import (
	"context"
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// masked yields the rows of an operator at the steps at which the mask of their group allows it.
type masked struct {
	operator
	group []int32
	// masks tell where the other side has a value of the group; a group without a mask has none.
	masks [][]bool
	// present says that the other side must have a value; else it must not.
	present bool
}

func (o *masked) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := o.operator.row(ctx, w, i, dst); err != nil {
		return err
	}
	mask := o.masks[o.group[i]]
	return inPieces(w.ended, len(dst.F), func(from, to int) {
		for step := from; step < to; step++ {
			if (mask != nil && mask[step]) != o.present {
				dst.drop(step)
			}
		}
	})
}

// setOperator makes the operator of and, or and unless.
func (q *query) setOperator(ctx context.Context, n *plan.Binary, lhs, rhs operator, g plan.Grid) (operator, error) {
	mt, err := q.match(ctx, lhs.series(), rhs.series(), n.Matching)
	if err != nil {
		return nil, err
	}
	switch n.Op {
	case parser.OpAnd, parser.OpUnless:
		masks, err := q.masks(ctx, rhs, mt.right, wanted(mt.left, mt.n), g)
		return &masked{lhs, mt.left, masks, n.Op == parser.OpAnd}, err
	case parser.OpOr:
		masks, err := q.masks(ctx, lhs, mt.left, wanted(mt.right, mt.n), g)
		if err != nil {
			return nil, err
		}
		return q.concat(ctx, lhs, &masked{rhs, mt.right, masks, false})
	default:
		return nil, fmt.Errorf("%s is no set operator", n.Op)
	}
}

// wanted tells which groups have a series.
func wanted(of []int32, n int) []bool {
	w := make([]bool, n)
	for _, k := range of {
		w[k] = true
	}
	return w
}

// masks tells for each wanted group at which steps one of its series has a value.
func (q *query) masks(ctx context.Context, op operator, group []int32, wanted []bool, g plan.Grid) ([][]bool, error) {
	masks := make([][]bool, len(wanted))
	sub := &subset{operator: op}
	var others []int32
	for i, k := range group {
		if wanted[k] {
			sub.pick = append(sub.pick, int32(i))
		} else {
			others = append(others, int32(i))
		}
	}
	if err := q.drain(ctx, op, others, g); err != nil {
		return nil, err
	}
	err := q.each(ctx, sub, g, func(i int, r *row) error {
		k := group[sub.pick[i]]
		if masks[k] == nil {
			masks[k] = make([]bool, g.N)
			if err := q.holdBytes(int64(g.N)); err != nil {
				return err
			}
		}
		return inPieces(ctx.Err, len(r.F), func(from, to int) {
			for step, f := range r.F[from:to] {
				if !isAbsent(f) {
					masks[k][from+step] = true
				}
			}
		})
	})
	return masks, err
}

// drain evaluates rows that are not needed, if that can yield annotations or errors.
func (q *query) drain(ctx context.Context, op operator, which []int32, g plan.Grid) error {
	if _, silent := bare(op).(*instant); silent || len(which) == 0 {
		return nil
	}
	return q.each(ctx, &subset{op, which}, g, func(int, *row) error { return nil })
}

// subset yields some of the rows of an operator.
type subset struct {
	operator
	pick []int32
}

func (s *subset) series() []series {
	all := s.operator.series()
	some := make([]series, len(s.pick))
	for i, k := range s.pick {
		some[i] = all[k]
	}
	return some
}

func (s *subset) row(ctx context.Context, w *worker, i int, dst *row) error {
	return s.operator.row(ctx, w, int(s.pick[i]), dst)
}

// concatenated yields the rows of one operator, then those of another.
type concatenated struct {
	a, b operator
	// of is the number of series of a.
	of  int
	out []series
}

// concat joins two operators; the rows of series that both have are merged.
func (q *query) concat(ctx context.Context, a, b operator) (operator, error) {
	c := &concatenated{a: a, b: b, of: len(a.series())}
	c.out = slices.Concat(a.series(), b.series())
	if err := q.holdBytes(seriesHeader * int64(len(c.out))); err != nil {
		return nil, err
	}
	op, err := q.merge(ctx, c, c.out)
	if err != nil {
		return nil, err
	}
	return op, q.settleIfMerged(ctx, op, c.out)
}

// settleIfMerged calls settleNames if op has merged any of the series.
func (q *query) settleIfMerged(ctx context.Context, op operator, in []series) error {
	if m, ok := op.(*merged); ok {
		return q.settleNames(ctx, m, in)
	}
	return nil
}

// settleNames decides for rows whose members do not agree whether the name goes: the first value in time counts.
func (q *query) settleNames(ctx context.Context, m *merged, in []series) error {
	w, r := q.newWorker(ctx), &row{}
	defer w.close()
	ended := ending(ctx)
	for i, members := range m.members {
		if err := ended(); err != nil {
			return err
		}
		agree := true
		for _, k := range members {
			agree = agree && in[k].dropName == in[members[0]].dropName
		}
		if agree {
			continue
		}
		earliest := -1
		for _, k := range members {
			if err := m.op.row(ctx, w, int(k), r); err != nil {
				return err
			}
			first := slices.IndexFunc(r.F, func(f float64) bool { return !isAbsent(f) })
			if first >= 0 && (earliest < 0 || first < earliest) {
				earliest, m.out[i].dropName = first, in[k].dropName
			}
		}
	}
	return nil
}

func (c *concatenated) series() []series { return c.out }

func (c *concatenated) row(ctx context.Context, w *worker, i int, dst *row) error {
	if i >= c.of {
		return c.b.row(ctx, w, i-c.of, dst)
	}
	return c.a.row(ctx, w, i, dst)
}
