package histogram

import (
	"slices"
	"testing"
)

func TestToFloatSumsTheDeltas(t *testing.T) {
	h := &Histogram{
		Count: 9, Sum: 3.5, ZeroCount: 1, ZeroThreshold: 0.001,
		PositiveSpans:   []Span{{Offset: -1, Length: 2}, {Offset: 3, Length: 1}},
		PositiveBuckets: []int64{2, 1, -1},
	}
	f := h.ToFloat()
	if want := []float64{2, 3, 2}; !slices.Equal(f.PositiveBuckets, want) {
		t.Fatalf("got %v, want %v", f.PositiveBuckets, want)
	}
	if f.Count != 9 || f.NegativeBuckets != nil || !f.Equal(f.Copy()) {
		t.Fatalf("got %+v", f)
	}
	if !f.ToInt().Equal(h) {
		t.Fatalf("got %+v back", f.ToInt())
	}
	c := h.Copy()
	c.PositiveBuckets[0] = 7
	if h.PositiveBuckets[0] != 2 {
		t.Fatal("the copy shares its buckets")
	}
}
