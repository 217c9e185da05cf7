package histogram

import (
	"math"
	"slices"
	"testing"
)

func TestBucketsAscend(t *testing.T) {
	h := &FloatHistogram{
		Schema: 0, ZeroThreshold: 0.5, ZeroCount: 2,
		PositiveSpans: []Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}}, PositiveBuckets: []float64{1, 2, 3},
		NegativeSpans: []Span{{Offset: 1, Length: 2}}, NegativeBuckets: []float64{4, 5},
	}
	want := []Bucket{
		{-4, -2, true, false, 5},
		{-2, -1, true, false, 4},
		{-0.5, 0.5, true, true, 2},
		{0.5, 1, false, true, 1},
		{1, 2, false, true, 2},
		{4, 8, false, true, 3},
	}
	if got := h.Buckets(); !slices.Equal(got, want) {
		t.Fatalf("got %v\nwant %v", got, want)
	}
	custom := &FloatHistogram{
		Schema: CustomBucketsSchema, CustomValues: []float64{1, 5},
		PositiveSpans: []Span{{Offset: 0, Length: 3}}, PositiveBuckets: []float64{1, 2, 3},
	}
	want = []Bucket{
		{math.Inf(-1), 1, true, true, 1},
		{1, 5, false, true, 2},
		{5, math.Inf(1), false, true, 3},
	}
	if got := custom.Buckets(); !slices.Equal(got, want) {
		t.Fatalf("got %v\nwant %v", got, want)
	}
	if got := custom.String(); got != "{count:0, sum:0, [-Inf,1]:1, (1,5]:2, (5,+Inf]:3}" {
		t.Errorf("got %s", got)
	}
	if got := h.String(); got != "{count:0, sum:0, [-4,-2):5, [-2,-1):4, [-0.5,0.5]:2, (0.5,1]:1, (1,2]:2, (4,8]:3}" {
		t.Errorf("got %s", got)
	}
}

func TestBounds(t *testing.T) {
	check := func(schema, index int32, want float64) {
		t.Helper()
		if got := Bound(schema, index); got != want {
			t.Errorf("Bound(%d, %d) = %v, want %v", schema, index, got, want)
		}
	}
	check(0, 0, 1)
	check(0, -1, 0.5)
	check(2, 4, 2)
	check(1, 1, 1.414213562373095)
	check(1, -1, 0.7071067811865475)
	// Figures that Prometheus shows.
	check(3, -115, 0.00004706453934960757)
	check(3, -114, 0.00005132424409507534)
	check(3, -67, 0.0030121305183748843)
	check(-1, 1, 4)
	check(-4, 1, 65536)
	check(0, 1024, math.MaxFloat64)
	check(-4, 64, math.MaxFloat64)
}
