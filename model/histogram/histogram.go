// Package histogram holds the native histogram as a value: the integer form in which targets expose it and the float
// form in which queries calculate with it.
//
// Start with [Histogram] and [FloatHistogram]. Field by field they follow the data model of Prometheus's native
// histograms: exponential buckets for the schemas -4 to 8, custom bounds for [CustomBucketsSchema].
package histogram

import (
	"math"
	"slices"
)

// CustomBucketsSchema is the schema of histograms whose bucket bounds are listed in CustomValues.
const CustomBucketsSchema int32 = -53

// The range of schemas with exponential buckets, whose bounds grow by a factor of 2^(2^-schema).
const (
	ExponentialSchemaMin int32 = -4
	ExponentialSchemaMax int32 = 8
)

// CounterResetHint says what is known about a counter reset between a histogram and the one before it.
type CounterResetHint uint8

// The hints. The zero value asks for a comparison of the two histograms.
const (
	UnknownCounterReset CounterResetHint = iota
	CounterReset
	NotCounterReset
	GaugeType
)

// ForgetReset returns h without its hint about a counter reset, for where the histogram before it is another one than the
// hint is about. It returns h itself if that has no such hint or is a gauge or nil, else a copy that shares buckets with h.
func ForgetReset(h *FloatHistogram) *FloatHistogram {
	if h == nil || h.CounterResetHint == GaugeType || h.CounterResetHint == UnknownCounterReset {
		return h
	}
	c := *h
	c.CounterResetHint = UnknownCounterReset
	return &c
}

// Span is a run of consecutive buckets.
type Span struct {
	// Offset is the gap to the bucket after the previous span; for the first span, the index of its first bucket.
	Offset int32
	// Length is the number of buckets.
	Length uint32
}

// Histogram has integer counts; its buckets are deltas to the bucket before them.
type Histogram struct {
	CounterResetHint CounterResetHint
	Schema           int32
	// ZeroThreshold is the width of the zero bucket, which holds observations in [-ZeroThreshold, ZeroThreshold].
	ZeroThreshold float64
	ZeroCount     uint64
	Count         uint64
	// Sum of the observations; a stale marker is a histogram whose Sum is the stale NaN.
	Sum                              float64
	PositiveSpans, NegativeSpans     []Span
	PositiveBuckets, NegativeBuckets []int64
	// CustomValues are the upper bounds of custom buckets, ascending, without the last, +Inf. They are shared between
	// histograms and must not be changed.
	CustomValues []float64
}

// FloatHistogram has float counts; its buckets are absolute.
type FloatHistogram struct {
	CounterResetHint                 CounterResetHint
	Schema                           int32
	ZeroThreshold                    float64
	ZeroCount                        float64
	Count                            float64
	Sum                              float64
	PositiveSpans, NegativeSpans     []Span
	PositiveBuckets, NegativeBuckets []float64
	CustomValues                     []float64
}

// UsesCustomBuckets reports whether the bucket bounds are those in CustomValues.
func (h *Histogram) UsesCustomBuckets() bool { return h.Schema == CustomBucketsSchema }

// UsesCustomBuckets reports whether the bucket bounds are those in CustomValues.
func (h *FloatHistogram) UsesCustomBuckets() bool { return h.Schema == CustomBucketsSchema }

// Copy returns a histogram that shares nothing but the custom values with h.
func (h *Histogram) Copy() *Histogram {
	c := *h
	c.PositiveSpans, c.NegativeSpans = slices.Clone(h.PositiveSpans), slices.Clone(h.NegativeSpans)
	c.PositiveBuckets, c.NegativeBuckets = slices.Clone(h.PositiveBuckets), slices.Clone(h.NegativeBuckets)
	return &c
}

// Copy returns a histogram that shares nothing but the custom values with h.
func (h *FloatHistogram) Copy() *FloatHistogram {
	c := *h
	c.PositiveSpans, c.NegativeSpans = slices.Clone(h.PositiveSpans), slices.Clone(h.NegativeSpans)
	c.PositiveBuckets, c.NegativeBuckets = slices.Clone(h.PositiveBuckets), slices.Clone(h.NegativeBuckets)
	return &c
}

// ToFloat returns the float form.
func (h *Histogram) ToFloat() *FloatHistogram {
	return &FloatHistogram{
		CounterResetHint: h.CounterResetHint,
		Schema:           h.Schema,
		ZeroThreshold:    h.ZeroThreshold,
		ZeroCount:        float64(h.ZeroCount),
		Count:            float64(h.Count),
		Sum:              h.Sum,
		PositiveSpans:    slices.Clone(h.PositiveSpans),
		NegativeSpans:    slices.Clone(h.NegativeSpans),
		PositiveBuckets:  absolute(h.PositiveBuckets),
		NegativeBuckets:  absolute(h.NegativeBuckets),
		CustomValues:     h.CustomValues,
	}
}

// ToInt returns the integer form, for which all counts must be whole numbers, as they are where [Histogram.ToFloat] made
// them.
func (h *FloatHistogram) ToInt() *Histogram {
	return &Histogram{
		CounterResetHint: h.CounterResetHint,
		Schema:           h.Schema,
		ZeroThreshold:    h.ZeroThreshold,
		ZeroCount:        uint64(h.ZeroCount),
		Count:            uint64(h.Count),
		Sum:              h.Sum,
		PositiveSpans:    slices.Clone(h.PositiveSpans),
		NegativeSpans:    slices.Clone(h.NegativeSpans),
		PositiveBuckets:  differences(h.PositiveBuckets),
		NegativeBuckets:  differences(h.NegativeBuckets),
		CustomValues:     h.CustomValues,
	}
}

func differences(counts []float64) []int64 {
	if counts == nil {
		return nil
	}
	deltas := make([]int64, len(counts))
	var before int64
	for i, n := range counts {
		deltas[i] = int64(n) - before
		before = int64(n)
	}
	return deltas
}

func absolute(deltas []int64) []float64 {
	if deltas == nil {
		return nil
	}
	counts := make([]float64, len(deltas))
	var n int64
	for i, d := range deltas {
		n += d
		counts[i] = float64(n)
	}
	return counts
}

// Equal reports whether both histograms are the same bit for bit, hints and layout of spans included.
func (h *Histogram) Equal(o *Histogram) bool {
	if h == nil || o == nil {
		return h == o
	}
	return h.CounterResetHint == o.CounterResetHint && h.Schema == o.Schema &&
		sameFloat(h.ZeroThreshold, o.ZeroThreshold) && h.ZeroCount == o.ZeroCount &&
		h.Count == o.Count && sameFloat(h.Sum, o.Sum) &&
		slices.Equal(h.PositiveSpans, o.PositiveSpans) && slices.Equal(h.NegativeSpans, o.NegativeSpans) &&
		slices.Equal(h.PositiveBuckets, o.PositiveBuckets) && slices.Equal(h.NegativeBuckets, o.NegativeBuckets) &&
		slices.EqualFunc(h.CustomValues, o.CustomValues, sameFloat)
}

// Equal reports whether both histograms are the same bit for bit, hints and layout of spans included.
func (h *FloatHistogram) Equal(o *FloatHistogram) bool {
	if h == nil || o == nil {
		return h == o
	}
	return h.CounterResetHint == o.CounterResetHint && h.Schema == o.Schema &&
		sameFloat(h.ZeroThreshold, o.ZeroThreshold) && sameFloat(h.ZeroCount, o.ZeroCount) &&
		sameFloat(h.Count, o.Count) && sameFloat(h.Sum, o.Sum) &&
		slices.Equal(h.PositiveSpans, o.PositiveSpans) && slices.Equal(h.NegativeSpans, o.NegativeSpans) &&
		slices.EqualFunc(h.PositiveBuckets, o.PositiveBuckets, sameFloat) &&
		slices.EqualFunc(h.NegativeBuckets, o.NegativeBuckets, sameFloat) &&
		slices.EqualFunc(h.CustomValues, o.CustomValues, sameFloat)
}

func sameFloat(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }
