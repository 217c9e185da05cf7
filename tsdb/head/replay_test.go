package head

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// foreignLog writes a log as another program may: records of all types, two references for one series, entries
// without a series. Each record is in a segment of its own.
func foreignLog(t *testing.T, dir string) {
	t.Helper()
	l, err := wal.Open(wal.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	hist := &histogram.Histogram{Count: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{1}}
	recs := [][]byte{
		wal.AppendSeries(nil, []wal.Series{{Ref: 7, Labels: metric(1)}, {Ref: 500, Labels: metric(2)}}),
		wal.AppendSamples(nil, []wal.Sample{{Ref: 7, T: 10, V: 1}, {Ref: 500, T: 10, V: 2}, {Ref: 99, T: 10, V: 3}}),
		wal.AppendSeries(nil, []wal.Series{{Ref: 8, Labels: metric(1)}}),
		wal.AppendSamples(nil, []wal.Sample{{Ref: 8, T: 20, ST: 5, V: 4}, {Ref: 7, T: 15, V: 9}, {Ref: 7, T: 30, V: 5}, {Ref: 500, T: 30, V: 6}}),
		wal.AppendTombstones(nil, []wal.Tombstone{{Ref: 500, MinT: 0, MaxT: 25}, {Ref: 98, MinT: 0, MaxT: 1}}),
		wal.AppendExemplars(nil, []wal.Exemplar{{Ref: 7, T: 30, V: 1, Labels: labels.FromStrings("trace_id", "x")}}),
		wal.AppendMetadata(nil, []wal.Metadata{{Ref: 7, Metadata: sample.Metadata{Type: sample.TypeGauge, Help: "old"}}}),
		wal.AppendMetadata(nil, []wal.Metadata{{Ref: 7, Metadata: sample.Metadata{Type: sample.TypeGauge, Help: "new"}}}),
		wal.AppendHistograms(nil, []wal.Histogram{{Ref: 7, T: 40, Int: hist}})[0],
		{200, 1, 2, 3},
		{byte(wal.TypeSamples), 1},
		wal.AppendSamples(nil, []wal.Sample{{Ref: 7, T: 50, V: 7}}),
	}
	for _, rec := range recs {
		if err := l.Append(rec); err != nil {
			t.Fatal(err)
		}
		if err := l.NextSegment(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestForeignLog(t *testing.T) {
	dir, reg := t.TempDir(), prometheus.NewPedanticRegistry()
	foreignLog(t, filepath.Join(dir, "wal"))
	var log strings.Builder
	var progress []int
	h := openHead(t, dir, func(o *Options) {
		o.Registerer, o.Logger = reg, slog.New(slog.NewTextHandler(&log, nil))
		o.OnSegment = func(first, last, current int) {
			if first != 0 || last != 12 {
				t.Errorf("segments %d to %d", first, last)
			}
			progress = append(progress, current)
		}
	})
	want := metric(1).String() + " 10:1 20:4 30:5 40:h1/0[0=1] 50:7\n" + metric(2).String() + " 30:6\n"
	if got := all(t, h); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if !slices.IsSorted(progress) || len(progress) != 12 {
		t.Errorf("progress %v", progress)
	}
	for _, text := range []string{"unknown types", "00000010"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("log does not say %q:\n%s", text, log.String())
		}
	}
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP prometheus_tsdb_wal_corruptions_total Total number of WAL corruptions.
# TYPE prometheus_tsdb_wal_corruptions_total counter
prometheus_tsdb_wal_corruptions_total 1
# HELP prometheus_tsdb_wal_replay_unknown_refs_total Total number of unknown series references encountered during WAL replay.
# TYPE prometheus_tsdb_wal_replay_unknown_refs_total counter
prometheus_tsdb_wal_replay_unknown_refs_total{type="samples"} 1
prometheus_tsdb_wal_replay_unknown_refs_total{type="tombstones"} 1
`), "prometheus_tsdb_wal_corruptions_total", "prometheus_tsdb_wal_replay_unknown_refs_total")
	if err != nil {
		t.Error(err)
	}
	checkCheckpoint(t, h, dir)
}

// checkCheckpoint shortens the log and looks at what is left: also what the head itself can't hold.
func checkCheckpoint(t *testing.T, h *Head, dir string) {
	t.Helper()
	for range 2 * manyBounds { // Until all of the foreign segments are in the checkpoint.
		if err := h.Truncate(context.Background(), 30); err != nil {
			t.Fatal(err)
		}
		appendAll(t, h, floatEntry(1, h.maxTime.Load()+1))
	}
	chain, err := wal.FindChain(wal.OS{}, filepath.Join(dir, "wal"))
	if err != nil || chain.Checkpoint < 12 {
		t.Fatalf("checkpoint %d, %v", chain.Checkpoint, err)
	}
	counts := map[wal.Type]int{}
	r := wal.NewReader(wal.OS{}, chain.Segments, func(d *wal.Damage) { t.Error(d) })
	for r.Next() {
		counts[wal.TypeOf(r.Record())]++
		if wal.TypeOf(r.Record()) == wal.TypeMetadata {
			if md, err := wal.DecodeMetadata(r.Record(), nil); err != nil || len(md) != 1 || md[0].Help != "new" {
				t.Errorf("metadata %v, %v", md, err)
			}
		}
	}
	for _, typ := range []wal.Type{wal.TypeExemplars, wal.TypeHistograms, wal.TypeMetadata} {
		if counts[typ] != 1 {
			t.Errorf("%d records of type %v in the checkpoint", counts[typ], typ)
		}
	}
	if counts[wal.TypeUnknown] != 0 {
		t.Error("a record of unknown type is still there")
	}
	again := openHead(t, dir, func(o *Options) { o.MinValidTime = 30 })
	if got, want := all(t, again), dump(t, h, 30, math.MaxInt64); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestReplayCanBeInterrupted(t *testing.T) {
	dir := t.TempDir()
	foreignLog(t, filepath.Join(dir, "wal"))
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{WAL: wal.Options{Dir: filepath.Join(dir, "wal")}, ChunkRange: hour, MinValidTime: math.MinInt64}
	o.OnSegment = func(_, _, current int) {
		if current == 3 {
			cancel()
		}
		if current > 4 {
			t.Errorf("reads segment %d", current)
		}
	}
	if _, err := Open(ctx, o); err == nil {
		t.Fatal("no error")
	}
}

// TestDamageIsReportedOnce: the checkpoint that drops a damaged part does not count it again.
func TestDamageIsReportedOnce(t *testing.T) {
	dir, reg := t.TempDir(), prometheus.NewPedanticRegistry()
	h := openHead(t, dir)
	appendAll(t, h, floatEntry(1, 10))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	segs, err := wal.ListSegments(wal.OS{}, filepath.Join(dir, "wal"))
	if err != nil || len(segs) == 0 {
		t.Fatal(segs, err)
	}
	b, err := os.ReadFile(segs[0].Path())
	if err != nil {
		t.Fatal(err)
	}
	b[10] ^= 1
	if err := os.WriteFile(segs[0].Path(), b, 0o600); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, func(o *Options) { o.Registerer = reg })
	for i := range int64(4) {
		appendAll(t, h, floatEntry(1, 20+i))
		if err := h.Truncate(t.Context(), 20+i); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(segs[0].Path()); !os.IsNotExist(err) {
		t.Fatalf("the damaged segment is still there: %v", err)
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP prometheus_tsdb_wal_corruptions_total Total number of WAL corruptions.
# TYPE prometheus_tsdb_wal_corruptions_total counter
prometheus_tsdb_wal_corruptions_total 1
`), "prometheus_tsdb_wal_corruptions_total"); err != nil {
		t.Error(err)
	}
}

// deniedFS is a file system with a file that may not be read.
type deniedFS struct {
	wal.OS
	name string
}

func (f deniedFS) Open(name string) (wal.File, error) {
	if name == f.name {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrPermission}
	}
	return f.OS.Open(name)
}

// TestDeniedSegmentIsKept: a segment that may not be read is intact. A start without it would lead to its deletion.
func TestDeniedSegmentIsKept(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir)
	appendAll(t, h, floatEntry(1, 10))
	want := all(t, h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	o := wal.Options{Dir: filepath.Join(dir, "wal")}
	o.FS = deniedFS{name: wal.Segment{Dir: o.Dir, Index: 0}.Path()}
	_, err := Open(t.Context(), Options{WAL: o, ChunkRange: hour, MinValidTime: math.MinInt64})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "00000000") {
		t.Fatalf("opened: %v", err)
	}
	if got := all(t, openHead(t, dir)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReplayNeedsNoMoreMemoryThanTheRun: what lives on the heap while the log is read stays below what lived at the end of
// the run that wrote it, with complete chunks in files and without.
func TestReplayNeedsNoMoreMemoryThanTheRun(t *testing.T) {
	for _, mapped := range []bool{false, true} {
		dir := t.TempDir()
		change := func(o *Options) {
			o.WAL.SegmentSize = 256 << 10
			if mapped {
				mapping(dir)(o)
			}
		}
		before := liveHeap()
		h := openHead(t, dir, change)
		entries := make([]storage.Entry, 8_000)
		outcomes := make([]storage.Outcome, len(entries))
		for scrape := range int64(130) {
			for i := range entries {
				if scrape == 0 {
					entries[i].Labels = metric(i)
				}
				entries[i].T, entries[i].V = scrape*15_000, float64(scrape*int64(i%7))
			}
			app := h.Appender()
			if err := errors.Join(app.Append(t.Context(), entries, outcomes), app.Commit(t.Context())); err != nil {
				t.Fatal(err)
			}
			if scrape == 0 {
				for i := range entries {
					entries[i].Labels, entries[i].Ref = labels.EmptyLabels(), outcomes[i].Ref
				}
			}
		}
		mapChunks(t, h)
		run := liveHeap() - before
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h = nil
		before = liveHeap()
		var peak uint64
		segments := 0
		again := openHead(t, dir, change, func(o *Options) {
			o.OnSegment = func(int, int, int) { peak, segments = max(peak, liveHeap()-before), segments+1 }
		})
		peak = max(peak, liveHeap()-before)
		const buffers = 2 << 20 // Batches on their way, a page, a record.
		if segments < 5 || peak > run+buffers {
			t.Errorf("mapped %v: %d KiB lived at the end of the run, up to %d KiB during the replay of %d segments", mapped, run>>10, peak>>10, segments)
		}
		if got := again.Stats(); got.Series != len(entries) {
			t.Errorf("%d series", got.Series)
		}
	}
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestReplayOfLongRuns restores very many samples of one series behind each other, some of which are in files, and those at the
// end of time.
func TestReplayOfLongRuns(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, mapping(dir), withWindow(dir, 0))
	ref := appendAll(t, h, floatEntry(0, 0))[0].Ref
	var entries []storage.Entry
	for k := range int64(100_000) {
		entries = append(entries, storage.Entry{Ref: ref, T: (1 + k) * 1000, V: float64(k)})
	}
	appendAll(t, h, entries[:70_000]...)
	mapChunks(t, h)
	appendAll(t, h, entries[70_000:]...)
	ends := []storage.Entry{floatEntry(1, math.MaxInt64-1), floatEntry(1, math.MaxInt64)}
	appendAll(t, h, ends...)
	want := all(t, h)
	if got := all(t, openHead(t, dir, mapping(dir), withWindow(dir, 0))); got != want || strings.Count(got, ":") != 1+len(entries)+len(ends) {
		t.Errorf("got %.200s, want %.200s", got, want)
	}
}
