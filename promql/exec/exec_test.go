package exec

import (
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/parser"
)

func TestNaturalOrder(t *testing.T) {
	got := []string{"a10", "b", "a2", "", "a", "a02b", "a2b1", "10", "9", "a1000", "a-1"}
	slices.SortFunc(got, compareNatural)
	want := []string{"", "9", "10", "a", "a2", "a02b", "a2b1", "a10", "a1000", "a-1", "b"}
	for i := range want {
		if compareNatural(got[i], want[i]) != 0 {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestAnnotationsTellTextsOnce(t *testing.T) {
	at := func(start int) parser.PositionRange { return parser.PositionRange{Start: start, End: start + 3} }
	var notes Annotations
	outer, inner := parser.PositionRange{Start: 0, End: 20}, parser.PositionRange{Start: 5, End: 15}
	notes.warn(spot{at(8), inner}, "twice")
	notes.warn(spot{at(4), outer}, "twice")
	notes.warn(spot{at(8), inner}, "twice")
	notes.info(spot{at(11), inner}, "else")
	const query = "sum(foo)\n+ sum(bar)"
	if got, want := notes.Warnings(query), []string{"PromQL warning: twice (1:5)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := notes.Infos(query), []string{"PromQL info: else (2:3)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNativeHistogramsOfDifferentResolutionAddUp(t *testing.T) {
	fine := &histogram.FloatHistogram{
		Schema: 1, Count: 6, Sum: 10, ZeroThreshold: 0.001,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 4}}, PositiveBuckets: []float64{1, 2, 1, 2},
	}
	coarse := &histogram.FloatHistogram{
		Schema: 0, Count: 3, Sum: 5, ZeroThreshold: 0.001, ZeroCount: 1,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 1}}, PositiveBuckets: []float64{2},
	}
	sum := nativeOf(fine)
	if _, _, err := sum.add(nativeOf(coarse), 1); err != nil {
		t.Fatal(err)
	}
	got := sum.histogram()
	want := &histogram.FloatHistogram{
		Schema: 0, Count: 9, Sum: 15, ZeroThreshold: 0.001, ZeroCount: 1,
		PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}}, PositiveBuckets: []float64{5, 3},
	}
	if !got.Equal(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if fine.PositiveBuckets[0] != 1 || fine.Count != 6 {
		t.Error("an operand was changed")
	}
}

func TestSpansSurviveUnrolling(t *testing.T) {
	h := &histogram.FloatHistogram{
		PositiveSpans: []histogram.Span{{Offset: -3, Length: 2}, {Offset: 4, Length: 1}}, PositiveBuckets: []float64{1, 0, 3},
	}
	got := compacted(h)
	if want := []histogram.Span{{Offset: -3, Length: 1}, {Offset: 5, Length: 1}}; !slices.Equal(got.PositiveSpans, want) {
		t.Errorf("spans are %v, want %v", got.PositiveSpans, want)
	}
	if !slices.Equal(got.PositiveBuckets, []float64{1, 3}) {
		t.Errorf("buckets are %v", got.PositiveBuckets)
	}
}
