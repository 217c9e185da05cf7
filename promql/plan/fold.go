package plan

import (
	"math"

	"github.com/narthex-io/narthex/promql/parser"
)

// foldConstants replaces calculations with numbers alone by their results.
func foldConstants(n Node) Node {
	for _, c := range n.children() {
		*c = foldConstants(*c)
	}
	switch n := n.(type) {
	case *Negate:
		if v, ok := n.Expr.(*Number); ok {
			return &Number{V: -v.V, position: n.position}
		}
	case *Binary:
		l, lok := n.LHS.(*Number)
		r, rok := n.RHS.(*Number)
		if lok && rok {
			if v, ok := ScalarOp(n.Op, l.V, r.V); ok {
				return &Number{V: v, position: n.position}
			}
		}
	case *Call:
		if n.Func == "pi" {
			return &Number{V: math.Pi, position: n.position}
		}
	}
	return n
}

// ScalarOp calculates an operator between two scalars; comparisons return 0 or 1. It reports whether scalars have
// the operator.
func ScalarOp(op parser.BinaryOp, l, r float64) (float64, bool) {
	truth := func(b bool) (float64, bool) {
		if b {
			return 1, true
		}
		return 0, true
	}
	switch op {
	case parser.OpAdd:
		return l + r, true
	case parser.OpSub:
		return l - r, true
	case parser.OpMul:
		return l * r, true
	case parser.OpDiv:
		return l / r, true
	case parser.OpMod:
		return math.Mod(l, r), true
	case parser.OpPow:
		return math.Pow(l, r), true
	case parser.OpAtan2:
		return math.Atan2(l, r), true
	case parser.OpEqual:
		return truth(l == r)
	case parser.OpNotEqual:
		return truth(l != r)
	case parser.OpGreater:
		return truth(l > r)
	case parser.OpLess:
		return truth(l < r)
	case parser.OpGreaterEqual:
		return truth(l >= r)
	case parser.OpLessEqual:
		return truth(l <= r)
	default:
		return 0, false
	}
}
