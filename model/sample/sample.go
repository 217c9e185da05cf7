// Package sample holds what a series carries besides its labels: timestamped values, stale markers, exemplars and
// metadata.
package sample

import (
	"math"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// Bit patterns of the two NaNs with a meaning of their own.
const (
	normalNaN uint64 = 0x7ff8000000000001
	staleNaN  uint64 = 0x7ff0000000000002
)

// NormalNaN returns the NaN that stands for "not a number" in results and in storage.
func NormalNaN() float64 { return math.Float64frombits(normalNaN) }

// StaleNaN returns the value that marks the end of a series.
func StaleNaN() float64 { return math.Float64frombits(staleNaN) }

// IsStale reports whether v is the stale marker. Other NaNs are ordinary values.
func IsStale(v float64) bool { return math.Float64bits(v) == staleNaN }

// Sample is one value of a series: a float or, where H is set, a histogram.
type Sample struct {
	// T is the time in milliseconds since the Unix epoch.
	T int64
	F float64
	H *histogram.FloatHistogram
}

// Exemplar points from a sample to an example of what it counts, such as a trace.
type Exemplar struct {
	Labels labels.Labels
	Value  float64
	// T is the time in milliseconds; HasT tells whether the target gave it.
	T    int64
	HasT bool
}

// MetricType is the type that a target declares for a metric family.
type MetricType string

// The types of the exposition formats.
const (
	TypeCounter        MetricType = "counter"
	TypeGauge          MetricType = "gauge"
	TypeHistogram      MetricType = "histogram"
	TypeGaugeHistogram MetricType = "gaugehistogram"
	TypeSummary        MetricType = "summary"
	TypeInfo           MetricType = "info"
	TypeStateset       MetricType = "stateset"
	TypeUnknown        MetricType = "unknown"
)

// Metadata describes a metric family.
type Metadata struct {
	Type MetricType
	Unit string
	Help string
}
