package parser

// BinaryOp is an operator between two expressions; [OpAdd] and [OpSub] are also the signs.
type BinaryOp uint8

// The operators. TrimUpper and TrimLower cut a histogram at a threshold.
const (
	OpAdd BinaryOp = iota
	OpSub
	OpMul
	OpDiv
	OpMod
	OpPow
	OpAtan2
	OpEqual
	OpNotEqual
	OpGreater
	OpLess
	OpGreaterEqual
	OpLessEqual
	OpTrimUpper
	OpTrimLower
	OpAnd
	OpOr
	OpUnless
)

// String returns the operator as written.
func (op BinaryOp) String() string {
	return [...]string{
		"+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "</", ">/", "and", "or", "unless",
	}[op]
}

// IsComparison reports whether the operator compares, and so takes the bool modifier.
func (op BinaryOp) IsComparison() bool { return op >= OpEqual && op <= OpLessEqual }

// IsSet reports whether the operator is and, or, or unless.
func (op BinaryOp) IsSet() bool { return op >= OpAnd }

// AggregateOp is an aggregation.
type AggregateOp uint8

// The aggregations.
const (
	AggSum AggregateOp = iota
	AggAvg
	AggMin
	AggMax
	AggCount
	AggGroup
	AggStddev
	AggStdvar
	AggTopK
	AggBottomK
	AggQuantile
	AggCountValues
	AggLimitK
	AggLimitRatio
	aggCount
)

// String returns the aggregation's name.
func (op AggregateOp) String() string {
	return [...]string{
		"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
		"topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio",
	}[op]
}

// TakesParam reports whether the aggregation takes a parameter before the vector. It is a string for count_values and
// a scalar for the others.
func (op AggregateOp) TakesParam() bool { return op >= AggTopK }

// IsExperimental reports whether the aggregation needs [Options.EnableExperimentalFunctions].
func (op AggregateOp) IsExperimental() bool { return op >= AggLimitK }

// DurationOp is an operator or function inside a duration.
type DurationOp uint8

// The operators. Plain is parentheses around a number; Sub without LHS is a sign.
const (
	DurationPlain DurationOp = iota
	DurationAdd
	DurationSub
	DurationMul
	DurationDiv
	DurationMod
	DurationPow
	DurationStep
	DurationRange
	DurationMinOf
	DurationMaxOf
)

// String returns the operator or the function's name as written.
func (op DurationOp) String() string {
	return [...]string{"", "+", "-", "*", "/", "%", "^", "step", "range", "min_of", "max_of"}[op]
}
