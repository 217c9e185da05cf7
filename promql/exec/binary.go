package exec

import (
	"context"
	"math"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// buildBinary makes the operator of a binary operator of which at least one side is a vector.
func (q *query) buildBinary(ctx context.Context, n *plan.Binary, g plan.Grid) (operator, error) {
	switch {
	case n.LHS.Type() == parser.ValueTypeScalar:
		return q.withScalar(ctx, n, n.RHS, n.LHS, true, g)
	case n.RHS.Type() == parser.ValueTypeScalar:
		return q.withScalar(ctx, n, n.LHS, n.RHS, false, g)
	}
	lhs, err := q.build(ctx, n.LHS, g)
	if err != nil {
		return nil, err
	}
	rhs, err := q.build(ctx, n.RHS, g)
	if err != nil {
		return nil, err
	}
	if n.Op.IsSet() {
		return q.setOperator(ctx, n, lhs, rhs, g)
	}
	return q.join(ctx, n, lhs, rhs, g)
}

// changesName reports whether the result of an operator is something else than its operand.
func changesName(n *plan.Binary) bool { return calculates(n.Op) || n.ReturnBool }

// calculates reports whether an operator makes new values, and not just a choice among or a part of its operands.
func calculates(op parser.BinaryOp) bool { return op <= parser.OpAtan2 }

// scalarSide is an operator between a vector and a scalar.
type scalarSide struct {
	operator
	q       *query
	n       *plan.Binary
	scalars []float64
	swapped bool
	out     []series
}

func (q *query) withScalar(ctx context.Context, n *plan.Binary, vector, scalar plan.Node, swapped bool, g plan.Grid) (operator, error) {
	op, err := q.build(ctx, vector, g)
	if err != nil {
		return nil, err
	}
	values, err := q.scalar(ctx, scalar, g)
	if err != nil {
		return nil, err
	}
	o := &scalarSide{op, q, n, values, swapped, op.series()}
	if !changesName(n) {
		return o, nil
	}
	before := o.out
	if o.out, err = q.dropNames(ctx, before); err != nil {
		return nil, err
	}
	return q.unique(ctx, o, before)
}

func (o *scalarSide) series() []series { return o.out }

func (o *scalarSide) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := o.operator.row(ctx, w, i, dst); err != nil {
		return err
	}
	if len(dst.H) == 0 && !o.n.Op.IsComparison() {
		return inPieces(w.ended, len(dst.F), func(from, to int) { o.arithmetic(dst.F[from:to], o.scalars[from:to]) })
	}
	ended := ending(ctx)
	for step, f := range dst.F {
		if isAbsent(f) {
			continue
		}
		if err := ended(); err != nil {
			return err
		}
		l, r := value{f: f, h: dst.hist(step)}, value{f: o.scalars[step]}
		v := l
		if o.swapped {
			l, r = r, l
		}
		res, keep, err := o.q.binop(o.n, l, r)
		if err != nil {
			return err
		}
		if !o.n.Op.IsComparison() {
			v = res
		}
		dst.set(step, v, o.n.ReturnBool, keep)
	}
	return nil
}

// arithmetic is the fast path for floats.
func (o *scalarSide) arithmetic(values, scalars []float64) {
	f := floatOp(o.n.Op)
	if f == nil {
		for step, v := range values {
			if !isAbsent(v) {
				o.q.noteTypes(o.n, "float", "float")
				values[step] = absent
			}
		}
		return
	}
	for step, v := range values {
		switch {
		case isAbsent(v):
		case o.swapped:
			values[step] = f(scalars[step], v)
		default:
			values[step] = f(v, scalars[step])
		}
	}
}

// value is a float or, if h is set, a histogram.
type value struct {
	f float64
	h *histogram.FloatHistogram
}

// outcome says what an operator made of two values.
type outcome uint8

const (
	// keepNot: the comparison is false.
	keepNot outcome = iota
	keepIt
	// impossible: the operator does not take values of these types; there is no result, not even with bool.
	impossible
)

// set puts the result of an operator.
func (r *row) set(step int, v value, returnBool bool, o outcome) {
	switch {
	case o == impossible:
		r.drop(step)
	case returnBool && o == keepIt:
		r.F[step] = 1
	case returnBool:
		r.F[step] = 0
	case o == keepNot:
		r.drop(step)
		return
	case v.h != nil:
		r.setH(step, v.h)
		return
	default:
		r.F[step] = v.f
	}
	if len(r.H) > 0 {
		r.H[step] = nil
	}
}

// floatOp returns an arithmetic operator of floats; nil if it is none.
func floatOp(op parser.BinaryOp) func(l, r float64) float64 {
	switch op {
	case parser.OpAdd:
		return func(l, r float64) float64 { return l + r }
	case parser.OpSub:
		return func(l, r float64) float64 { return l - r }
	case parser.OpMul:
		return func(l, r float64) float64 { return l * r }
	case parser.OpDiv:
		return func(l, r float64) float64 { return l / r }
	case parser.OpMod:
		return math.Mod
	case parser.OpPow:
		return math.Pow
	case parser.OpAtan2:
		return math.Atan2
	default:
		return nil
	}
}

// binop calculates an operator between two elements of vectors. For comparisons the value is the left one.
func (q *query) binop(n *plan.Binary, l, r value) (value, outcome, error) {
	if l.h != nil || r.h != nil {
		return q.histogramBinop(n, l, r)
	}
	if n.Op.IsComparison() {
		if truth, _ := plan.ScalarOp(n.Op, l.f, r.f); truth == 0 {
			return l, keepNot, nil
		}
		return l, keepIt, nil
	}
	v, ok := plan.ScalarOp(n.Op, l.f, r.f)
	if !ok {
		q.noteTypes(n, "float", "float")
		return value{}, impossible, nil
	}
	return value{f: v}, keepIt, nil
}

func (q *query) noteTypes(n *plan.Binary, l, r string) {
	q.notes.infof(spotOf(n, n.Pos()), "incompatible sample types encountered for binary operator %q: %s %s %s", n.Op, l, n.Op, r)
}
