package storagetest

import (
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/storage"
)

// histogramsInLentMemory reads with columns that lend memory, and spoils that with each reset: neither what is read later
// nor what the storage holds may suffer.
func histogramsInLentMemory(k *kit) {
	k.takesHistograms()
	k.mustCommit(lentEntries()...)
	q := k.querier(math.MinInt64, math.MaxInt64)
	want := k.read(q, matchA())
	if len(want) != 3 {
		k.Fatalf("got %d series, want 3", len(want))
	}
	cols := storage.Columns{Lent: histogram.NewReusable()}
	cols.Lent.Spoil()
	for _, resetAlways := range []bool{false, true, false} {
		k.readLent(q, &cols, resetAlways, want)
	}
	// What was read without lent memory stays as it was.
	for i, again := range k.read(q, matchA()) {
		k.sameHistograms(&again.cols, &want[i].cols, 0)
	}
}

// lentEntries are series of many samples: histograms of integers and of floats, floats between them, layouts that change.
func lentEntries() (all []storage.Entry) {
	for i, instance := range []string{"x", "y", "z"} {
		ls := metric("a", "instance", instance)
		for t := range int64(300) {
			e := storage.Entry{Labels: ls, T: 10 * t}
			h := testHistogram(uint64(1 + t + int64(i)))
			switch {
			case i == 2 && t%90 > 80:
				e.V = float64(t)
			case i == 1:
				e.FloatHistogram = h.ToFloat()
			case t > 200:
				h.Schema, h.ZeroThreshold, h.CustomValues = histogram.CustomBucketsSchema, 0, []float64{1, 2.5}
				e.Histogram = h
			default:
				e.Histogram = h
			}
			all = append(all, e)
		}
	}
	return all
}

// readLent reads into the columns, with a reset between series, or between any two runs, and compares.
func (k *kit) readLent(q storage.Querier, cols *storage.Columns, resetAlways bool, want []found) {
	k.Helper()
	var reader storage.ColumnReader
	set := q.Select(k.ctx(), true, nil, matchA())
	for i := 0; set.Next(); i++ {
		reader = set.At().Samples(reader)
		at := 0
		cols.Reset()
		for reader.Read(cols) {
			k.checkColumns(cols)
			if resetAlways {
				at += k.sameHistograms(cols, &want[i].cols, at)
				cols.Reset()
			}
		}
		if err := reader.Err(); err != nil {
			k.Fatalf("read: %v", err)
		}
		if at += k.sameHistograms(cols, &want[i].cols, at); at != want[i].cols.Len() {
			k.Fatalf("read %d samples, want %d", at, want[i].cols.Len())
		}
	}
	if err := set.Err(); err != nil {
		k.Fatalf("select: %v", err)
	}
}

// sameHistograms compares samples with those of want from a position on, and returns how many there are.
func (k *kit) sameHistograms(got, want *storage.Columns, from int) int {
	k.Helper()
	for i, t := range got.T {
		var g, w *histogram.FloatHistogram
		if len(got.H) > 0 {
			g = got.H[i]
		}
		if len(want.H) > 0 {
			w = want.H[from+i]
		}
		switch {
		case t != want.T[from+i], (g == nil) != (w == nil), g == nil && got.F[i] != want.F[from+i]:
			k.Fatalf("sample %d is %v, %v at %d", from+i, got.F[i], g, t)
		case g != nil && (!g.Equal(w) || !slices.Equal(g.PositiveSpans, w.PositiveSpans)):
			k.Fatalf("histogram %d is %v, want %v", from+i, g, w)
		}
	}
	return got.Len()
}
