// Package plan turns the syntax tree of a query into a logical plan: typed nodes with all times, ranges and offsets
// resolved to milliseconds, parentheses gone, and range functions joined with what they range over.
//
// Start with [Build], which lowers a tree, and [Optimize], which runs the optimizers, one in each file. A node says
// what to calculate, never how: promql/exec does that.
package plan

import (
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// Node is a part of a plan. The types that implement it are the pointer types of this file.
type Node interface {
	// Type returns the type of the value.
	Type() parser.ValueType
	// Pos returns where in the query the node comes from.
	Pos() parser.PositionRange
	// children returns the nodes below, with the places to put others.
	children() []*Node
}

// Number is a scalar constant.
type Number struct {
	V float64
	position
}

// String is a string constant.
type String struct {
	V string
	position
}

// Shift moves the time at which a selector or subquery is looked at.
type Shift struct {
	// Offset is how far back to look, in milliseconds.
	Offset int64
	// At, if not nil, is a fixed time in milliseconds that takes the place of the evaluation time.
	At *int64
}

// Reference returns the time to look at for an evaluation at t.
func (s Shift) Reference(t int64) int64 {
	if s.At != nil {
		t = *s.At
	}
	return t - s.Offset
}

// Selector selects series. With a Range it stands for all samples in the window, and only a [Window] or the root of
// a plan may hold it; else for the latest sample.
type Selector struct {
	Name     string
	Matchers []*labels.Matcher
	Shift
	// Range is the length of the window in milliseconds.
	Range int64
	// Timestamps asks for the times of the samples, in seconds, in place of the values.
	Timestamps bool
	// Starts asks for the start timestamps of the samples, in seconds, in place of the values.
	Starts bool
	// TotalsOnly says that nothing but the counts and sums of histograms will be read.
	TotalsOnly         bool
	Anchored, Smoothed bool
	// Read is set if other selectors read the same.
	Read  *Read
	Hints Hints
	position
}

// Hints tell the storage what becomes of the samples of a selector.
type Hints struct {
	Func     string
	Grouping []string
	By       bool
	// Labels are, if Project is set, the only labels that will be looked at.
	Project bool
	Labels  []string
}

// Subquery evaluates Expr over a range of time, at multiples of Step.
type Subquery struct {
	Expr Node
	Shift
	// Range is the length of the window, Step the distance of evaluations, both in milliseconds.
	Range, Step int64
	position
}

// Window is a function over a window of samples of each series.
type Window struct {
	Func string
	// Over is a [Selector] with a range or a [Subquery].
	Over Node
	// OverPos is where that argument stands, ArgPos where each of the arguments of the call does, without parentheses.
	OverPos parser.PositionRange
	ArgPos  []parser.PositionRange
	// Args are the scalar arguments, in order.
	Args []Node
	// NamesUnread says that the metric names of the result are not looked at, so that they can stay.
	NamesUnread bool
	position
}

// Call is any function but those of [Window].
type Call struct {
	Func string
	Args []Node
	// ArgPos are where the arguments stand, without parentheses.
	ArgPos []parser.PositionRange
	position
}

// Aggregate is an aggregation.
type Aggregate struct {
	Op parser.AggregateOp
	// Param is nil for the aggregations without one.
	Param Node
	Expr  Node
	// Grouping is sorted.
	Grouping []string
	Without  bool
	// ParamPos and ExprPos are where the operands stand, without parentheses.
	ParamPos, ExprPos parser.PositionRange
	position
}

// Binary is an operator between scalars, a vector and a scalar, or vectors.
type Binary struct {
	Op       parser.BinaryOp
	LHS, RHS Node
	// Matching is set exactly when both operands are vectors.
	Matching   *parser.VectorMatching
	ReturnBool bool
	position
}

// Negate changes the sign.
type Negate struct {
	Expr Node
	position
}

// StepInvariant has the same value at all steps, so that one evaluation is enough.
type StepInvariant struct {
	Expr Node
}

type position struct{ pos parser.PositionRange }

// Pos implements [Node].
func (p position) Pos() parser.PositionRange { return p.pos }

// Pos implements [Node].
func (n *StepInvariant) Pos() parser.PositionRange { return n.Expr.Pos() }

// Type implements [Node].
func (*Number) Type() parser.ValueType { return parser.ValueTypeScalar }

// Type implements [Node].
func (*String) Type() parser.ValueType { return parser.ValueTypeString }

// Type implements [Node].
func (n *Selector) Type() parser.ValueType {
	if n.Range > 0 {
		return parser.ValueTypeMatrix
	}
	return parser.ValueTypeVector
}

// Type implements [Node].
func (*Subquery) Type() parser.ValueType { return parser.ValueTypeMatrix }

// Type implements [Node].
func (*Window) Type() parser.ValueType { return parser.ValueTypeVector }

// Type implements [Node].
func (n *Call) Type() parser.ValueType {
	f, ok := parser.LookupFunction(n.Func)
	if !ok {
		return parser.ValueTypeNone
	}
	return f.ReturnType
}

// Type implements [Node].
func (*Aggregate) Type() parser.ValueType { return parser.ValueTypeVector }

// Type implements [Node].
func (n *Binary) Type() parser.ValueType {
	if n.LHS.Type() == parser.ValueTypeScalar && n.RHS.Type() == parser.ValueTypeScalar {
		return parser.ValueTypeScalar
	}
	return parser.ValueTypeVector
}

// Type implements [Node].
func (n *Negate) Type() parser.ValueType { return n.Expr.Type() }

// Type implements [Node].
func (n *StepInvariant) Type() parser.ValueType { return n.Expr.Type() }

func (*Number) children() []*Node   { return nil }
func (*String) children() []*Node   { return nil }
func (*Selector) children() []*Node { return nil }

func (n *Subquery) children() []*Node      { return []*Node{&n.Expr} }
func (n *Window) children() []*Node        { return append([]*Node{&n.Over}, pointers(n.Args)...) }
func (n *Call) children() []*Node          { return pointers(n.Args) }
func (n *Binary) children() []*Node        { return []*Node{&n.LHS, &n.RHS} }
func (n *Negate) children() []*Node        { return []*Node{&n.Expr} }
func (n *StepInvariant) children() []*Node { return []*Node{&n.Expr} }

func (n *Aggregate) children() []*Node {
	if n.Param == nil {
		return []*Node{&n.Expr}
	}
	return []*Node{&n.Param, &n.Expr}
}

// Walk calls visit for a node and all below it, parents first.
func Walk(n Node, visit func(Node)) {
	visit(n)
	for _, c := range n.children() {
		Walk(*c, visit)
	}
}

// KeepsName reports whether the result keeps the metric names of the series.
func (n *Window) KeepsName() bool {
	f, ok := parser.LookupFunction(n.Func)
	return ok && f.KeepsName
}

func pointers(nodes []Node) []*Node {
	ps := make([]*Node, len(nodes))
	for i := range nodes {
		ps[i] = &nodes[i]
	}
	return ps
}

// Optimize rewrites a plan into an equivalent one that costs less. Hoisting comes last: the others look at the nodes that
// it wraps.
func Optimize(n Node) Node {
	n = foldConstants(n)
	n = markTotals(n)
	n = propagateMatchers(n)
	n = projectLabels(n)
	n = shareSelectors(n)
	return hoistStepInvariant(n)
}
