package parser

import (
	"cmp"
	"slices"
)

// Function describes a function of the language. It is shared and must not be changed.
type Function struct {
	Name string
	// ArgTypes are the types of the arguments. Further ones, as Variadic allows, are of the last type.
	ArgTypes []ValueType
	// Variadic is 0 for a fixed number of arguments. When it is positive, the last argument may be left out or given up
	// to that many times; when it is -1, it may be left out or given any number of times.
	Variadic   int
	ReturnType ValueType
	// Experimental functions need [Options.EnableExperimentalFunctions].
	Experimental bool
	// KeepsName says of a function of a range vector that its result is still what the series was, and so keeps the
	// metric name.
	KeepsName bool
}

// LookupFunction returns the function of that name, whether experimental or not.
func LookupFunction(name string) (*Function, bool) {
	i, found := slices.BinarySearchFunc(functionTable[:], name, func(f Function, name string) int {
		return cmp.Compare(f.Name, name)
	})
	if !found {
		return nil, false
	}
	return &functionTable[i], true
}

// Functions returns a copy of the table of functions, ordered by name.
func Functions() []Function { return slices.Clone(functionTable[:]) }

const (
	tVector = ValueTypeVector
	tMatrix = ValueTypeMatrix
	tScalar = ValueTypeScalar
	tString = ValueTypeString
)

// functionTable is ordered by name.
//
//nolint:gochecknoglobals // constant table
var functionTable = [...]Function{
	{Name: "abs", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "absent", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "absent_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "acos", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "acosh", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "asin", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "asinh", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "atan", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "atanh", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "avg_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "ceil", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "changes", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "clamp", ArgTypes: []ValueType{tVector, tScalar, tScalar}, ReturnType: tVector},
	{Name: "clamp_max", ArgTypes: []ValueType{tVector, tScalar}, ReturnType: tVector},
	{Name: "clamp_min", ArgTypes: []ValueType{tVector, tScalar}, ReturnType: tVector},
	{Name: "cos", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "cosh", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "count_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "day_of_month", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
	{Name: "day_of_week", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
	{Name: "day_of_year", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
	{Name: "days_in_month", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
	{Name: "deg", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "delta", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "deriv", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "double_exponential_smoothing", ArgTypes: []ValueType{tMatrix, tScalar, tScalar}, ReturnType: tVector, Experimental: true},
	{Name: "end", ReturnType: tScalar, Experimental: true},
	{Name: "exp", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "first_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector, KeepsName: true},
	{Name: "floor", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "histogram_avg", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "histogram_count", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "histogram_fraction", ArgTypes: []ValueType{tScalar, tScalar, tVector}, ReturnType: tVector},
	{Name: "histogram_quantile", ArgTypes: []ValueType{tScalar, tVector}, ReturnType: tVector},
	{Name: "histogram_quantiles", ArgTypes: []ValueType{tVector, tString, tScalar, tScalar}, Variadic: 9, ReturnType: tVector, Experimental: true},
	{Name: "histogram_stddev", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "histogram_stdvar", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "histogram_sum", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "hour", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
	{Name: "idelta", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "increase", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "info", ArgTypes: []ValueType{tVector, tVector}, Variadic: 1, ReturnType: tVector, Experimental: true},
	{Name: "irate", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "label_join", ArgTypes: []ValueType{tVector, tString, tString, tString}, Variadic: -1, ReturnType: tVector},
	{Name: "label_replace", ArgTypes: []ValueType{tVector, tString, tString, tString, tString}, ReturnType: tVector},
	{Name: "last_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector, KeepsName: true},
	{Name: "ln", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "log10", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "log2", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "mad_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector, Experimental: true},
	{Name: "max_of", ArgTypes: []ValueType{tScalar, tScalar}, ReturnType: tScalar, Experimental: true},
	{Name: "max_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "min_of", ArgTypes: []ValueType{tScalar, tScalar}, ReturnType: tScalar, Experimental: true},
	{Name: "min_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "minute", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
	{Name: "month", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
	{Name: "pi", ReturnType: tScalar},
	{Name: "predict_linear", ArgTypes: []ValueType{tMatrix, tScalar}, ReturnType: tVector},
	{Name: "present_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "quantile_over_time", ArgTypes: []ValueType{tScalar, tMatrix}, ReturnType: tVector},
	{Name: "rad", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "range", ReturnType: tScalar, Experimental: true},
	{Name: "rate", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "resets", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "round", ArgTypes: []ValueType{tVector, tScalar}, Variadic: 1, ReturnType: tVector},
	{Name: "scalar", ArgTypes: []ValueType{tVector}, ReturnType: tScalar},
	{Name: "sgn", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "sin", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "sinh", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "sort", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "sort_by_label", ArgTypes: []ValueType{tVector, tString}, Variadic: -1, ReturnType: tVector, Experimental: true},
	{Name: "sort_by_label_desc", ArgTypes: []ValueType{tVector, tString}, Variadic: -1, ReturnType: tVector, Experimental: true},
	{Name: "sort_desc", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "sqrt", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "start", ReturnType: tScalar, Experimental: true},
	{Name: "start_timestamp", ArgTypes: []ValueType{tVector}, ReturnType: tVector, Experimental: true},
	{Name: "stddev_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "stdvar_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "step", ReturnType: tScalar, Experimental: true},
	{Name: "sum_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector},
	{Name: "tan", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "tanh", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "time", ReturnType: tScalar},
	{Name: "timestamp", ArgTypes: []ValueType{tVector}, ReturnType: tVector},
	{Name: "ts_of_first_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector, Experimental: true},
	{Name: "ts_of_last_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector, Experimental: true},
	{Name: "ts_of_max_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector, Experimental: true},
	{Name: "ts_of_min_over_time", ArgTypes: []ValueType{tMatrix}, ReturnType: tVector, Experimental: true},
	{Name: "vector", ArgTypes: []ValueType{tScalar}, ReturnType: tVector},
	{Name: "year", ArgTypes: []ValueType{tVector}, Variadic: 1, ReturnType: tVector},
}
