package parser

import (
	"slices"

	"github.com/narthex-io/narthex/model/labels"
)

// check notes what is wrong with the types in a tree, and completes it: an operator keeps its matching only between
// vectors.
func (s *state) check(e Expr) {
	switch e := e.(type) {
	case *ParenExpr:
		s.check(e.Expr)
	case *UnaryExpr:
		s.check(e.Expr)
		if t := e.Expr.Type(); t != ValueTypeScalar && t != ValueTypeVector {
			s.addf(e.PosRange, "unary expression only allowed on expressions of type scalar or instant vector, got %q", t.Documented())
		}
	case *BinaryExpr:
		s.check(e.LHS)
		s.check(e.RHS)
		s.checkBinary(e)
	case *AggregateExpr:
		s.checkType(e.Expr, ValueTypeVector, "aggregation expression")
		if e.Param != nil {
			want := ValueTypeScalar
			if e.Op == AggCountValues {
				want = ValueTypeString
			}
			s.checkType(e.Param, want, "aggregation parameter")
		}
	case *Call:
		s.checkCall(e)
	case *VectorSelector:
		s.checkSelector(e)
	case *MatrixSelector:
		s.check(e.VectorSelector)
	case *SubqueryExpr:
		s.check(e.Expr)
		if t := e.Expr.Type(); t != ValueTypeVector {
			s.addf(e.PosRange, "subquery is only allowed on instant vector, got %s instead", string(t))
		}
	}
}

func (s *state) checkType(e Expr, want ValueType, context string) {
	s.check(e)
	if t := e.Type(); t != want {
		s.addf(e.PositionRange(), "expected type %s in %s, got %s", want.Documented(), context, t.Documented())
	}
}

func (s *state) checkBinary(b *BinaryExpr) {
	lt, rt := b.LHS.Type(), b.RHS.Type()
	m := b.Matching
	if b.ReturnBool && !b.Op.IsComparison() {
		s.addf(b.operatorRange(), "bool modifier can only be used on comparison operators")
	}
	if b.Op.IsComparison() && !b.ReturnBool && lt == ValueTypeScalar && rt == ValueTypeScalar {
		s.addf(b.operatorRange(), "comparisons between scalars must use BOOL modifier")
	}
	if b.Op.IsSet() && m.Card != CardManyToMany {
		s.addf(b.PosRange, "no grouping allowed for %q operation", b.Op)
		s.addf(b.PosRange, "set operations must always be many-to-many")
	}
	if m.On {
		for _, name := range m.Include {
			if slices.Contains(m.Labels, name) {
				s.addf(b.operatorRange(), "label %q must not occur in ON and GROUP clause at once", name)
			}
		}
	}
	for _, operand := range []Expr{b.LHS, b.RHS} {
		if t := operand.Type(); t != ValueTypeScalar && t != ValueTypeVector {
			s.addf(operand.PositionRange(), "binary expression must contain only scalar and instant vector types")
		}
	}
	filled := m.FillLHS != nil || m.FillRHS != nil
	if lt == ValueTypeVector && rt == ValueTypeVector {
		if b.Op.IsSet() && filled {
			s.addf(b.PosRange, "filling in missing series not allowed for set operators")
		}
		return
	}
	if len(m.Labels) > 0 {
		s.addf(b.PosRange, "vector matching only allowed between instant vectors")
	}
	if filled {
		s.addf(b.PosRange, "filling in missing series only allowed between instant vectors")
	}
	if b.Op.IsSet() && (lt == ValueTypeScalar || rt == ValueTypeScalar) {
		s.addf(b.PosRange, "set operator %q not allowed in binary scalar expression", b.Op)
	}
	b.Matching = nil
}

// operatorRange returns where the operator and its modifiers stand, up to their last byte.
func (e *BinaryExpr) operatorRange() PositionRange {
	return PositionRange{e.opPos.Start, e.opPos.End - 1}
}

func (s *state) checkCall(c *Call) {
	f := c.Func
	most := len(f.ArgTypes)
	least := most
	if f.Variadic != 0 {
		least--
		most = least + f.Variadic
	}
	switch got := len(c.Args); {
	case f.Variadic == 0 && got != most:
		s.addf(c.PosRange, "expected %d argument(s) in call to %q, got %d", most, f.Name, got)
	case got < least:
		s.addf(c.PosRange, "expected at least %d argument(s) in call to %q, got %d", least, f.Name, got)
	case f.Variadic > 0 && got > most:
		s.addf(c.PosRange, "expected at most %d argument(s) in call to %q, got %d", most, f.Name, got)
	}
	if f.Name == "info" && len(c.Args) > 1 {
		s.checkInfoMatchers(c)
	}
	for i, arg := range c.Args {
		if i >= len(f.ArgTypes) {
			if f.Variadic == 0 || len(f.ArgTypes) == 0 {
				s.check(arg)
				continue
			}
			i = len(f.ArgTypes) - 1
		}
		s.checkCallArg(c, arg, f.ArgTypes[i])
	}
}

func (s *state) checkCallArg(c *Call, arg Expr, want ValueType) {
	s.check(arg)
	if t := arg.Type(); t != want {
		s.addf(arg.PositionRange(), "expected type %s in call to function %q, got %s", want.Documented(), c.Func.Name, t.Documented())
	}
}

// checkInfoMatchers checks the second argument of info, which is a list of matchers in the shape of a selector.
func (s *state) checkInfoMatchers(c *Call) {
	arg := c.Args[1]
	if t := arg.Type(); t != ValueTypeVector {
		s.addf(c.PosRange, "expected type %s in call to function %q, got %s", ValueTypeVector.Documented(), c.Func.Name, t.Documented())
	}
	v, ok := arg.(*VectorSelector)
	switch {
	case !ok:
		s.addf(arg.PositionRange(), "expected label selectors only")
	case v.Name != "":
		s.addf(v.PosRange, "expected label selectors only, got vector selector instead")
	default:
		v.InfoMatchers = true
	}
}

func (s *state) checkSelector(v *VectorSelector) {
	if v.Name != "" {
		for _, m := range v.Matchers[:len(v.Matchers)-1] {
			if m.Name == labels.MetricName {
				s.addf(v.PosRange, "metric name must not be set twice: %q or %q", v.Name, m.Value)
			}
		}
		return
	}
	if v.InfoMatchers || slices.ContainsFunc(v.Matchers, func(m *labels.Matcher) bool { return !m.Matches("") }) {
		return
	}
	s.addf(v.PosRange, "vector selector must contain at least one non-empty matcher")
}
