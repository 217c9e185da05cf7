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
// bound, positive ones their upper; the first custom bucket includes both.
func (h *FloatHistogram) Buckets() []Bucket {
	var all []Bucket
	if h.UsesCustomBuckets() {
		each(h.PositiveSpans, h.PositiveBuckets, func(i int32, count float64) {
			all = append(all, Bucket{
				Lower: customBound(h.CustomValues, i-1), Upper: customBound(h.CustomValues, i),
				LowerInclusive: i == 0, UpperInclusive: true, Count: count,
			})
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

// roots are 2^(1/2), 2^(1/4) and so on, up to 2^(1/256).
//
//nolint:gochecknoglobals // constant table
var roots = [ExponentialSchemaMax]float64{
	1.414213562373095, 1.189207115002721, 1.0905077326652577, 1.0442737824274138,
	1.0218971486541166, 1.0108892860517005, 1.0054299011128027, 1.0027112750502025,
}

// Bound returns the upper bound of the positive bucket with an index in an exponential schema: 2^(index·2^-schema),
// as the product of roots of two with the largest first. That rounds as upstream's figures do, to the last digit, and
// the bounds of a coarser schema are among those of a finer one. The bucket beyond the largest float ends at the largest
// float, and the one after it at +Inf.
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
	fraction := 1.0
	for i := int32(0); rest != 0; i++ {
		perOctave >>= 1
		if rest&perOctave != 0 {
			fraction *= roots[i]
			rest &^= perOctave
		}
	}
	return math.Ldexp(fraction, int(octave))
}
