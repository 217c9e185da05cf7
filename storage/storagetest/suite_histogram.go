package storagetest

import (
	"errors"
	"math"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// takesHistograms skips the case if the storage does not.
func (k *kit) takesHistograms() {
	k.Helper()
	out := k.commit(storage.Entry{Labels: metric("probe"), T: 0, Histogram: testHistogram(1)})
	if errors.Is(out[0].Err, storage.ErrUnsupported) {
		k.Skip("storage does not take histograms")
	}
}

// histogramsOfBothKinds alternate with floats in one batch and many, with custom buckets and without, growing and
// shrinking.
func histogramsOfBothKinds(k *kit) {
	k.takesHistograms()
	a := metric("a")
	custom := func(n int64) *histogram.Histogram {
		return &histogram.Histogram{
			Schema: histogram.CustomBucketsSchema, Count: uint64(2 * n), Sum: 3, CustomValues: []float64{1, 2.5},
			PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}}, PositiveBuckets: []int64{n, 0},
		}
	}
	var entries []storage.Entry
	for i := range int64(40) {
		e := storage.Entry{Labels: a, T: 10 * i}
		switch i % 10 {
		case 0, 1:
			e.Histogram = testHistogram(uint64(i % 7))
		case 2, 3:
			e.FloatHistogram = testHistogram(uint64(1 + i%7)).ToFloat()
		case 4:
			e.V = float64(i)
		case 5, 6:
			e.Histogram = custom(1 + i%3)
		case 7:
			e.FloatHistogram = custom(i).ToFloat()
		default:
			e.Histogram = testHistogram(uint64(i))
			e.Histogram.CounterResetHint = histogram.GaugeType
		}
		entries = append(entries, e)
	}
	k.mustCommit(entries[:15]...)
	for _, e := range entries[15:] {
		k.mustCommit(e)
	}
	got := k.read(k.querier(0, math.MaxInt64), matchA())
	if len(got) != 1 || got[0].cols.Len() != len(entries) {
		k.Fatalf("got %d series", len(got))
	}
	for i, e := range entries {
		want := e.FloatHistogram
		if e.Histogram != nil {
			want = e.Histogram.ToFloat()
		}
		h := got[0].cols.H[i]
		if (h == nil) != (want == nil) || h == nil && got[0].cols.F[i] != e.V {
			k.Fatalf("sample %d is %v, %v", i, got[0].cols.F[i], h)
		}
		if h != nil && !sameObservations(h, want) {
			k.Fatalf("histogram %d is %+v, want %+v", i, h, want)
		}
	}
}

// sameObservations compares all but hints and empty buckets, which a storage may add.
func sameObservations(a, b *histogram.FloatHistogram) bool {
	same := func(as, bs []histogram.Span, ac, bc []float64) bool {
		for p := range histogram.Pair(as, bs) {
			x, y := 0.0, 0.0
			if p.A >= 0 {
				x = ac[p.A]
			}
			if p.B >= 0 {
				y = bc[p.B]
			}
			if x != y {
				return false
			}
		}
		return true
	}
	return a.Schema == b.Schema && a.Count == b.Count && a.Sum == b.Sum && a.ZeroCount == b.ZeroCount &&
		a.ZeroThreshold == b.ZeroThreshold && len(a.CustomValues) == len(b.CustomValues) &&
		(a.CounterResetHint == histogram.GaugeType) == (b.CounterResetHint == histogram.GaugeType) &&
		same(a.PositiveSpans, b.PositiveSpans, a.PositiveBuckets, b.PositiveBuckets) &&
		same(a.NegativeSpans, b.NegativeSpans, a.NegativeBuckets, b.NegativeBuckets)
}

func histogramsAreRejected(k *kit) {
	k.takesHistograms()
	a := metric("a")
	k.mustCommit(storage.Entry{Labels: a, T: 10, Histogram: testHistogram(1)})
	check := func(want error, e storage.Entry) {
		k.Helper()
		e.Labels = a
		if out := k.commit(e)[0]; want == nil && out.Err != nil || !errors.Is(out.Err, want) {
			k.Errorf("got %v, want %v", out.Err, want)
		}
	}
	check(nil, storage.Entry{T: 10, Histogram: testHistogram(1)})
	check(storage.ErrDuplicate, storage.Entry{T: 10, Histogram: testHistogram(2)})
	check(storage.ErrDuplicate, storage.Entry{T: 10, V: 1})
	check(storage.ErrOutOfOrder, storage.Entry{T: 9, Histogram: testHistogram(1)})
	if got := k.read(k.querier(0, math.MaxInt64), matchA()); len(got) != 1 || got[0].cols.Len() != 1 {
		k.Errorf("got %v, want the first sample alone", got)
	}
}

func staleHistograms(k *kit) {
	k.takesHistograms()
	a := metric("a")
	k.mustCommit(storage.Entry{Labels: a, T: 1, Histogram: testHistogram(1)}, float(a, 2, sample.StaleNaN()))
	k.mustCommit(float(a, 3, sample.StaleNaN()), storage.Entry{Labels: a, T: 4, FloatHistogram: testHistogram(2).ToFloat()})
	k.mustCommit(float(a, 5, sample.StaleNaN()), float(a, 6, 1), float(a, 7, sample.StaleNaN()))
	got := k.read(k.querier(0, math.MaxInt64), matchA())
	if len(got) != 1 || got[0].cols.Len() != 7 {
		k.Fatalf("got %v, want one series of seven samples", got)
	}
	for i, h := range got[0].cols.H {
		stale := i == 1 || i == 2 || i == 4
		if (h != nil) != (i < 5) || h != nil && sample.IsStale(h.Sum) != stale {
			k.Errorf("sample %d is %+v", i, h)
		}
	}
	if !sample.IsStale(got[0].cols.F[6]) {
		k.Error("the marker behind a float is none")
	}
}

func matchA() *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "a")
}
