package exec

import (
	"context"

	"github.com/narthex-io/narthex/promql/plan"
)

// fixed yields rows that are in memory.
type fixed struct {
	out  []series
	rows []row
}

func (f *fixed) series() []series { return f.out }

func (f *fixed) row(_ context.Context, w *worker, i int, dst *row) error {
	return dst.copyFrom(w.ended, &f.rows[i])
}

// materialize calculates all rows of an operator and keeps those that are not empty.
func (q *query) materialize(ctx context.Context, op operator, g plan.Grid) (*fixed, error) {
	f := &fixed{}
	in := op.series()
	err := q.each(ctx, op, g, func(i int, r *row) error {
		if r.count() == 0 {
			return nil
		}
		c, err := r.clone(ctx.Err)
		if err != nil {
			return err
		}
		f.out, f.rows = append(f.out, in[i]), append(f.rows, c)
		return q.holdRow(&f.rows[len(f.rows)-1])
	})
	return f, err
}

// keep returns op with some of its rows in memory.
func (q *query) keep(ctx context.Context, op operator, which []int32, g plan.Grid) (operator, error) {
	if len(which) == 0 {
		return op, nil
	}
	kept := &kept{operator: op, rows: map[int32]*row{}}
	err := q.each(ctx, &subset{op, which}, g, func(i int, r *row) error {
		row, err := r.clone(ctx.Err)
		if err != nil {
			return err
		}
		kept.rows[which[i]] = &row
		return q.holdRow(&row)
	})
	return kept, err
}

// kept is an operator of which some rows are in memory.
type kept struct {
	operator
	rows map[int32]*row
}

func (k *kept) row(ctx context.Context, w *worker, i int, dst *row) error {
	if r, found := k.rows[int32(i)]; found {
		return dst.copyFrom(w.ended, r)
	}
	return k.operator.row(ctx, w, i, dst)
}

// invariant repeats the value of the first step.
type invariant struct {
	operator
	steps int
}

func (q *query) buildInvariant(ctx context.Context, n *plan.StepInvariant, g plan.Grid) (operator, error) {
	if g.N == 0 {
		return q.build(ctx, n.Expr, g) // Nothing is evaluated, not even for its annotations and errors.
	}
	defer q.under(q.tally.invariant(g))()
	op, err := q.build(ctx, n.Expr, g.First())
	if err != nil || g.N == 1 {
		return op, err
	}
	return &invariant{op, g.N}, nil
}

func (o *invariant) row(ctx context.Context, w *worker, i int, dst *row) error {
	r := w.borrow(1)
	defer w.giveBack(r)
	if err := o.operator.row(ctx, w, i, r); err != nil {
		return err
	}
	if err := w.reset(dst, o.steps); err != nil || isAbsent(r.F[0]) {
		return err
	}
	return inPieces(w.ended, o.steps, func(from, to int) {
		for step := from; step < to; step++ {
			dst.put(step, r, 0)
		}
	})
}
