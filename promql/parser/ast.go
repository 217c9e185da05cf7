package parser

import (
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

// PositionRange is the part of the text that a node or an error stands for, as byte offsets: Start is its first byte,
// End the one after its last.
type PositionRange struct{ Start, End int }

// Node is a part of the syntax tree. The types that implement it are the pointer types of this file.
type Node interface {
	// String returns PromQL in one line that parses to the same tree.
	String() string
	// PositionRange returns where the node stands in the text it was parsed from.
	PositionRange() PositionRange
}

// Expr is a node with a value: one of [*NumberLiteral], [*StringLiteral], [*ParenExpr], [*UnaryExpr], [*BinaryExpr],
// [*AggregateExpr], [*Call], [*VectorSelector], [*MatrixSelector] and [*SubqueryExpr], and inside of durations also
// [*DurationExpr].
type Expr interface {
	Node
	// Type returns the type of the value.
	Type() ValueType
	expr()
}

// ValueType is the type of an expression's value, spelled as in the HTTP API's resultType.
type ValueType string

// The types. ValueTypeNone is that of a call of an unknown function, which is an error.
const (
	ValueTypeNone   ValueType = "none"
	ValueTypeScalar ValueType = "scalar"
	ValueTypeVector ValueType = "vector"
	ValueTypeMatrix ValueType = "matrix"
	ValueTypeString ValueType = "string"
)

// Documented returns the name that the documentation gives to the type, such as "instant vector".
func (t ValueType) Documented() string {
	switch t {
	case ValueTypeVector:
		return "instant vector"
	case ValueTypeMatrix:
		return "range vector"
	default:
		return string(t)
	}
}

// NumberLiteral is a number, or a duration such as 5m, which is a number of seconds.
type NumberLiteral struct {
	Val float64
	// Duration says that the number was written as a duration.
	Duration bool
	PosRange PositionRange
}

// StringLiteral is a string, unquoted.
type StringLiteral struct {
	Val      string
	PosRange PositionRange
}

// ParenExpr is an expression in parentheses.
type ParenExpr struct {
	Expr     Expr
	PosRange PositionRange
	typ      ValueType
}

// UnaryExpr is a sign, [OpAdd] or [OpSub], before a scalar or vector.
type UnaryExpr struct {
	Op       BinaryOp
	Expr     Expr
	PosRange PositionRange
	typ      ValueType
}

// BinaryExpr is an operator between two operands, each of them a scalar or a vector.
type BinaryExpr struct {
	Op       BinaryOp
	LHS, RHS Expr
	// Matching says how the elements of two vectors find each other. It is nil exactly when an operand is a scalar.
	Matching *VectorMatching
	// ReturnBool is set when a comparison returns 0 or 1 instead of filtering.
	ReturnBool bool
	PosRange   PositionRange
	// opPos is where the operator and its modifiers stand.
	opPos PositionRange
	typ   ValueType
}

// MatchCardinality says how many elements of each side may share a matching key.
type MatchCardinality uint8

// The cardinalities. Set operators are always many-to-many.
const (
	CardOneToOne MatchCardinality = iota
	CardManyToOne
	CardOneToMany
	CardManyToMany
)

// String returns the cardinality as it stands in messages, such as "many-to-one".
func (c MatchCardinality) String() string {
	return [...]string{"one-to-one", "many-to-one", "one-to-many", "many-to-many"}[c]
}

// VectorMatching says how the elements of two vectors find each other.
type VectorMatching struct {
	Card MatchCardinality
	// On says that elements match by Labels alone; else they match by all labels but Labels and the metric name.
	On     bool
	Labels []string
	// Include lists the labels that the result takes from the side with one element.
	Include []string
	// FillLHS and FillRHS are the values that stand in for an element that has no partner on that side; nil if there
	// is no result then.
	FillLHS, FillRHS *float64
}

// AggregateExpr is an aggregation over a vector.
type AggregateExpr struct {
	Op AggregateOp
	// Param is the parameter of the aggregations that take one, else nil.
	Param Expr
	Expr  Expr
	// Grouping lists the labels to keep or, with Without, to drop.
	Grouping []string
	Without  bool
	PosRange PositionRange
}

// Call is a call of a function.
type Call struct {
	Func     *Function
	Args     []Expr
	PosRange PositionRange
}

// Anchor is the time of a query that an @ modifier names.
type Anchor uint8

// The anchors. None means that there is no @ start() and no @ end().
const (
	AnchorNone Anchor = iota
	AnchorStart
	AnchorEnd
)

// String returns the anchor as written, such as "start".
func (a Anchor) String() string { return [...]string{"", "start", "end"}[a] }

// TimeShift is what the offset and @ modifiers of a selector or subquery say, in whichever order they stand.
type TimeShift struct {
	// Offset is how far to look back, negative for ahead. It is zero when OffsetExpr is set.
	Offset time.Duration
	// OffsetExpr is an offset that is known only when start, end and step of the query are, or that must be calculated.
	OffsetExpr *DurationExpr
	// Timestamp is the time given by an @ modifier with a number, in milliseconds since the Unix epoch; else nil.
	Timestamp *int64
	// StartOrEnd is the time given by @ start() or @ end().
	StartOrEnd Anchor
}

// VectorSelector selects series and, from each, one sample at each time.
type VectorSelector struct {
	// Name is the metric name where it was written before the braces. Matchers hold it, too, as the last one.
	Name     string
	Matchers []*labels.Matcher
	TimeShift
	// Anchored and Smoothed are the extended range modifiers; at most one is set. In a range selector they are set on
	// its vector selector.
	Anchored, Smoothed bool
	// InfoMatchers says that the selector is the second argument of info: a list of matchers that selects nothing by
	// itself and may match everything.
	InfoMatchers bool
	PosRange     PositionRange
}

// MatrixSelector selects series and, from each, the samples of a range of time.
type MatrixSelector struct {
	VectorSelector *VectorSelector
	// Range is the length of time. It is zero when RangeExpr is set.
	Range     time.Duration
	RangeExpr *DurationExpr
	PosRange  PositionRange
}

// SubqueryExpr evaluates an expression over a range of time.
type SubqueryExpr struct {
	Expr Expr
	// Range is the length of time. It is zero when RangeExpr is set.
	Range     time.Duration
	RangeExpr *DurationExpr
	// Step is the distance of evaluations; zero without a StepExpr means the default.
	Step     time.Duration
	StepExpr *DurationExpr
	TimeShift
	PosRange PositionRange
}

// DurationExpr is a calculation inside a range, step or offset. Its value is a number of seconds.
type DurationExpr struct {
	Op DurationOp
	// LHS and RHS are [*NumberLiteral] or [*DurationExpr]. A sign, or bare parentheses, have only RHS; step() and
	// range() have neither.
	LHS, RHS Expr
	// Wrapped is set when the calculation stands in parentheses.
	Wrapped  bool
	PosRange PositionRange
}

// Type implements [Expr].
func (*NumberLiteral) Type() ValueType { return ValueTypeScalar }

// Type implements [Expr].
func (*StringLiteral) Type() ValueType { return ValueTypeString }

// Type implements [Expr].
func (e *ParenExpr) Type() ValueType {
	if e.typ != "" {
		return e.typ
	}
	return e.Expr.Type()
}

// Type implements [Expr].
func (e *UnaryExpr) Type() ValueType {
	if e.typ != "" {
		return e.typ
	}
	return e.Expr.Type()
}

// Type implements [Expr].
func (e *BinaryExpr) Type() ValueType {
	switch {
	case e.typ != "":
		return e.typ
	case e.LHS.Type() == ValueTypeScalar && e.RHS.Type() == ValueTypeScalar:
		return ValueTypeScalar
	default:
		return ValueTypeVector
	}
}

// Type implements [Expr].
func (*AggregateExpr) Type() ValueType { return ValueTypeVector }

// Type implements [Expr].
func (e *Call) Type() ValueType { return e.Func.ReturnType }

// Type implements [Expr].
func (*VectorSelector) Type() ValueType { return ValueTypeVector }

// Type implements [Expr].
func (*MatrixSelector) Type() ValueType { return ValueTypeMatrix }

// Type implements [Expr].
func (*SubqueryExpr) Type() ValueType { return ValueTypeMatrix }

// Type implements [Expr].
func (*DurationExpr) Type() ValueType { return ValueTypeScalar }

// PositionRange implements [Node].
func (e *NumberLiteral) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *StringLiteral) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *ParenExpr) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *UnaryExpr) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *BinaryExpr) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *AggregateExpr) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *Call) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *VectorSelector) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *MatrixSelector) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *SubqueryExpr) PositionRange() PositionRange { return e.PosRange }

// PositionRange implements [Node].
func (e *DurationExpr) PositionRange() PositionRange { return e.PosRange }

func (*NumberLiteral) expr()  {}
func (*StringLiteral) expr()  {}
func (*ParenExpr) expr()      {}
func (*UnaryExpr) expr()      {}
func (*BinaryExpr) expr()     {}
func (*AggregateExpr) expr()  {}
func (*Call) expr()           {}
func (*VectorSelector) expr() {}
func (*MatrixSelector) expr() {}
func (*SubqueryExpr) expr()   {}
func (*DurationExpr) expr()   {}
