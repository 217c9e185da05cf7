package exec

import (
	"context"
	"fmt"
	"math"

	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// scalar returns the values of a node of type scalar at all steps.
func (q *query) scalar(ctx context.Context, n plan.Node, g plan.Grid) ([]float64, error) {
	if err := q.begin(ctx, g); err != nil {
		return nil, err
	}
	if number, ok := n.(*plan.Number); ok {
		return repeated(ctx, number.V, g.N)
	}
	if q.Probes == nil {
		return q.scalarValues(ctx, n, g)
	}
	defer q.enter(n)()
	q.at.samples.Add(int64(g.N))
	return q.scalarValues(ctx, n, g)
}

func (q *query) scalarValues(ctx context.Context, n plan.Node, g plan.Grid) ([]float64, error) {
	switch n := n.(type) {
	case *plan.StepInvariant:
		if g.N == 0 {
			return q.scalar(ctx, n.Expr, g)
		}
		defer q.under(q.tally.invariant(g))()
		first, err := q.scalar(ctx, n.Expr, g.First())
		if err != nil {
			return nil, err
		}
		return repeated(ctx, first[0], g.N)
	case *plan.Negate:
		values, err := q.scalar(ctx, n.Expr, g)
		if err != nil {
			return nil, err
		}
		return values, inPieces(ctx.Err, len(values), func(from, to int) {
			for i := from; i < to; i++ {
				values[i] = -values[i]
			}
		})
	case *plan.Binary:
		return q.scalarBinary(ctx, n, g)
	case *plan.Call:
		return q.scalarCall(ctx, n, g)
	default:
		return nil, fmt.Errorf("no scalar for a plan of type %T", n)
	}
}

func repeated(ctx context.Context, v float64, n int) ([]float64, error) {
	values := make([]float64, n)
	return values, inPieces(ctx.Err, n, func(from, to int) {
		for i := from; i < to; i++ {
			values[i] = v
		}
	})
}

func (q *query) scalarBinary(ctx context.Context, n *plan.Binary, g plan.Grid) ([]float64, error) {
	lhs, err := q.scalar(ctx, n.LHS, g)
	if err != nil {
		return nil, err
	}
	rhs, err := q.scalar(ctx, n.RHS, g)
	if err != nil {
		return nil, err
	}
	allowed := true
	err = inPieces(ctx.Err, len(lhs), func(from, to int) {
		for i := from; i < to; i++ {
			lhs[i], allowed = plan.ScalarOp(n.Op, lhs[i], rhs[i])
		}
	})
	if !allowed {
		return nil, fmt.Errorf("operator %q not allowed for Scalar operations", n.Op)
	}
	return lhs, err
}

func (q *query) scalarCall(ctx context.Context, n *plan.Call, g plan.Grid) ([]float64, error) {
	switch n.Func {
	case "time":
		values := make([]float64, g.N)
		return values, inPieces(ctx.Err, g.N, func(from, to int) {
			for i := from; i < to; i++ {
				values[i] = float64(g.At(i)) / 1000
			}
		})
	case "scalar":
		return q.scalarOf(ctx, n.Args[0], g)
	case "min_of", "max_of":
		lhs, err := q.scalar(ctx, n.Args[0], g)
		if err != nil {
			return nil, err
		}
		rhs, err := q.scalar(ctx, n.Args[1], g)
		if err != nil {
			return nil, err
		}
		pick := math.Min
		if n.Func == "max_of" {
			pick = math.Max
		}
		return lhs, inPieces(ctx.Err, len(lhs), func(from, to int) {
			for i := from; i < to; i++ {
				lhs[i] = pick(lhs[i], rhs[i])
			}
		})
	default:
		return nil, errNoOperator(n.Func)
	}
}

// scalarOf returns the only float of a vector at each step, NaN if there is none or more than one.
func (q *query) scalarOf(ctx context.Context, n plan.Node, g plan.Grid) ([]float64, error) {
	op, err := q.build(ctx, n, g)
	if err != nil {
		return nil, err
	}
	values, err := repeated(ctx, sample.NormalNaN(), g.N)
	if err != nil {
		return nil, err
	}
	found := make([]bool, g.N)
	err = q.each(ctx, op, g, func(_ int, r *row) error {
		return inPieces(ctx.Err, len(r.F), func(from, to int) {
			for step := from; step < to; step++ {
				switch f := r.F[step]; {
				case isAbsent(f) || r.hist(step) != nil:
				case found[step]:
					values[step] = sample.NormalNaN()
				default:
					values[step], found[step] = f, true
				}
			}
		})
	})
	return values, err
}

// vectorOf is the operator of vector(): one series without labels.
func (q *query) vectorOf(ctx context.Context, n plan.Node, g plan.Grid) (operator, error) {
	values, err := q.scalar(ctx, n, g)
	if err != nil {
		return nil, err
	}
	return &fixed{out: []series{{}}, rows: []row{{F: values}}}, q.hold(len(values))
}

// stringArg returns the value of a string argument.
func stringArg(n plan.Node) (string, error) {
	s, ok := n.(*plan.String)
	if !ok {
		return "", fmt.Errorf("expected a %s", parser.ValueTypeString)
	}
	return s.V, nil
}
