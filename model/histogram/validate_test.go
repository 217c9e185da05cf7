package histogram

import (
	"errors"
	"math"
	"testing"
)

func valid() *Histogram {
	return &Histogram{
		Schema: 1, ZeroThreshold: 0.01, ZeroCount: 1, Count: 10, Sum: 4,
		PositiveSpans: []Span{{-3, 2}, {0, 1}}, PositiveBuckets: []int64{1, 1, 0},
		NegativeSpans: []Span{{1, 1}}, NegativeBuckets: []int64{4},
	}
}

func validCustom() *Histogram {
	return &Histogram{
		Schema: CustomBucketsSchema, Count: 3, Sum: 4, CustomValues: []float64{1, 2},
		PositiveSpans: []Span{{1, 2}}, PositiveBuckets: []int64{1, 1},
	}
}

func TestValidate(t *testing.T) {
	check := func(want error, base func() *Histogram, change func(h *Histogram)) {
		t.Helper()
		h := base()
		change(h)
		if err := h.Validate(); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("integer: got %v, want %v", err, want)
		}
		if errors.Is(want, ErrNegativeBucketCount) || errors.Is(want, ErrCountMismatch) || errors.Is(want, ErrCountNotBigEnough) {
			return
		}
		if err := h.ToFloat().Validate(); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("float: got %v, want %v", err, want)
		}
	}
	check(nil, valid, func(*Histogram) {})
	check(nil, validCustom, func(*Histogram) {})
	check(nil, valid, func(h *Histogram) { h.Sum, h.Count = math.NaN(), 11 })
	check(ErrCountNotBigEnough, valid, func(h *Histogram) { h.Sum, h.Count = math.NaN(), 9 })
	check(ErrCountMismatch, valid, func(h *Histogram) { h.Count = 11 })
	check(ErrNegativeBucketCount, valid, func(h *Histogram) { h.PositiveBuckets[1] = -2 })
	check(ErrSpanNegativeOffset, valid, func(h *Histogram) { h.PositiveSpans[1].Offset = -1 })
	check(ErrSpansMismatch, valid, func(h *Histogram) { h.NegativeSpans[0].Length = math.MaxUint32 })
	check(ErrSpanOutOfRange, valid, func(h *Histogram) { h.PositiveSpans[0].Offset, h.PositiveSpans[1].Offset = 1, math.MaxInt32 })
	check(ErrBoundsUnexpected, valid, func(h *Histogram) { h.CustomValues = []float64{1} })
	check(ErrInvalidSchema, valid, func(h *Histogram) { h.Schema = 9 })
	check(ErrCustomZeroCount, validCustom, func(h *Histogram) { h.ZeroCount = 1 })
	check(ErrCustomZeroThreshold, validCustom, func(h *Histogram) { h.ZeroThreshold = 1 })
	check(ErrCustomNegative, validCustom, func(h *Histogram) { h.NegativeSpans = []Span{{0, 0}} })
	check(ErrBoundsNaN, validCustom, func(h *Histogram) { h.CustomValues[1] = math.NaN() })
	check(ErrBoundsInfinite, validCustom, func(h *Histogram) { h.CustomValues[1] = math.Inf(1) })
	check(ErrBoundsNotIncreasing, validCustom, func(h *Histogram) { h.CustomValues[1] = 1 })
	check(ErrBoundsTooFew, validCustom, func(h *Histogram) { h.PositiveSpans[0].Offset = 2 })
	check(ErrSpanNegativeOffset, validCustom, func(h *Histogram) { h.PositiveSpans[0].Offset = -1 })

	f := valid().ToFloat()
	f.Count = -1
	if err := f.Validate(); !errors.Is(err, ErrNegativeCount) {
		t.Errorf("got %v", err)
	}
	f = valid().ToFloat()
	f.NegativeBuckets[0] = -1
	if err := f.Validate(); !errors.Is(err, ErrNegativeBucketCount) {
		t.Errorf("got %v", err)
	}
}
