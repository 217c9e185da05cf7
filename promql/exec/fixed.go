package exec

import (
	"context"

	"github.com/narthex-io/narthex/promql/plan"
)

// fixed yields rows that are in memory.
type fixed struct {
	out  []Series
	rows []Row
}

func (f *fixed) series() []Series { return f.out }

func (f *fixed) row(_ context.Context, _ *worker, i int, dst *Row) error {
	dst.copyFrom(&f.rows[i])
	return nil
}

// materialize calculates all rows of an operator and keeps those that are not empty.
func (q *query) materialize(ctx context.Context, op operator, g plan.Grid) (*fixed, error) {
	f := &fixed{}
	in := op.series()
	err := q.each(ctx, op, g, func(i int, r *Row) error {
		n := r.count()
		if n == 0 {
			return nil
		}
		f.out, f.rows = append(f.out, in[i]), append(f.rows, r.clone())
		return q.hold(n)
	})
	return f, err
}

// invariant repeats the value of the first step.
type invariant struct {
	operator
	steps int
}

func (q *query) buildInvariant(ctx context.Context, n *plan.StepInvariant, g plan.Grid) (operator, error) {
	op, err := q.build(ctx, n.Expr, g.First())
	if err != nil || g.N == 1 {
		return op, err
	}
	return &invariant{op, g.N}, nil
}

func (o *invariant) row(ctx context.Context, w *worker, i int, dst *Row) error {
	r := w.borrow()
	defer w.giveBack(r)
	if err := o.operator.row(ctx, w, i, r); err != nil {
		return err
	}
	dst.reset(o.steps)
	if isAbsent(r.F[0]) {
		return nil
	}
	for step := range dst.F {
		dst.put(step, r, 0)
	}
	return nil
}
