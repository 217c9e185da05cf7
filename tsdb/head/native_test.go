package head

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// nativeText is a histogram without what a storage may change: empty buckets and what is known about resets.
func nativeText(h *histogram.FloatHistogram) string {
	if sample.IsStale(h.Sum) {
		return "stale"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "h%v/%v[", h.Count, h.Sum)
	sep := ""
	for p := range histogram.Pair(h.PositiveSpans, nil) {
		if n := h.PositiveBuckets[p.A]; n != 0 {
			fmt.Fprintf(&b, "%s%d=%v", sep, p.Index, n)
			sep = " "
		}
	}
	b.WriteByte(']')
	if h.CounterResetHint == histogram.GaugeType {
		b.WriteString("gauge")
	}
	return b.String()
}

// native is an integer histogram with the given counts in the buckets from index on.
func nativeAt(index int32, counts ...int64) *histogram.Histogram {
	h := &histogram.Histogram{Sum: float64(len(counts)), PositiveSpans: []histogram.Span{{Offset: index, Length: uint32(len(counts))}}}
	before := int64(0)
	for _, n := range counts {
		h.PositiveBuckets = append(h.PositiveBuckets, n-before)
		h.Count += uint64(n)
		before = n
	}
	return h
}

func intEntry(i int, t int64, h *histogram.Histogram) storage.Entry {
	return storage.Entry{Labels: metric(i), T: t, Histogram: h}
}

// randomNative is one of a series whose counters go up until they are reset, with buckets that come and go.
func randomNative(r *rand.Rand, t int64, kind int) storage.Entry {
	e := storage.Entry{T: t}
	var counts []int64
	for range 1 + r.IntN(4) {
		counts = append(counts, t%1000+r.Int64N(3))
	}
	h := nativeAt(int32(r.IntN(3)), counts...)
	switch kind {
	case 0:
		e.V = float64(t)
	case 1:
		e.Histogram = h
	case 2:
		e.FloatHistogram = h.ToFloat()
	case 3:
		h.Schema, h.CustomValues = histogram.CustomBucketsSchema, []float64{1, 2, 3, 4, 5, 6, 7}
		e.Histogram = h
	case 4:
		h.CounterResetHint = histogram.GaugeType
		e.FloatHistogram = h.ToFloat()
	case 5:
		e.V = sample.StaleNaN()
	}
	return e
}

func textOf(e storage.Entry, stale bool) string {
	switch {
	case e.Histogram != nil:
		return nativeText(e.Histogram.ToFloat())
	case e.FloatHistogram != nil:
		return nativeText(e.FloatHistogram)
	case stale:
		return "stale"
	}
	return fmt.Sprint(e.V)
}

// TestMixedSeries appends floats and histograms of all kinds to the same series, with queries open, and looks at what
// they, a restart and a block show.
func TestMixedSeries(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 3))
		dir := t.TempDir()
		h := openHead(t, dir, func(o *Options) { o.ChunkRange = 5000 })
		want := make([]string, 4)
		native := make([]bool, len(want))
		var snapshots []storage.Querier
		var shown []string
		model := func() string {
			var b strings.Builder
			for i, samples := range want {
				if samples != "" {
					fmt.Fprintf(&b, "%s%s\n", metric(i), samples)
				}
			}
			return b.String()
		}
		at := int64(0)
		kinds := make([]int, len(want))
		for range 150 {
			var batch []storage.Entry
			for i := range want {
				for range r.IntN(3) {
					at += 1 + r.Int64N(40)
					if r.IntN(20) == 0 {
						kinds[i] = r.IntN(6)
					}
					e := randomNative(r, at, kinds[i])
					e.Labels = metric(i)
					want[i] += fmt.Sprintf(" %d:%s", at, textOf(e, native[i] && sample.IsStale(e.V)))
					native[i] = e.Histogram != nil || e.FloatHistogram != nil || native[i] && sample.IsStale(e.V)
					batch = append(batch, e)
				}
			}
			for _, out := range appendAll(t, h, batch...) {
				if out.Err != nil {
					t.Fatal(out.Err)
				}
			}
			if r.IntN(20) == 0 {
				q, err := h.Querier(0, math.MaxInt64)
				if err != nil {
					t.Fatal(err)
				}
				snapshots, shown = append(snapshots, q), append(shown, model())
			}
		}
		for i, q := range snapshots {
			if got := dumpQuerier(t, q); got != shown[i] {
				t.Fatalf("seed %d: snapshot %d\ngot  %s\nwant %s", seed, i, got, shown[i])
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got := all(t, h); got != model() {
			t.Fatalf("seed %d\ngot  %s\nwant %s", seed, got, model())
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		again := openHead(t, dir, func(o *Options) { o.ChunkRange = 5000 })
		if got := all(t, again); got != model() {
			t.Fatalf("seed %d, after a restart\ngot  %s\nwant %s", seed, got, model())
		}
		if a, b := h.Stats().Chunks, again.Stats().Chunks; a != b {
			t.Errorf("seed %d: %d chunks became %d", seed, a, b)
		}
		checkBlocks(t, again)
	}
}

// checkBlocks cuts blocks, across chunks too, and compares them with what the head shows.
func checkBlocks(t *testing.T, h *Head) {
	t.Helper()
	for mint := int64(0); mint <= h.Stats().MaxTime; mint += 7321 {
		dir := t.TempDir()
		w, err := block.NewWriter(block.WriterOptions{Dir: dir, MinTime: mint, MaxTime: mint + 7321})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Series(t.Context(), mint, mint+7321, w.Add); err != nil {
			t.Fatal(err)
		}
		meta, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		b, err := block.Open(filepath.Join(dir, meta.ULID.String()))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := all(t, b), dump(t, h, mint, mint+7320); got != want || meta.Stats.NumHistogramSamples == 0 {
			t.Errorf("block from %d on with %+v\ngot  %s\nwant %s", mint, meta.Stats, got, want)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHistogramOutcomes(t *testing.T) {
	h := openHead(t, t.TempDir())
	check := func(want error, e storage.Entry) {
		t.Helper()
		if out := appendAll(t, h, e)[0]; !errors.Is(out.Err, want) || want == nil && out.Err != nil {
			t.Errorf("got %v, want %v", out.Err, want)
		}
	}
	check(nil, intEntry(1, 100, nativeAt(0, 1, 2)))
	check(nil, intEntry(1, 100, nativeAt(0, 1, 2)))
	check(storage.ErrDuplicate, intEntry(1, 100, nativeAt(0, 1, 3)))
	check(storage.ErrDuplicate, floatEntry(1, 100))
	check(storage.ErrDuplicate, storage.Entry{Labels: metric(1), T: 100, FloatHistogram: nativeAt(0, 1, 2).ToFloat()})
	check(storage.ErrOutOfOrder, intEntry(1, 99, nativeAt(0, 1, 2)))
	check(nil, floatEntry(2, 100))
	check(storage.ErrDuplicate, intEntry(2, 100, nativeAt(0, 1)))
	broken := nativeAt(0, 1, 2)
	broken.Count = 7
	check(histogram.ErrCountMismatch, intEntry(3, 100, broken))
	float := nativeAt(0, 1, 2).ToFloat()
	float.PositiveBuckets[0] = -1
	check(histogram.ErrNegativeBucketCount, storage.Entry{Labels: metric(3), T: 100, FloatHistogram: float})
	check(nil, floatEntry(4, 10*hour))
	check(storage.ErrOutOfBounds, intEntry(1, 200, nativeAt(0, 1, 2)))
	if n := h.Stats().Series; n != 3 {
		t.Errorf("%d series: one was made for an invalid histogram", n)
	}
}

// TestStaleMarkersTakeTheKindOfTheSeries also within one batch.
func TestStaleMarkersTakeTheKindOfTheSeries(t *testing.T) {
	h := openHead(t, t.TempDir())
	stale := func(i int, at int64) storage.Entry {
		return storage.Entry{Labels: metric(i), T: at, V: sample.StaleNaN()}
	}
	appendAll(t, h, intEntry(1, 1, nativeAt(0, 1)), stale(1, 2), floatEntry(2, 1), stale(2, 2))
	appendAll(t, h, stale(1, 3), stale(2, 3), intEntry(1, 4, nativeAt(0, 5)))
	want := metric(1).String() + " 1:h1/1[0=1] 2:stale 3:stale 4:h5/1[0=5]\n" + metric(2).String() + " 1:1 2:NaN 3:NaN\n"
	if got := all(t, h); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// chunksOf are the chunks of the only series.
func chunksOf(t *testing.T, h *Head) []block.Chunk {
	t.Helper()
	var all []block.Chunk
	err := h.Series(t.Context(), math.MinInt64, math.MaxInt64, func(_ labels.Labels, chunks []block.Chunk) error {
		for _, c := range chunks {
			c.Data = slices.Clone(c.Data)
			all = append(all, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestNewBucketsBeginNoChunk, but a reset does, and a chunk that is full.
func TestNewBucketsBeginNoChunk(t *testing.T) {
	h := openHead(t, t.TempDir())
	check := func(at int64, one *histogram.Histogram, chunks int, flags byte) {
		t.Helper()
		appendAll(t, h, intEntry(1, at, one))
		got := chunksOf(t, h)
		if len(got) != chunks || got[len(got)-1].Data[2] != flags || h.Stats().Chunks != chunks {
			t.Fatalf("at %d: %d chunks, the last one with flags %x", at, len(got), got[len(got)-1].Data[2])
		}
	}
	check(1, nativeAt(0, 1, 2), 1, 0)
	check(2, nativeAt(-2, 1, 0, 4, 5), 1, 0)
	check(3, nativeAt(-2, 1, 0, 4, 4), 2, 0b10<<6)
	check(4, nativeAt(-2, 1, 0, 4, 4, 1), 2, 0b10<<6)
	schema := nativeAt(-2, 1, 0, 4, 4, 1)
	schema.Schema = 2
	check(5, schema, 3, 0)
	gauge := nativeAt(-2, 1)
	gauge.CounterResetHint = histogram.GaugeType
	check(6, gauge, 4, 0b11<<6)
	check(2*hour, gauge, 5, 0b11<<6)
	check(2*hour+1, nativeAt(0, 1), 6, 0)
	// Random counts fill a chunk soon; after that, the counter goes on.
	r := rand.New(rand.NewPCG(1, 1))
	counts := make([]int64, 20)
	for at := int64(2*hour + 2); h.Stats().Chunks < 8; at++ {
		for i := range counts {
			counts[i] += r.Int64N(1 << 20)
		}
		appendAll(t, h, intEntry(1, at, nativeAt(0, counts...)))
	}
	if got := chunksOf(t, h); got[7].Data[2] != 0b01<<6 || len(got[6].Data) < chunk.TargetHistogramBytes {
		t.Errorf("chunk of %d bytes, then one with flags %x", len(got[6].Data), got[7].Data[2])
	}
}

// TestBrokenHistogramsInTheLog are left out and reported.
func TestBrokenHistogramsInTheLog(t *testing.T) {
	dir := t.TempDir()
	l, err := wal.Open(wal.Options{Dir: filepath.Join(dir, "wal")})
	if err != nil {
		t.Fatal(err)
	}
	broken := nativeAt(0, 1, 2)
	broken.PositiveSpans[0].Length = 9
	recs := [][]byte{wal.AppendSeries(nil, []wal.Series{{Ref: 7, Labels: metric(1)}})}
	recs = wal.AppendHistograms(recs, []wal.Histogram{{Ref: 7, T: 1, Int: nativeAt(0, 1)}, {Ref: 7, T: 2, Int: broken}, {Ref: 7, T: 3, Int: nativeAt(0, 2)}})
	recs = append(recs, wal.AppendTombstones(nil, []wal.Tombstone{{Ref: 7, MinT: 3, MaxT: 3}}))
	if err := errors.Join(l.Append(recs...), l.Close()); err != nil {
		t.Fatal(err)
	}
	h := openHead(t, dir)
	if got, want := all(t, h), metric(1).String()+" 1:h1/1[0=1]\n"; got != want {
		t.Errorf("got %swant %s", got, want)
	}
	if got := chunksOf(t, h); len(got) != 1 || got[0].MaxTime != 1 {
		t.Errorf("a deleted sample gets into a block: %+v", got)
	}
}
