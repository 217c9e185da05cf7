package histogram

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMergedSpansHaveTheBucketsOfBoth(t *testing.T) {
	check := func(a, b, want []Span) {
		t.Helper()
		if got := MergeSpans(a, b); !slices.Equal(got, want) {
			t.Errorf("%v and %v: got %v, want %v", a, b, got, want)
		}
	}
	check(nil, nil, nil)
	check([]Span{{-2, 1}}, nil, []Span{{-2, 1}})
	check([]Span{{0, 2}, {2, 1}}, []Span{{1, 2}}, []Span{{0, 3}, {1, 1}})
	check([]Span{{0, 1}, {1, 1}}, []Span{{1, 1}}, []Span{{0, 3}})
	check([]Span{{-5, 0}, {6, 1}}, []Span{{-3, 1}, {0, 1}}, []Span{{-3, 2}, {2, 1}})
}

// buckets is a model of a layout with counts.
func randomSide(r *rand.Rand) (spans []Span, counts []int64, model map[int32]int64) {
	model = map[int32]int64{}
	at := int32(0)
	for i := range r.IntN(5) {
		s := Span{Offset: int32(r.IntN(4)), Length: uint32(r.IntN(4))}
		if i == 0 {
			s.Offset -= 5
		}
		at += s.Offset
		for range s.Length {
			counts = append(counts, 1+r.Int64N(9))
			model[at] = counts[len(counts)-1]
			at++
		}
		spans = append(spans, s)
	}
	return spans, counts, model
}

func TestSpreadKeepsEachCount(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		a, counts, model := randomSide(r)
		b, _, other := randomSide(r)
		merged := MergeSpans(a, b)
		spread := Spread(nil, merged, a, counts)
		if len(spread) != CountBuckets(merged) {
			t.Fatalf("%d counts for %d buckets", len(spread), CountBuckets(merged))
		}
		for p := range Pair(merged, nil) {
			_, inA := model[p.Index]
			_, inB := other[p.Index]
			if !inA && !inB || spread[p.A] != model[p.Index] {
				t.Fatalf("%v and %v: bucket %d is %d, want %d", a, b, p.Index, spread[p.A], model[p.Index])
			}
			delete(model, p.Index)
			delete(other, p.Index)
		}
		if len(model)+len(other) > 0 {
			t.Fatalf("%v and %v: buckets %v, %v are missing in %v", a, b, model, other, merged)
		}
		if !SameBuckets(merged, MergeSpans(b, a)) || SameBuckets(a, merged) != (CountBuckets(a) == CountBuckets(merged)) {
			t.Fatalf("%v and %v: wrong about which are the same", a, b)
		}
	}
}
