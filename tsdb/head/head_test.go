package head

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/wal"
)

const hour = 3_600_000

func openHead(tb testing.TB, dir string, change ...func(*Options)) *Head {
	tb.Helper()
	o := Options{
		WAL:          wal.Options{Dir: filepath.Join(dir, "wal"), SegmentSize: 1 << 20, Compression: wal.Snappy},
		ChunkRange:   2 * hour,
		MinValidTime: math.MinInt64,
	}
	for _, f := range change {
		f(&o)
	}
	h, err := Open(context.Background(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = h.Close() })
	return h
}

func TestConformance(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Storage {
		t.Helper()
		return openHead(t, t.TempDir())
	})
}

func metric(i int) labels.Labels {
	return labels.FromStrings("__name__", "m", "i", fmt.Sprint(i), "job", "test")
}

// appendAll appends a batch and returns what became of the entries.
func appendAll(tb testing.TB, h storage.Appendable, entries ...storage.Entry) []storage.Outcome {
	tb.Helper()
	app := h.Appender()
	outcomes := make([]storage.Outcome, len(entries))
	if err := app.Append(context.Background(), entries, outcomes); err != nil {
		tb.Fatal(err)
	}
	if err := app.Commit(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return outcomes
}

// dump is all that a storage holds in [mint, maxt], as text.
func dump(tb testing.TB, s storage.Queryable, mint, maxt int64) string {
	tb.Helper()
	q, err := s.Querier(mint, maxt)
	if err != nil {
		tb.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	return dumpQuerier(tb, q)
}

func dumpQuerier(tb testing.TB, q storage.Querier) string {
	tb.Helper()
	var b strings.Builder
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	for set.Next() {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			tb.Fatal(r.Err())
		}
		fmt.Fprintf(&b, "%s", set.At().Labels())
		for k := range c.T {
			if len(c.H) > 0 && c.H[k] != nil {
				fmt.Fprintf(&b, " %d:%s", c.T[k], nativeText(c.H[k]))
			} else {
				fmt.Fprintf(&b, " %d:%v", c.T[k], c.F[k])
			}
		}
		b.WriteByte('\n')
	}
	if set.Err() != nil {
		tb.Fatal(set.Err())
	}
	return b.String()
}

func all(tb testing.TB, s storage.Queryable) string {
	tb.Helper()
	return dump(tb, s, math.MinInt64, math.MaxInt64)
}

func TestReplayRestoresEverything(t *testing.T) {
	for _, comp := range []wal.Compression{wal.None, wal.Snappy, wal.Zstd, wal.ZstdLight} {
		dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 2))
		compress := func(o *Options) { o.WAL.Compression, o.SamplesV2 = comp, comp == wal.ZstdLight }
		h := openHead(t, dir, compress)
		for scrape := range 300 {
			var entries []storage.Entry
			for i := range 50 {
				if r.IntN(3) > 0 {
					entries = append(entries, storage.Entry{
						Labels: metric(i), T: int64(scrape) * 15000, V: r.Float64(),
						Metadata: &sample.Metadata{Type: sample.TypeCounter, Help: "h"},
					})
				}
			}
			appendAll(t, h, entries...)
			if scrape%120 == 119 { // Killed: nothing is closed.
				want := all(t, h)
				h = openHead(t, dir, compress)
				if got := all(t, h); got != want {
					t.Fatalf("after replay:\n%s\nbefore:\n%s", got, want)
				}
				if s := h.Stats(); s.Series != 50 || s.MaxTime != int64(scrape)*15000 || s.MinTime != 0 {
					t.Fatalf("%+v", s)
				}
			}
		}
	}
}

func TestOutcomesFollowUpstream(t *testing.T) {
	h := openHead(t, t.TempDir())
	check := func(e storage.Entry, want error) {
		t.Helper()
		if out := appendAll(t, h, e); !errors.Is(out[0].Err, want) {
			t.Errorf("sample at %d: got %v, want %v", e.T, out[0].Err, want)
		}
	}
	check(storage.Entry{Labels: metric(0), T: 3 * hour, V: 1}, nil)
	check(storage.Entry{Labels: metric(1), T: 2 * hour, V: 1}, nil)
	check(storage.Entry{Labels: metric(2), T: 2*hour - 1, V: 1}, storage.ErrOutOfBounds)
	check(storage.Entry{Labels: metric(0), T: 3*hour - 1, V: 1}, storage.ErrOutOfOrder)
	check(storage.Entry{Labels: metric(0), T: 3 * hour, V: 1}, nil)
	check(storage.Entry{Labels: metric(0), T: 3 * hour, V: 2}, storage.ErrDuplicate)
	if s := h.Stats(); s.Series != 2 {
		t.Errorf("%d series: one was made for a sample that was refused", s.Series)
	}
	// Within one batch the same rules hold.
	out := appendAll(t, h,
		storage.Entry{Labels: metric(5), T: 3 * hour, V: 1}, storage.Entry{Labels: metric(6), T: 3 * hour, V: 1},
		storage.Entry{Labels: metric(5), T: 3*hour - 1, V: 1}, storage.Entry{Labels: metric(5), T: 3 * hour, V: 2},
		storage.Entry{Labels: metric(5), T: 3 * hour, V: 1}, storage.Entry{Labels: metric(5), T: 3*hour + 1, V: 1})
	for i, want := range []error{nil, nil, storage.ErrOutOfOrder, storage.ErrDuplicate, nil, nil} {
		if !errors.Is(out[i].Err, want) {
			t.Errorf("entry %d: got %v, want %v", i, out[i].Err, want)
		}
	}
}

// TestSeriesIsLoggedByWhoeverCommitsFirst: a batch relies on a series that another one, still open, has made.
func TestSeriesIsLoggedByWhoeverCommitsFirst(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir)
	maker := h.Appender()
	out := make([]storage.Outcome, 1)
	if err := maker.Append(t.Context(), []storage.Entry{{Labels: metric(1), T: 1, V: 1}}, out); err != nil {
		t.Fatal(err)
	}
	appendAll(t, h, storage.Entry{Ref: out[0].Ref, T: 2, V: 2})
	want := all(t, h)
	if got := all(t, openHead(t, dir)); got != want || !strings.Contains(got, "2:2") {
		t.Fatalf("after replay %q, before %q", got, want)
	}
	// The maker's sample was overtaken: it is dropped in memory as in the log.
	if err := maker.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := all(t, h); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if got := all(t, openHead(t, dir)); got != want {
		t.Fatalf("after replay %q, want %q", got, want)
	}
}

func TestTruncateForgetsWhatIsOld(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, func(o *Options) { o.WAL.SegmentSize = 32 << 10 })
	refs := map[int]storage.SeriesRef{}
	for ts := int64(0); ts < 5*hour; ts += 60_000 {
		for i := range 200 {
			// The upper half ends early, and new series appear all the time.
			if i < 100 || ts < hour {
				refs[i] = appendAll(t, h, storage.Entry{Ref: refs[i], Labels: metric(i), T: ts, V: float64(i)})[0].Ref
			}
			if i >= 100 && i < 110 && ts >= hour {
				appendAll(t, h, storage.Entry{Labels: metric(int(ts) + i), T: ts, V: 1})
			}
		}
	}
	want := dump(t, h, 2*hour, 5*hour)
	before := h.Stats()
	size, _ := h.log.Size()
	if err := h.Truncate(t.Context(), 2*hour); err != nil {
		t.Fatal(err)
	}
	if got := all(t, h); got != want {
		t.Fatal("what is not old changed")
	}
	after := h.Stats()
	if after.MinTime != 2*hour || after.Series != 100+10*180 || after.Chunks >= before.Chunks {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	if now, _ := h.log.Size(); now >= size {
		t.Errorf("the log had %d bytes, has %d", size, now)
	}
	// References of forgotten series are unknown, those of others go on, and labels make a new series.
	out := appendAll(t, h,
		storage.Entry{Ref: refs[150], T: 5 * hour, V: 1}, storage.Entry{Ref: refs[5], T: 5 * hour, V: 1},
		storage.Entry{Ref: refs[150], Labels: metric(150), T: 5 * hour, V: 1})
	if !errors.Is(out[0].Err, storage.ErrUnknownSeries) || out[1].Err != nil || out[2].Err != nil || out[2].Ref == refs[150] || !out[2].Created {
		t.Fatalf("%+v", out)
	}
	if out := appendAll(t, h, storage.Entry{Labels: metric(1), T: 2*hour - 1, V: 1}); !errors.Is(out[0].Err, storage.ErrOutOfBounds) {
		t.Fatal(out[0].Err)
	}
	want = all(t, h)
	again := openHead(t, dir, func(o *Options) { o.MinValidTime = 2 * hour })
	if got := all(t, again); got != want {
		t.Fatal("replay of checkpoint and log differs")
	}
	// Everything can go.
	if err := h.Truncate(t.Context(), 9*hour); err != nil {
		t.Fatal(err)
	}
	if s := h.Stats(); s.Series != 0 || s.Chunks != 0 || s.Samples || len(h.index.pairs.names) != 0 {
		t.Fatalf("%+v, %d names", s, len(h.index.pairs.names))
	}
}

func TestTruncateWaitsForReaders(t *testing.T) {
	h := openHead(t, t.TempDir())
	appendAll(t, h, storage.Entry{Labels: metric(1), T: 1, V: 1})
	appendAll(t, h, storage.Entry{Labels: metric(2), T: hour, V: 1})
	q, err := h.Querier(0, 2*hour)
	if err != nil {
		t.Fatal(err)
	}
	want := dumpQuerier(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Truncate(ctx, hour); !errors.Is(err, context.Canceled) {
		t.Fatalf("truncated below a reader: %v", err)
	}
	if got := dumpQuerier(t, q); got != want {
		t.Fatalf("the reader lost samples: %s", got)
	}
	done := make(chan error)
	go func() { done <- h.Truncate(t.Context(), hour) }()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := all(t, h); strings.Contains(got, `i="1"`) || !strings.Contains(got, `i="2"`) {
		t.Fatal(got)
	}
}

func TestStagedSeriesSurviveTruncation(t *testing.T) {
	h := openHead(t, t.TempDir())
	app := h.Appender()
	if err := app.Append(t.Context(), []storage.Entry{{Labels: metric(1), T: 5, V: 1}}, make([]storage.Outcome, 1)); err != nil {
		t.Fatal(err)
	}
	if err := h.Truncate(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := all(t, h); !strings.Contains(got, "5:1") {
		t.Fatal(got)
	}
}

func TestBatchBehindACutBlockFails(t *testing.T) {
	h := openHead(t, t.TempDir())
	app := h.Appender()
	if err := app.Append(t.Context(), []storage.Entry{{Labels: metric(1), T: 5, V: 1}}, make([]storage.Outcome, 1)); err != nil {
		t.Fatal(err)
	}
	h.Freeze(6)
	if err := app.Commit(t.Context()); !errors.Is(err, storage.ErrOutOfBounds) {
		t.Fatalf("got %v: the sample would be in no block", err)
	}
	if got := all(t, h); got != "" {
		t.Fatal(got)
	}
}

func TestSeriesForABlock(t *testing.T) {
	h := openHead(t, t.TempDir())
	for ts := int64(0); ts < 5*hour; ts += 30_000 {
		appendAll(t, h, storage.Entry{Labels: metric(2), T: ts, V: float64(ts)}, storage.Entry{Labels: metric(1), T: ts, V: 1})
	}
	h.extra.deleted[0] = []interval{{minT: hour, maxT: hour + 60_000}}
	var got strings.Builder
	err := h.Series(t.Context(), hour, 2*hour, func(ls labels.Labels, chunks []block.Chunk) error {
		var c chunk.Columns
		for _, ch := range chunks {
			if err := chunk.Decode(chunk.EncXOR, ch.Data, math.MinInt64, math.MaxInt64, &c); err != nil {
				return err
			}
			if c.T[len(c.T)-1] != ch.MaxTime {
				return fmt.Errorf("chunk ends at %d, says %d", c.T[len(c.T)-1], ch.MaxTime)
			}
		}
		fmt.Fprintf(&got, "%s %d samples %d..%d\n", ls, len(c.T), c.T[0], c.T[len(c.T)-1])
		return nil
	})
	want := metric(1).String() + " 120 samples 3600000..7170000\n" + metric(2).String() + " 117 samples 3690000..7170000\n"
	if err != nil || got.String() != want {
		t.Fatalf("%v\ngot\n%swant\n%s", err, got.String(), want)
	}
}

// TestSnapshotsAreBeforeDeletions: a snapshot shows the same before and after a deletion that it does not know of.
func TestSnapshotsAreBeforeDeletions(t *testing.T) {
	h := openHead(t, t.TempDir())
	for ts := range int64(10) {
		appendAll(t, h, storage.Entry{Labels: metric(1), T: ts, V: float64(ts)})
	}
	everything := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".*")
	if err := h.Delete(t.Context(), 1, 2, everything); err != nil {
		t.Fatal(err)
	}
	q, err := h.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	count := func(q storage.Querier) int {
		set, n := q.Select(t.Context(), false, nil, everything), 0
		for set.Next() {
			var c storage.Columns
			for r := set.At().Samples(nil); r.Read(&c); {
			}
			n += c.Len()
		}
		return n
	}
	if n := count(q); n != 8 {
		t.Fatalf("%d samples, want those that are not deleted", n)
	}
	if err := h.Delete(t.Context(), 5, 7, everything); err != nil {
		t.Fatal(err)
	}
	if n := count(q); n != 8 {
		t.Errorf("%d samples, want those that there were", n)
	}
	later, err := h.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close() //nolint:errcheck // a test's reader
	if n := count(later); n != 5 {
		t.Errorf("%d samples, want those that are left", n)
	}
}

// faulty fails writes while full is set.
type faulty struct {
	wal.OS
	full bool
}

type faultyFile struct {
	wal.File
	fs *faulty
}

func (f *faulty) Create(name string) (wal.File, error) {
	file, err := f.OS.Create(name)
	return faultyFile{file, f}, err
}

func (f faultyFile) WriteAt(b []byte, off int64) (int, error) {
	if f.fs.full {
		n, _ := f.File.WriteAt(b[:len(b)/2], off)
		return n, syscall.ENOSPC
	}
	return f.File.WriteAt(b, off)
}

func TestFullDisk(t *testing.T) {
	dir, fs := t.TempDir(), &faulty{}
	h := openHead(t, dir, func(o *Options) { o.WAL.FS = fs })
	for i := range 100 {
		fs.full = i%3 == 1
		app := h.Appender()
		if err := app.Append(t.Context(), []storage.Entry{{Labels: metric(i % 7), T: int64(i), V: float64(i)}}, make([]storage.Outcome, 1)); err != nil {
			t.Fatal(err)
		}
		err := app.Commit(t.Context())
		if (err != nil) != fs.full || fs.full && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("batch %d: %v", i, err)
		}
	}
	want := all(t, h)
	if strings.Count(want, ":") != 67 || strings.Contains(want, " 1:1") {
		t.Fatal(want)
	}
	if got := all(t, openHead(t, dir)); got != want {
		t.Fatalf("got %s want %s", got, want)
	}
}

// TestDamageIsReported damages the log in the middle.
func TestDamageIsReported(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, func(o *Options) { o.WAL.Compression = wal.None })
	for i := range 3000 {
		appendAll(t, h, storage.Entry{Labels: metric(1), T: int64(i), V: float64(i)})
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := (wal.OS{}).Open(filepath.Join(dir, "wal", "00000000"))
	if err != nil {
		t.Fatal(err)
	}
	size, _ := file.Size()
	b := make([]byte, size)
	_, _ = file.ReadAt(b, 0)
	_ = file.Close()
	clear(b[40_000:45_000])
	out, err := (wal.OS{}).Create(filepath.Join(dir, "wal", "00000000"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	var log strings.Builder
	h = openHead(t, dir, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	got := all(t, h)
	if n := strings.Count(got, ":"); n < 1500 || n > 2950 || !strings.Contains(got, " 2999:2999") {
		t.Fatalf("%d samples", n)
	}
	if !strings.Contains(log.String(), "offset=") || !strings.Contains(log.String(), "wal/00000000") {
		t.Fatalf("log says %s", log.String())
	}
}

// TestHammer appends, queries and truncates at once; each batch must be seen whole.
func TestHammer(t *testing.T) {
	const writers, width, rounds = 4, 30, 150
	h := openHead(t, t.TempDir())
	var wg, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			var refs [width]storage.SeriesRef
			for round := range rounds {
				entries, outcomes := make([]storage.Entry, width), make([]storage.Outcome, width)
				for i := range entries {
					entries[i] = storage.Entry{Ref: refs[i], Labels: labels.FromStrings("__name__", "m", "w", fmt.Sprint(w), "i", fmt.Sprint(i)), T: int64(round) * 1000, V: float64(round)}
				}
				app := h.Appender()
				if err := app.Append(t.Context(), entries, outcomes); err != nil {
					t.Error(err)
				}
				for i := range outcomes {
					if outcomes[i].Err != nil {
						t.Errorf("%v: %v", entries[i].Labels, outcomes[i].Err)
					}
					refs[i] = outcomes[i].Ref
				}
				finish := app.Commit
				if round%10 == 9 {
					finish = func(context.Context) error { return app.Rollback() }
				}
				if err := finish(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					checkAtomic(t, h, writers, width)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	readers.Wait()
	checkAtomic(t, h, writers, width)
}

func checkAtomic(t *testing.T, h *Head, writers, width int) {
	t.Helper()
	q, err := h.Querier(0, math.MaxInt64)
	if err != nil {
		t.Error(err)
		return
	}
	defer q.Close() //nolint:errcheck // a test's reader
	for w := range writers {
		lengths := map[string]int{}
		set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "w", fmt.Sprint(w)))
		for set.Next() {
			var c storage.Columns
			r := set.At().Samples(nil)
			for r.Read(&c) {
				continue
			}
			for k := range c.T {
				if c.F[k] != float64(c.T[k]/1000) || c.T[k]/1000%10 == 9 {
					t.Errorf("sample %v at %d", c.F[k], c.T[k])
				}
			}
			lengths[fmt.Sprint(c.T)]++
		}
		for ts, n := range lengths {
			if len(lengths) > 1 || n != width {
				t.Errorf("writer %d: %d of %d series show %s", w, n, width, ts)
			}
		}
	}
}

func floatEntry(i int, ts int64) storage.Entry {
	return storage.Entry{Labels: metric(i), T: ts, V: float64(ts)}
}
