package histogram

import (
	"math"
	"slices"
	"testing"
)

func TestHistogramsOfDifferentResolutionAddUp(t *testing.T) {
	fine := &FloatHistogram{
		Schema: 1, Count: 6, Sum: 10, ZeroThreshold: 0.001,
		PositiveSpans: []Span{{Offset: 1, Length: 4}}, PositiveBuckets: []float64{1, 2, 1, 2},
	}
	coarse := &FloatHistogram{
		Schema: 0, Count: 3, Sum: 5, ZeroThreshold: 0.001, ZeroCount: 1,
		PositiveSpans: []Span{{Offset: 1, Length: 1}}, PositiveBuckets: []float64{2},
	}
	sum := NewSum(fine)
	if _, _, err := sum.Add(coarse, 1); err != nil {
		t.Fatal(err)
	}
	got := sum.Histogram()
	want := &FloatHistogram{
		Schema: 0, Count: 9, Sum: 15, ZeroThreshold: 0.001, ZeroCount: 1,
		PositiveSpans: []Span{{Offset: 1, Length: 2}}, PositiveBuckets: []float64{5, 3},
	}
	if !got.Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if fine.PositiveBuckets[0] != 1 || fine.Count != 6 {
		t.Error("an operand was changed")
	}
}

func TestSpansSurviveUnrolling(t *testing.T) {
	h := &FloatHistogram{
		PositiveSpans: []Span{{Offset: -3, Length: 2}, {Offset: 4, Length: 1}}, PositiveBuckets: []float64{1, 0, 3},
	}
	got := h.Compacted()
	if want := []Span{{Offset: -3, Length: 1}, {Offset: 5, Length: 1}}; !slices.Equal(got.PositiveSpans, want) {
		t.Errorf("spans are %v, want %v", got.PositiveSpans, want)
	}
	if !slices.Equal(got.PositiveBuckets, []float64{1, 3}) {
		t.Errorf("buckets are %v", got.PositiveBuckets)
	}
}

func TestExactSumsKeepWhatRoundingTakesAway(t *testing.T) {
	one := func(v float64) *FloatHistogram {
		return &FloatHistogram{Count: v, Sum: v, PositiveSpans: []Span{{Length: 1}}, PositiveBuckets: []float64{v}}
	}
	exact, plain := NewExactSum(one(1e16)), NewSum(one(1e16))
	for _, s := range []*Sum{&exact, &plain} {
		for range 4 {
			if _, _, err := s.Add(one(1), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := exact.Histogram(); got.Count != 1e16+4 || got.PositiveBuckets[0] != 1e16+4 {
		t.Errorf("the exact sum is %s", got)
	}
	if got := plain.Histogram(); got.Count != 1e16 {
		t.Errorf("the plain sum is %s", got)
	}
}

func TestBucketsThatOneSideLacksAreAdded(t *testing.T) {
	a := &FloatHistogram{Count: 3, PositiveSpans: []Span{{Offset: 1, Length: 2}}, PositiveBuckets: []float64{1, 2}}
	b := &FloatHistogram{Count: 7, PositiveSpans: []Span{{Offset: 0, Length: 1}, {Offset: 1, Length: 2}}, PositiveBuckets: []float64{1, 2, 4}}
	for _, pair := range [][2]*FloatHistogram{{a, b}, {b, a}} {
		sum := NewSum(pair[0])
		if _, _, err := sum.Add(pair[1], 1); err != nil {
			t.Fatal(err)
		}
		got := sum.Histogram()
		want := &FloatHistogram{Count: 10, PositiveSpans: []Span{{Offset: 0, Length: 4}}, PositiveBuckets: []float64{1, 1, 4, 4}}
		if !got.Same(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestGrowthDropsWhatDidNotGrow(t *testing.T) {
	spans := []Span{{Offset: 1, Length: 3}}
	first := &FloatHistogram{Count: 6, Sum: 6, PositiveSpans: spans, PositiveBuckets: []float64{1, 2, 3}}
	last := &FloatHistogram{Count: 10, Sum: 16, PositiveSpans: spans, PositiveBuckets: []float64{2, 2, 6}}
	got := last.Growth(first, 0.5, &Arena{})
	want := &FloatHistogram{
		Count: 2, Sum: 5, PositiveSpans: []Span{{Offset: 1, Length: 1}, {Offset: 1, Length: 1}}, PositiveBuckets: []float64{0.5, 1.5},
	}
	if !got.Same(want) || got.CounterResetHint != GaugeType {
		t.Errorf("got %s, want %s", got, want)
	}
	if last.Growth(&FloatHistogram{Count: 6}, 1, &Arena{}) != nil {
		t.Error("there is no growth between different buckets")
	}
}

func TestResets(t *testing.T) {
	spans := []Span{{Offset: 1, Length: 2}}
	h := func(count float64, buckets ...float64) *FloatHistogram {
		return &FloatHistogram{Count: count, PositiveSpans: spans[:], PositiveBuckets: buckets}
	}
	reset := func(cur, prev *FloatHistogram, want bool) {
		t.Helper()
		if got := cur.HasReset(prev); got != want {
			t.Errorf("%s after %s is a reset: %v, want %v", cur, prev, got, want)
		}
	}
	reset(h(4, 2, 2), h(3, 1, 2), false)
	reset(h(2, 1, 1), h(3, 1, 2), true)
	reset(h(4, 3, 1), h(3, 1, 2), true)
	more := &FloatHistogram{Count: 4, PositiveSpans: []Span{{Offset: 1, Length: 3}}, PositiveBuckets: []float64{1, 2, 1}}
	reset(more, h(3, 1, 2), false)
	reset(h(5, 3, 2), more, true)
	known := h(1, 1, 0)
	known.CounterResetHint = NotCounterReset
	reset(known, h(3, 1, 2), false)
}

func TestQuantilesOfHistograms(t *testing.T) {
	h := &FloatHistogram{Schema: 0, Count: 4, Sum: 10, PositiveSpans: []Span{{Offset: 1, Length: 2}}, PositiveBuckets: []float64{2, 2}}
	for phi, want := range map[float64]float64{0: 1, 0.5: 2, 1: 4, -1: math.Inf(-1), 2: math.Inf(1)} {
		if got, _ := h.Quantile(phi); math.Abs(got-want) > 1e-12 && got != want {
			t.Errorf("the %v-quantile is %v, want %v", phi, got, want)
		}
	}
	h.Count, h.Sum = 5, math.NaN()
	if _, effect := h.Quantile(0.2); effect != NaNSkewed {
		t.Errorf("effect is %v", effect)
	}
	if v, effect := h.Quantile(1); !math.IsNaN(v) || effect != NaNResult {
		t.Errorf("got %v, %v", v, effect)
	}
	if f, nans := h.Fraction(1, 2); f != 0.4 || !nans {
		t.Errorf("got %v, %v", f, nans)
	}
}

// TestZeroBucketsThatAreNoNumberAddUp adds what a broken client can expose: a zero bucket whose width is NaN.
func TestZeroBucketsThatAreNoNumberAddUp(t *testing.T) {
	for _, widths := range [][2]float64{{math.NaN(), math.NaN()}, {math.NaN(), 1}, {1, math.NaN()}, {math.Inf(1), 1}} {
		histogram := func(width float64) *FloatHistogram {
			return &FloatHistogram{
				Count: 3, ZeroThreshold: width, ZeroCount: 1, PositiveSpans: []Span{{Offset: 3, Length: 1}}, PositiveBuckets: []float64{2},
			}
		}
		sum := NewSum(histogram(widths[0]))
		if _, _, err := sum.Add(histogram(widths[1]), 1); err != nil {
			t.Fatal(err)
		}
		if got := sum.Histogram(); got.Count != 6 || got.ZeroCount < 2 {
			t.Errorf("zero buckets up to %v add up to %+v", widths, got)
		}
	}
}
