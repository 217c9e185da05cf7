package head

import (
	"errors"
	"math"
	"path/filepath"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// FuzzReplay: no record in one of the logs makes the start fail or panic, and what is read can be read and cut. The
// record comes twice, and in both logs.
func FuzzReplay(f *testing.F) {
	hist := nativeAt(-3, 1, 2, 3)
	custom := nativeAt(0, 1, 2)
	custom.Schema, custom.CustomValues = histogram.CustomBucketsSchema, []float64{1, 2}
	f.Add(wal.AppendSamples(nil, []wal.Sample{{Ref: 1, T: 5, V: 1}, {Ref: 1, T: 2, V: 3}, {Ref: 2, T: math.MaxInt64, V: 3}}))
	for _, rec := range wal.AppendHistograms(nil, []wal.Histogram{
		{Ref: 1, T: 5, Int: hist}, {Ref: 1, T: 6, Int: nativeAt(-5, 1, 2, 3, 4)}, {Ref: 1, T: 4, Float: hist.ToFloat()}, {Ref: 1, T: 9, Int: custom},
	}) {
		f.Add(rec)
	}
	f.Add(wal.AppendExemplars(nil, []wal.Exemplar{{Ref: 1, T: 5, V: 1, Labels: labels.FromStrings("a", "b")}, {Ref: 1, T: 3}}))
	f.Add(wal.AppendTombstones(nil, []wal.Tombstone{{Ref: 1, MinT: 3, MaxT: 5}}))
	f.Add(wal.AppendMarkers(nil, []wal.Marker{{Ref: 1, Chunk: 7}}))
	f.Fuzz(func(t *testing.T, rec []byte) {
		dir := t.TempDir()
		series := wal.AppendSeries(nil, []wal.Series{{Ref: 1, Labels: metric(1)}, {Ref: 2, Labels: metric(2)}})
		write := func(name string, recs ...[]byte) {
			l, err := wal.Open(wal.Options{Dir: filepath.Join(dir, name)})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(l.Append(recs...), l.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if len(rec) == 0 {
			return
		}
		write("wal", series, rec, rec)
		write("wbl", rec, rec)
		h := openHead(t, dir, withWindow(dir, hour), withExemplars(3))
		before := all(t, h)
		_ = chunksIn(t, h)
		everyExemplarOf(t, h)
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if got := all(t, openHead(t, dir, withWindow(dir, hour))); got != before {
			t.Fatalf("another start reads\n%s\nafter\n%s", got, before)
		}
	})
}

// chunksIn cuts everything, whatever the series.
func chunksIn(t *testing.T, h *Head) int {
	t.Helper()
	n := 0
	cut, ok, err := h.BeginLateCut()
	if err != nil {
		t.Fatal(err)
	}
	if ok {
		b := 0
		if err := cut.Series(t.Context(), math.MinInt64, math.MaxInt64, func(labels.Labels, []block.Chunk) error { b++; return nil }); err != nil {
			t.Fatal(err)
		}
		n += b
	}
	return n
}

func everyExemplarOf(t *testing.T, h *Head) []storage.SeriesExemplars {
	t.Helper()
	found, err := h.Exemplars(t.Context(), math.MinInt64, math.MaxInt64, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "i", ".+")})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
