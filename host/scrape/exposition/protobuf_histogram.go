package exposition

import (
	"fmt"
	"math"

	"github.com/narthex-io/narthex/model/histogram"
)

// protoNative is a Histogram message: classic buckets, a native histogram, or both. Its slices are used again.
type protoNative struct {
	// used says that there is anything to reset.
	used             bool
	sampleCount      uint64
	sampleCountFloat float64
	sum              float64
	buckets          []protoBucket
	created          int64
	schema           int32
	zeroThreshold    float64
	zeroCount        uint64
	zeroCountFloat   float64
	positive         protoSide
	negative         protoSide
	exemplars        [][]byte
}

// protoBucket is a classic bucket.
type protoBucket struct {
	bound, count float64
	exemplar     []byte
}

// protoSide are the buckets of one side of zero; integer histograms have deltas, others counts.
type protoSide struct {
	spans  []histogram.Span
	deltas []int64
	counts []float64
}

func (h *protoNative) reset() {
	if !h.used {
		return
	}
	*h = protoNative{
		buckets: h.buckets[:0], exemplars: h.exemplars[:0],
		positive: protoSide{h.positive.spans[:0], h.positive.deltas[:0], h.positive.counts[:0]},
		negative: protoSide{h.negative.spans[:0], h.negative.deltas[:0], h.negative.counts[:0]},
	}
}

func (h *protoNative) read(b []byte) error {
	h.used = true
	w := message{rest: b}
	var f field
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireVarint):
			h.sampleCount = f.n
		case w.is(&f, 2, wireFixed64):
			h.sum = math.Float64frombits(f.n)
		case w.is(&f, 3, wireBytes):
			w.err = h.readBucket(f.bytes)
		case w.is(&f, 4, wireFixed64):
			h.sampleCountFloat = math.Float64frombits(f.n)
		case w.is(&f, 5, wireVarint):
			h.schema = zigzag32(f.n)
		case w.is(&f, 6, wireFixed64):
			h.zeroThreshold = math.Float64frombits(f.n)
		case w.is(&f, 7, wireVarint):
			h.zeroCount = f.n
		case w.is(&f, 8, wireFixed64):
			h.zeroCountFloat = math.Float64frombits(f.n)
		case w.is(&f, 15, wireBytes):
			h.created, w.err = readTimestamp(f.bytes)
		case w.is(&f, 16, wireBytes):
			h.exemplars, w.err = append(h.exemplars, f.bytes), checkExemplar(f.bytes)
		case f.number >= 9 && f.number <= 11:
			h.negative.read(&w, &f, 9)
		case f.number >= 12 && f.number <= 14:
			h.positive.read(&w, &f, 12)
		}
	}
	return w.err
}

// read reads one of the three fields of a side, the first of which has the number first.
func (s *protoSide) read(w *message, f *field, first int) {
	switch {
	case w.is(f, first, wireBytes):
		var span histogram.Span
		span, w.err = readSpan(f.bytes)
		s.spans = append(s.spans, span)
	case f.number == first+1:
		s.deltas = appendVarints(w, f, first+1, s.deltas, zigzag)
	case f.number == first+2:
		s.counts = appendDoubles(w, f, first+2, s.counts)
	}
}

func (h *protoNative) readBucket(b []byte) error {
	w := message{rest: b}
	var f field
	var bucket protoBucket
	count, countFloat := uint64(0), 0.0
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireVarint):
			count = f.n
		case w.is(&f, 2, wireFixed64):
			bucket.bound = math.Float64frombits(f.n)
		case w.is(&f, 3, wireBytes):
			bucket.exemplar, w.err = f.bytes, checkExemplar(f.bytes)
		case w.is(&f, 4, wireFixed64):
			countFloat = math.Float64frombits(f.n)
		}
	}
	if bucket.count = countFloat; countFloat == 0 {
		bucket.count = float64(count)
	}
	h.buckets = append(h.buckets, bucket)
	return w.err
}

func readSpan(b []byte) (span histogram.Span, err error) {
	w := message{rest: b}
	var f field
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireVarint):
			span.Offset = zigzag32(f.n)
		case w.is(&f, 2, wireVarint):
			span.Length = uint32(f.n)
		}
	}
	return span, w.err
}

// count returns the number of observations.
func (h *protoNative) count() float64 {
	if h.sampleCountFloat != 0 {
		return h.sampleCountFloat
	}
	return float64(h.sampleCount)
}

// isNative reports whether there is a native histogram. One without observations says so with an empty span.
func (h *protoNative) isNative() bool {
	return len(h.positive.spans) > 0 || len(h.negative.spans) > 0 || h.zeroThreshold > 0 || h.zeroCount > 0
}

// isFloat reports whether the native histogram has float counts.
func (h *protoNative) isFloat() bool { return h.sampleCountFloat > 0 || h.zeroCountFloat > 0 }

// inconsistent returns why spans and buckets do not belong together, or "".
func (h *protoNative) inconsistent() string {
	for _, side := range []struct {
		name string
		protoSide
	}{{"positive", h.positive}, {"negative", h.negative}} {
		buckets := len(side.deltas)
		if h.isFloat() {
			buckets = len(side.counts)
		}
		if n := histogram.CountBuckets(side.spans); n != buckets {
			return fmt.Sprintf("%s side: spans require %d buckets, have %d", side.name, n, buckets)
		}
	}
	return ""
}

// native returns the histogram in the form that fits it, in memory of its own.
func (h *protoNative) native(gauge bool) (*histogram.Histogram, *histogram.FloatHistogram) {
	hint := histogram.UnknownCounterReset
	if gauge {
		hint = histogram.GaugeType
	}
	if h.isFloat() {
		f := &histogram.FloatHistogram{
			CounterResetHint: hint, Schema: h.schema, ZeroThreshold: h.zeroThreshold, ZeroCount: h.zeroCountFloat,
			Count: h.sampleCountFloat, Sum: h.sum,
		}
		f.PositiveSpans, f.NegativeSpans = cloned(h.positive.spans, h.negative.spans)
		f.PositiveBuckets, f.NegativeBuckets = cloned(h.positive.counts, h.negative.counts)
		f.Compact(0)
		return nil, f
	}
	i := &histogram.Histogram{
		CounterResetHint: hint, Schema: h.schema, ZeroThreshold: h.zeroThreshold, ZeroCount: h.zeroCount,
		Count: h.sampleCount, Sum: h.sum,
	}
	i.PositiveSpans, i.NegativeSpans = cloned(h.positive.spans, h.negative.spans)
	i.PositiveBuckets, i.NegativeBuckets = cloned(h.positive.deltas, h.negative.deltas)
	i.Compact(0)
	return i, nil
}

// cloned copies two slices into one piece of memory.
func cloned[T any](a, b []T) (x, y []T) {
	if len(a)+len(b) == 0 {
		return nil, nil
	}
	all := make([]T, 0, len(a)+len(b))
	all = append(append(all, a...), b...)
	return all[:len(a):len(a)], all[len(a):]
}
