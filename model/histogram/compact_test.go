package histogram

import (
	"slices"
	"testing"
)

func TestCompact(t *testing.T) {
	type buckets struct {
		spans  []Span
		deltas []int64
	}
	same := func(name string, maxEmpty int, in, want buckets) {
		t.Helper()
		h := Histogram{PositiveSpans: slices.Clone(in.spans), PositiveBuckets: slices.Clone(in.deltas)}
		f := h.ToFloat()
		h.Compact(maxEmpty)
		if !slices.Equal(h.PositiveSpans, want.spans) || !slices.Equal(h.PositiveBuckets, want.deltas) {
			t.Errorf("%s: got %v %v, want %v", name, h.PositiveSpans, h.PositiveBuckets, want)
		}
		f.Compact(maxEmpty)
		if !slices.Equal(f.PositiveSpans, want.spans) || !slices.Equal(differences(f.PositiveBuckets), want.deltas) {
			t.Errorf("%s, floats: got %v %v, want %v", name, f.PositiveSpans, f.PositiveBuckets, want)
		}
	}
	full := buckets{[]Span{{2, 2}, {3, 1}}, []int64{1, 1, 1}}
	same("nothing to do", 0, full, full)
	same("all empty", 0, buckets{[]Span{{2, 2}}, []int64{0, 0}}, buckets{})
	same("no buckets", 0, buckets{[]Span{{2, 0}}, nil}, buckets{})
	same("start and end", 3, buckets{[]Span{{-1, 4}}, []int64{0, 2, 0, -2}}, buckets{[]Span{{0, 2}}, []int64{2, 0}})
	same("middle", 0, buckets{[]Span{{0, 3}}, []int64{1, -1, 2}}, buckets{[]Span{{0, 1}, {1, 1}}, []int64{1, 1}})
	same("short runs stay", 1, buckets{[]Span{{0, 3}}, []int64{1, -1, 2}}, buckets{[]Span{{0, 3}}, []int64{1, -1, 2}})
	same("short gaps are filled", 1, buckets{[]Span{{0, 1}, {1, 1}}, []int64{1, 1}}, buckets{[]Span{{0, 3}}, []int64{1, -1, 2}})
	same("spans side by side", 0, buckets{[]Span{{4, 1}, {0, 1}}, []int64{1, 1}}, buckets{[]Span{{4, 2}}, []int64{1, 1}})
}

func TestCoarsen(t *testing.T) {
	h := &Histogram{
		Schema: 1, Count: 21, PositiveSpans: []Span{{-2, 4}, {2, 2}}, PositiveBuckets: []int64{1, 1, 1, 1, 1, 1},
		NegativeSpans: []Span{{1, 1}}, NegativeBuckets: []int64{3},
	}
	f := h.ToFloat()
	if err := h.Coarsen(0); err != nil {
		t.Fatal(err)
	}
	// Buckets -2 to 1, 4 and 5 with 1 to 6 observations go to -1, 0, 1, 2 and 3.
	if want := []Span{{-1, 5}}; !slices.Equal(h.PositiveSpans, want) {
		t.Errorf("spans %v, want %v", h.PositiveSpans, want)
	}
	if got, want := absolute(h.PositiveBuckets), []float64{1, 5, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("counts %v, want %v", got, want)
	}
	if err := f.Coarsen(0); err != nil {
		t.Fatal(err)
	}
	if !f.Equal(h.ToFloat()) {
		t.Errorf("floats: got %+v, want %+v", f, h.ToFloat())
	}
	if err := f.Coarsen(0); err == nil {
		t.Error("coarsened to the schema that it has")
	}
	if err := (&Histogram{Schema: CustomBucketsSchema}).Coarsen(0); err == nil {
		t.Error("coarsened custom buckets")
	}
}
