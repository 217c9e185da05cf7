package histogram

import (
	"math"
	"slices"
)

// Bucket is one bucket with its bounds.
type Bucket struct {
	Lower, Upper                   float64
	LowerInclusive, UpperInclusive bool
	Count                          float64
}

// Boundaries returns which bounds are included, as the HTTP API numbers it: 0 the upper, 1 the lower, 2 none, 3 both.
func (b Bucket) Boundaries() int {
	switch {
	case b.LowerInclusive && b.UpperInclusive:
		return 3
	case b.LowerInclusive:
		return 1
	case b.UpperInclusive:
		return 0
	default:
		return 2
	}
}

// Buckets returns all buckets, the zero bucket included, in ascending order. Negative buckets include their lower
// bound, positive ones their upper.
func (h *FloatHistogram) Buckets() []Bucket {
	var all []Bucket
	if h.UsesCustomBuckets() {
		each(h.PositiveSpans, h.PositiveBuckets, func(i int32, count float64) {
			all = append(all, Bucket{Lower: customBound(h.CustomValues, i-1), Upper: customBound(h.CustomValues, i), UpperInclusive: true, Count: count})
		})
		return all
	}
	each(h.NegativeSpans, h.NegativeBuckets, func(i int32, count float64) {
		all = append(all, Bucket{Lower: -Bound(h.Schema, i), Upper: -Bound(h.Schema, i-1), LowerInclusive: true, Count: count})
	})
	slices.Reverse(all)
	if h.ZeroCount != 0 {
		all = append(all, Bucket{
			Lower: -h.ZeroThreshold, Upper: h.ZeroThreshold, LowerInclusive: true, UpperInclusive: true, Count: h.ZeroCount,
		})
	}
	each(h.PositiveSpans, h.PositiveBuckets, func(i int32, count float64) {
		all = append(all, Bucket{Lower: Bound(h.Schema, i-1), Upper: Bound(h.Schema, i), UpperInclusive: true, Count: count})
	})
	return all
}

func each(spans []Span, counts []float64, f func(index int32, count float64)) {
	var index int32
	for _, span := range spans {
		index += span.Offset
		for range span.Length {
			if len(counts) == 0 {
				return
			}
			f(index, counts[0])
			counts = counts[1:]
			index++
		}
	}
}

// customBound returns the upper bound of a custom bucket; index -1 is the lower bound of the first.
func customBound(bounds []float64, index int32) float64 {
	switch {
	case index < 0:
		return math.Inf(-1)
	case int(index) >= len(bounds):
		return math.Inf(1)
	default:
		return bounds[index]
	}
}

// Bound returns the upper bound of the positive bucket with an index in an exponential schema: 2^(index·2^-schema),
// rounded such that the bounds of a coarser schema are among those of a finer one. The bucket beyond the largest
// float ends at the largest float, and the one after it at +Inf.
func Bound(schema, index int32) float64 {
	if schema < 0 {
		exponent := int(index) << -schema
		if exponent == 1024 {
			return math.MaxFloat64
		}
		return math.Ldexp(1, exponent)
	}
	perOctave := int32(1) << schema
	octave, rest := index>>schema, index&(perOctave-1)
	if rest == 0 && octave == 1024 {
		return math.MaxFloat64
	}
	return math.Ldexp(math.Exp2(float64(rest)/float64(perOctave)), int(octave))
}
