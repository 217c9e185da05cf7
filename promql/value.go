package promql

import (
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/parser"
)

// ValueType names the sort of a [Value], spelled as in the HTTP API.
type ValueType = parser.ValueType

// The types of query results.
const (
	TypeVector = parser.ValueTypeVector
	TypeMatrix = parser.ValueTypeMatrix
	TypeScalar = parser.ValueTypeScalar
	TypeString = parser.ValueTypeString
)

// Point is a sample of a [Series]: a float or, where H is set, a histogram.
type Point = sample.Sample

// Points are those of a [Series], in columns.
type Points = sample.Points

// Value is the answer to a query: a [Vector], [Matrix], [Scalar] or [String].
type Value interface {
	Type() ValueType
}

// Vector is one sample for each of a number of series, all at the same time. The order is that of the evaluation,
// which a sort function or topk may have chosen.
type Vector []Sample

// Sample is one element of a vector: a float or, where H is set, a histogram.
type Sample struct {
	Labels labels.Labels
	// T is the time of evaluation in milliseconds.
	T int64
	F float64
	// H may be shared with other results: do not change it.
	H *histogram.FloatHistogram
}

// Matrix holds series in the order of their labels.
type Matrix []Series

// Series is the points of one series; there is at least one.
type Series struct {
	Labels labels.Labels
	// Points mix floats and histograms as they came. Series that have points at all steps share the times.
	Points Points
}

// Scalar is a number without labels.
type Scalar struct {
	T int64
	V float64
}

// String is the value of a string literal.
type String struct {
	T int64
	V string
}

// Type returns [TypeVector].
func (Vector) Type() ValueType { return TypeVector }

// Type returns [TypeMatrix].
func (Matrix) Type() ValueType { return TypeMatrix }

// Type returns [TypeScalar].
func (Scalar) Type() ValueType { return TypeScalar }

// Type returns [TypeString].
func (String) Type() ValueType { return TypeString }
