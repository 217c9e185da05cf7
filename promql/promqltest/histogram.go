package promqltest

import (
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/parser"
)

// sameHistogram compares field by field, without empty buckets, and the hint only if the script gives one.
func sameHistogram(value parser.SequenceValue, got *histogram.FloatHistogram) error {
	want := value.Histogram
	differs := func(field string, w, g any) error { return fmt.Errorf("%s is %v, want %v: %+v", field, g, w, *got) }
	switch {
	case want.Schema != got.Schema:
		return differs("schema", want.Schema, got.Schema)
	case !almostEqual(want.Count, got.Count):
		return differs("count", want.Count, got.Count)
	case !almostEqual(want.Sum, got.Sum):
		return differs("sum", want.Sum, got.Sum)
	case !almostEqual(want.ZeroCount, got.ZeroCount):
		return differs("zero count", want.ZeroCount, got.ZeroCount)
	case want.ZeroThreshold != got.ZeroThreshold:
		return differs("zero threshold", want.ZeroThreshold, got.ZeroThreshold)
	case value.CounterResetHintSet && want.CounterResetHint != got.CounterResetHint:
		return differs("counter reset hint", want.CounterResetHint, got.CounterResetHint)
	case want.UsesCustomBuckets() && !slices.Equal(want.CustomValues, got.CustomValues):
		return differs("custom values", want.CustomValues, got.CustomValues)
	}
	if !sameBuckets(want.PositiveSpans, want.PositiveBuckets, got.PositiveSpans, got.PositiveBuckets) {
		return differs("positive buckets", want.PositiveBuckets, got.PositiveBuckets)
	}
	if !sameBuckets(want.NegativeSpans, want.NegativeBuckets, got.NegativeSpans, got.NegativeBuckets) {
		return differs("negative buckets", want.NegativeBuckets, got.NegativeBuckets)
	}
	return nil
}

// sameBuckets compares counts by the index of their bucket.
func sameBuckets(aSpans []histogram.Span, a []float64, bSpans []histogram.Span, b []float64) bool {
	x, y := byIndex(aSpans, a), byIndex(bSpans, b)
	if len(x) != len(y) {
		return false
	}
	for i, n := range x {
		if !almostEqual(n, y[i]) {
			return false
		}
	}
	return true
}

func byIndex(spans []histogram.Span, counts []float64) map[int32]float64 {
	m, index, next := map[int32]float64{}, int32(0), 0
	for _, s := range spans {
		index += s.Offset
		for range s.Length {
			if counts[next] != 0 {
				m[index] = counts[next]
			}
			index++
			next++
		}
	}
	return m
}
