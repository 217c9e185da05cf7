package parser

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

// String implements [Node].
func (e *NumberLiteral) String() string { return oneLine(e) }

// String implements [Node].
func (e *StringLiteral) String() string { return oneLine(e) }

// String implements [Node].
func (e *ParenExpr) String() string { return oneLine(e) }

// String implements [Node].
func (e *UnaryExpr) String() string { return oneLine(e) }

// String implements [Node].
func (e *BinaryExpr) String() string { return oneLine(e) }

// String implements [Node].
func (e *AggregateExpr) String() string { return oneLine(e) }

// String implements [Node].
func (e *Call) String() string { return oneLine(e) }

// String implements [Node].
func (e *VectorSelector) String() string { return oneLine(e) }

// String implements [Node].
func (e *MatrixSelector) String() string { return oneLine(e) }

// String implements [Node].
func (e *SubqueryExpr) String() string { return oneLine(e) }

// String implements [Node].
func (e *DurationExpr) String() string { return oneLine(e) }

// oneLine returns a node as PromQL in one line.
func oneLine(n Node) string {
	var p printer
	p.node(n)
	return string(p.buf)
}

// printer appends nodes to one buffer, so that a tree of any depth is printed in linear time.
type printer struct {
	buf []byte
	// spans, when not nil, remembers where in buf each node stands.
	spans map[Node]span
	// pace, when not nil, says when to give up.
	pace *pace
}

type span struct{ start, end int }

func (p *printer) str(s string) { p.buf = append(p.buf, s...) }

func (p *printer) node(n Node) {
	if p.pace.over() {
		return
	}
	start := len(p.buf)
	switch n := n.(type) {
	case *NumberLiteral:
		p.number(n)
	case *StringLiteral:
		p.buf = strconv.AppendQuote(p.buf, n.Val)
	case *ParenExpr:
		p.str("(")
		p.node(n.Expr)
		p.str(")")
	case *UnaryExpr:
		p.str(n.Op.String())
		p.node(n.Expr)
	case *BinaryExpr:
		p.node(n.LHS)
		p.str(" ")
		p.operator(n)
		p.str(" ")
		p.node(n.RHS)
	case *AggregateExpr:
		p.aggregation(n)
		p.str("(")
		if n.Param != nil {
			p.node(n.Param)
			p.str(", ")
		}
		p.node(n.Expr)
		p.str(")")
	case *Call:
		p.str(n.Func.Name)
		p.str("(")
		for i, arg := range n.Args {
			if i > 0 {
				p.str(", ")
			}
			p.node(arg)
		}
		p.str(")")
	case *VectorSelector:
		p.vectorSelector(n)
	case *MatrixSelector:
		p.matrixSelector(n)
	case *SubqueryExpr:
		p.node(n.Expr)
		p.subqueryTail(n)
	case *DurationExpr:
		p.durationExpr(n)
	}
	if p.spans != nil {
		p.spans[n] = span{start, len(p.buf)}
	}
}

func (p *printer) number(n *NumberLiteral) {
	switch {
	case n.Duration:
		if n.Val < 0 {
			p.str("-")
		}
		p.duration(secondsToDuration(math.Abs(n.Val)).Round(time.Millisecond))
	case math.IsInf(n.Val, 0) || math.IsNaN(n.Val):
		p.buf = strconv.AppendFloat(p.buf, n.Val, 'g', -1, 64)
	default:
		p.buf = strconv.AppendFloat(p.buf, n.Val, 'f', -1, 64)
	}
}

// operator prints all that stands between the operands.
func (p *printer) operator(n *BinaryExpr) {
	p.str(n.Op.String())
	if n.ReturnBool {
		p.str(" bool")
	}
	m := n.Matching
	if m == nil {
		return
	}
	if m.On || len(m.Labels) > 0 || m.Card == CardManyToOne || m.Card == CardOneToMany {
		if m.On {
			p.str(" on ")
		} else {
			p.str(" ignoring ")
		}
		p.labelNames(m.Labels)
	}
	switch m.Card {
	case CardManyToOne:
		p.str(" group_left ")
		p.labelNames(m.Include)
	case CardOneToMany:
		p.str(" group_right ")
		p.labelNames(m.Include)
	}
	p.fill(m.FillLHS, m.FillRHS)
}

func (p *printer) fill(lhs, rhs *float64) {
	one := func(name string, v float64) {
		p.str(name)
		p.str(" (")
		p.str(strconv.FormatFloat(v, 'g', -1, 64))
		p.str(")")
	}
	if lhs != nil && rhs != nil && *lhs == *rhs {
		one(" fill", *lhs)
		return
	}
	if lhs != nil {
		one(" fill_left", *lhs)
	}
	if rhs != nil {
		one(" fill_right", *rhs)
	}
}

// aggregation prints all that stands before the parentheses.
func (p *printer) aggregation(n *AggregateExpr) {
	p.str(n.Op.String())
	if n.Without || len(n.Grouping) > 0 {
		if n.Without {
			p.str(" without ")
		} else {
			p.str(" by ")
		}
		p.labelNames(n.Grouping)
		p.str(" ")
	}
}

func (p *printer) labelNames(names []string) {
	p.str("(")
	for i, name := range names {
		if i > 0 {
			p.str(", ")
		}
		if labels.IsValidLegacyLabelName(name) {
			p.str(name)
		} else {
			p.buf = strconv.AppendQuote(p.buf, name)
		}
	}
	p.str(")")
}

func (p *printer) vectorSelector(n *VectorSelector) {
	p.selector(n)
	p.at(&n.TimeShift)
	p.extended(n)
	p.offset(&n.TimeShift)
}

func (p *printer) matrixSelector(n *MatrixSelector) {
	p.selector(n.VectorSelector)
	p.str("[")
	p.durationOr(n.RangeExpr, n.Range)
	p.str("]")
	p.extended(n.VectorSelector)
	p.timeShift(&n.VectorSelector.TimeShift)
}

// selector prints the name and, in the order of their text, the matchers.
func (p *printer) selector(n *VectorSelector) {
	p.str(n.Name)
	matchers := make([]string, 0, len(n.Matchers))
	for _, m := range n.Matchers {
		if n.Name == "" || m.Name != labels.MetricName || m.Value != n.Name {
			matchers = append(matchers, m.String())
		}
	}
	if n.Name != "" && len(matchers) == 0 {
		return
	}
	slices.Sort(matchers)
	p.str("{")
	p.str(strings.Join(matchers, ","))
	p.str("}")
}

func (p *printer) extended(n *VectorSelector) {
	if n.Anchored {
		p.str(" anchored")
	}
	if n.Smoothed {
		p.str(" smoothed")
	}
}

func (p *printer) timeShift(t *TimeShift) {
	p.at(t)
	p.offset(t)
}

func (p *printer) at(t *TimeShift) {
	switch {
	case t.Timestamp != nil:
		p.str(" @ ")
		p.buf = strconv.AppendFloat(p.buf, float64(*t.Timestamp)/1000, 'f', 3, 64)
	case t.StartOrEnd != AnchorNone:
		p.str(" @ ")
		p.str(t.StartOrEnd.String())
		p.str("()")
	}
}

func (p *printer) offset(t *TimeShift) {
	if t.OffsetExpr != nil || t.Offset != 0 {
		p.str(" offset ")
		p.durationOr(t.OffsetExpr, t.Offset)
	}
}

// subqueryTail prints all that stands after the expression.
func (p *printer) subqueryTail(n *SubqueryExpr) {
	p.str("[")
	p.durationOr(n.RangeExpr, n.Range)
	p.str(":")
	if n.StepExpr != nil || n.Step != 0 {
		p.durationOr(n.StepExpr, n.Step)
	}
	p.str("]")
	p.timeShift(&n.TimeShift)
}

func (p *printer) durationOr(e *DurationExpr, d time.Duration) {
	if e != nil {
		p.node(e)
		return
	}
	if d < 0 {
		p.str("-")
		d = -d
	}
	p.duration(d)
}

func (p *printer) durationExpr(n *DurationExpr) {
	if n.Wrapped {
		p.str("(")
		defer p.str(")")
	}
	switch n.Op {
	case DurationPlain:
		p.node(n.RHS)
	case DurationStep, DurationRange:
		p.str(n.Op.String())
		p.str("()")
	case DurationMinOf, DurationMaxOf:
		p.str(n.Op.String())
		p.str("(")
		p.node(n.LHS)
		p.str(", ")
		p.node(n.RHS)
		p.str(")")
	default:
		if n.LHS != nil {
			p.node(n.LHS)
			p.str(" ")
			p.str(n.Op.String())
			p.str(" ")
		} else if n.Op == DurationSub {
			p.str("-")
		}
		p.node(n.RHS)
	}
}
