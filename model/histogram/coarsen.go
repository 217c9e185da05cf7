package histogram

import "fmt"

// IsExponential reports whether the bounds of the histogram's buckets are powers, so that pairs of them can be merged.
func (h *Histogram) IsExponential() bool {
	return h.Schema >= ExponentialSchemaMin && !h.UsesCustomBuckets()
}

// IsExponential reports whether the bounds of the histogram's buckets are powers, so that pairs of them can be merged.
func (h *FloatHistogram) IsExponential() bool {
	return h.Schema >= ExponentialSchemaMin && !h.UsesCustomBuckets()
}

// Coarsen merges buckets until the histogram has the given schema, which must be smaller than its own.
func (h *Histogram) Coarsen(schema int32) error {
	if err := canCoarsen(h.Schema, schema); err != nil {
		return err
	}
	coarsen := func(spans []Span, deltas []int64) ([]Span, []int64) {
		var out arranged[int64]
		var n int64
		eachIndex(spans, len(deltas), func(index int64, i int) {
			n += deltas[i]
			out.add(coarseIndex(index, h.Schema-schema), n)
		})
		return out.spans, deltasOf(out.counts)
	}
	h.PositiveSpans, h.PositiveBuckets = coarsen(h.PositiveSpans, h.PositiveBuckets)
	h.NegativeSpans, h.NegativeBuckets = coarsen(h.NegativeSpans, h.NegativeBuckets)
	h.Schema = schema
	return nil
}

// Coarsen merges buckets until the histogram has the given schema, which must be smaller than its own.
func (h *FloatHistogram) Coarsen(schema int32) error {
	if err := canCoarsen(h.Schema, schema); err != nil {
		return err
	}
	coarsen := func(spans []Span, counts []float64) ([]Span, []float64) {
		var out arranged[float64]
		eachIndex(spans, len(counts), func(index int64, i int) {
			out.add(coarseIndex(index, h.Schema-schema), counts[i])
		})
		return out.spans, out.counts
	}
	h.PositiveSpans, h.PositiveBuckets = coarsen(h.PositiveSpans, h.PositiveBuckets)
	h.NegativeSpans, h.NegativeBuckets = coarsen(h.NegativeSpans, h.NegativeBuckets)
	h.Schema = schema
	return nil
}

func canCoarsen(from, to int32) error {
	if from == CustomBucketsSchema || to < ExponentialSchemaMin || to >= from {
		return fmt.Errorf("a histogram of schema %d cannot be brought to schema %d", from, to)
	}
	return nil
}

// coarseIndex returns the index of the bucket that holds the given one when the schema is smaller by steps.
func coarseIndex(index int64, steps int32) int64 { return (index-1)>>steps + 1 }
