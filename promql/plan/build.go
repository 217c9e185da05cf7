package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/narthex-io/narthex/promql/parser"
)

// Query holds what a plan depends on besides the tree. Times are in milliseconds.
type Query struct {
	// Start, End and Step are those of the query; Step is zero for an instant query.
	Start, End, Step int64
	// SubqueryStep returns the step of a subquery over rangeMillis that names none.
	SubqueryStep func(rangeMillis int64) int64
}

// Build lowers a syntax tree, which it leaves as it is. An error means that the query makes no sense.
func Build(expr parser.Expr, q Query) (Node, error) {
	b := &builder{q: q}
	return b.lower(expr, Hints{})
}

type builder struct{ q Query }

// lower returns the node of an expression. The hints are those for a selector that stands right here.
func (b *builder) lower(expr parser.Expr, hints Hints) (Node, error) {
	pos := position{expr.PositionRange()}
	switch e := expr.(type) {
	case *parser.NumberLiteral:
		return &Number{V: e.Val, position: pos}, nil
	case *parser.StringLiteral:
		return &String{V: e.Val, position: pos}, nil
	case *parser.ParenExpr:
		return b.lower(e.Expr, hints)
	case *parser.UnaryExpr:
		child, err := b.lower(e.Expr, hints)
		if err != nil || e.Op == parser.OpAdd {
			return child, err
		}
		return &Negate{Expr: child, position: pos}, nil
	case *parser.BinaryExpr:
		return b.binary(e)
	case *parser.AggregateExpr:
		return b.aggregate(e)
	case *parser.Call:
		return b.call(e)
	case *parser.VectorSelector:
		return b.selector(e, hints)
	case *parser.MatrixSelector:
		return b.matrix(e, hints)
	case *parser.SubqueryExpr:
		return b.subquery(e)
	default:
		return nil, fmt.Errorf("no plan for an expression of type %T", expr)
	}
}

func (b *builder) binary(e *parser.BinaryExpr) (Node, error) {
	lhs, err := b.lower(e.LHS, Hints{})
	if err != nil {
		return nil, err
	}
	rhs, err := b.lower(e.RHS, Hints{})
	if err != nil {
		return nil, err
	}
	n := &Binary{Op: e.Op, LHS: lhs, RHS: rhs, ReturnBool: e.ReturnBool, position: position{e.PosRange}}
	if e.Matching != nil {
		m := *e.Matching
		m.Labels = slices.Sorted(slices.Values(m.Labels))
		n.Matching = &m
	}
	return n, nil
}

func (b *builder) aggregate(e *parser.AggregateExpr) (Node, error) {
	n := &Aggregate{
		Op: e.Op, Grouping: slices.Sorted(slices.Values(e.Grouping)), Without: e.Without,
		position: position{e.PosRange},
	}
	var err error
	if e.Param != nil {
		if n.Param, err = b.lower(e.Param, Hints{}); err != nil {
			return nil, err
		}
		n.ParamPos = n.Param.Pos()
	}
	if n.Expr, err = b.lower(e.Expr, Hints{Func: e.Op.String(), Grouping: n.Grouping, By: !e.Without}); err != nil {
		return nil, err
	}
	n.ExprPos = n.Expr.Pos()
	return n, nil
}

func (b *builder) call(e *parser.Call) (Node, error) {
	name := e.Func.Name
	pos := position{e.PosRange}
	if v, ok := b.constant(name); ok {
		return &Number{V: v, position: pos}, nil
	}
	if name == "info" {
		return b.info(e)
	}
	args := make([]Node, len(e.Args))
	argPos := make([]parser.PositionRange, len(e.Args))
	over := -1
	for i, arg := range e.Args {
		var err error
		if args[i], err = b.lower(arg, Hints{Func: name}); err != nil {
			return nil, err
		}
		argPos[i] = args[i].Pos()
		if _, ok := args[i].(*Subquery); ok {
			argPos[i] = parser.PositionRange{} // As upstream has it: a subquery has no place.
		}
		if args[i].Type() == parser.ValueTypeMatrix {
			over = i
		}
	}
	if over >= 0 {
		window := args[over]
		return &Window{
			Func: name, Over: window, OverPos: argPos[over], ArgPos: argPos,
			Args: slices.Delete(args, over, over+1), position: pos,
		}, nil
	}
	if s, ok := first(args).(*Selector); ok {
		s.Timestamps, s.Starts = name == "timestamp", name == "start_timestamp"
	}
	return &Call{Func: name, Args: args, ArgPos: argPos, position: pos}, nil
}

// constant returns the value of a function that depends on nothing but the query.
func (b *builder) constant(function string) (float64, bool) {
	switch function {
	case "start":
		return float64(b.q.Start) / 1000, true
	case "end":
		return float64(b.q.End) / 1000, true
	case "step":
		if b.q.Start == b.q.End {
			return 0, true // Also for a range query, as upstream has it.
		}
		return float64(b.q.Step) / 1000, true
	case "range":
		return float64(b.q.End-b.q.Start) / 1000, true
	default:
		return 0, false
	}
}

func first(nodes []Node) Node {
	if len(nodes) == 0 {
		return nil
	}
	return nodes[0]
}

func (b *builder) selector(e *parser.VectorSelector, hints Hints) (*Selector, error) {
	shift, err := b.shift(&e.TimeShift)
	if err != nil {
		return nil, err
	}
	return &Selector{
		Name: e.Name, Matchers: e.Matchers, Shift: shift, Anchored: e.Anchored, Smoothed: e.Smoothed, Hints: hints,
		position: position{e.PosRange},
	}, nil
}

func (b *builder) matrix(e *parser.MatrixSelector, hints Hints) (Node, error) {
	s, err := b.selector(e.VectorSelector, hints)
	if err != nil {
		return nil, err
	}
	s.Range, err = b.duration(e.Range, e.RangeExpr, false)
	s.position = position{e.PosRange}
	return s, err
}

func (b *builder) subquery(e *parser.SubqueryExpr) (Node, error) {
	child, err := b.lower(e.Expr, Hints{})
	if err != nil {
		return nil, err
	}
	shift, err := b.shift(&e.TimeShift)
	if err != nil {
		return nil, err
	}
	n := &Subquery{Expr: child, Shift: shift, position: position{e.PosRange}}
	if n.Range, err = b.duration(e.Range, e.RangeExpr, false); err != nil {
		return nil, err
	}
	if n.Step, err = b.duration(e.Step, e.StepExpr, false); err != nil {
		return nil, err
	}
	if n.Step == 0 {
		n.Step = max(b.q.SubqueryStep(n.Range), 1)
	}
	return n, nil
}

// shift resolves offset and @.
func (b *builder) shift(e *parser.TimeShift) (s Shift, err error) {
	switch {
	case e.StartOrEnd == parser.AnchorStart:
		s.At = &b.q.Start
	case e.StartOrEnd == parser.AnchorEnd:
		s.At = &b.q.End
	case e.Timestamp != nil:
		s.At = e.Timestamp
	}
	s.Offset, err = b.duration(e.Offset, e.OffsetExpr, true)
	return s, err
}

// duration returns milliseconds; calc, if set, has to be calculated.
func (b *builder) duration(d time.Duration, calc *parser.DurationExpr, mayBeNegative bool) (int64, error) {
	if calc == nil {
		return d.Milliseconds(), nil
	}
	d, err := calc.Resolve(parser.DurationContext{
		Range: time.Duration(b.q.End-b.q.Start) * time.Millisecond, Step: time.Duration(b.q.Step) * time.Millisecond,
		AllowNegative: mayBeNegative,
	})
	return d.Milliseconds(), err
}
