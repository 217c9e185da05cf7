package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir) // Never returns.
	}
	goleak.VerifyTestMain(m)
}

const minute = 60_000

// openDB opens a storage with blocks of ten minutes, which are not merged into larger ones unless change says so.
func openDB(tb testing.TB, dir string, change ...func(*Options)) *DB {
	tb.Helper()
	o := Options{Dir: dir, MinBlockDuration: 10 * time.Minute, WALSegmentSize: 64 << 10}
	for _, f := range change {
		f(&o)
	}
	if o.MaxBlockDuration == 0 {
		o.MaxBlockDuration = o.MinBlockDuration
	}
	db, err := Open(context.Background(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func TestConformance(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Storage {
		t.Helper()
		return openDB(t, t.TempDir())
	})
}

func series(i int) labels.Labels {
	return labels.FromStrings("__name__", "m", "i", fmt.Sprint(i))
}

// fill appends one sample per series and ten seconds in [from, to).
func fill(tb testing.TB, db *DB, from, to int64, width int) {
	tb.Helper()
	for ts := from; ts < to; ts += 10_000 {
		app := db.Appender()
		entries, outcomes := make([]storage.Entry, width), make([]storage.Outcome, width)
		for i := range entries {
			entries[i] = storage.Entry{Labels: series(i), T: ts, V: float64(ts) + float64(i)}
		}
		if err := app.Append(context.Background(), entries, outcomes); err != nil {
			tb.Fatal(err)
		}
		for i := range outcomes {
			if outcomes[i].Err != nil {
				tb.Fatalf("series %d at %d: %v", i, ts, outcomes[i].Err)
			}
		}
		if err := app.Commit(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
}

// dump is all that the storage answers for [mint, maxt].
func dump(tb testing.TB, db storage.Queryable, mint, maxt int64) string {
	tb.Helper()
	q, err := db.Querier(mint, maxt)
	if err != nil {
		tb.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	var b strings.Builder
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	var r storage.ColumnReader
	for set.Next() {
		var c storage.Columns
		r = set.At().Samples(r)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			tb.Fatal(r.Err())
		}
		fmt.Fprintf(&b, "%s", set.At().Labels())
		for k := range c.T {
			fmt.Fprintf(&b, " %d:%v", c.T[k], c.F[k])
		}
		b.WriteByte('\n')
	}
	if set.Err() != nil {
		tb.Fatal(set.Err())
	}
	return b.String()
}

func all(tb testing.TB, db storage.Queryable) string {
	tb.Helper()
	return dump(tb, db, math.MinInt64, math.MaxInt64)
}

func TestCutBlocksAnswerAsTheHeadDid(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 3*minute, 48*minute, 5)
	want := all(t, db)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := all(t, db); got != want {
		t.Fatalf("after the cut:\n%s\nbefore:\n%s", got, want)
	}
	blocks := db.currentBlocks()
	if len(blocks) != 4 || blocks[0].Meta().MinTime != 3*minute || blocks[0].Meta().MaxTime != 10*minute || blocks[3].Meta().MaxTime != 40*minute {
		t.Fatalf("%d blocks, first %+v", len(blocks), blocks[0].Meta())
	}
	if s := db.HeadStats(); s.MinTime != 40*minute || s.Series != 5 {
		t.Fatalf("%+v", s)
	}
	if mint, ok := db.MinTime(); !ok || mint != 3*minute {
		t.Fatal(mint, ok)
	}
	// Across the border, in one block alone, in the head alone.
	for _, r := range [][2]int64{{5 * minute, 45 * minute}, {12 * minute, 13 * minute}, {41 * minute, 42 * minute}, {9*minute + 55_000, 10 * minute}} {
		got := strings.Count(dump(t, db, r[0], r[1]), ":")
		wantCount := 0
		for ts := int64(3 * minute); ts < 48*minute; ts += 10_000 {
			if ts >= r[0] && ts <= r[1] {
				wantCount += 5
			}
		}
		if got != wantCount {
			t.Errorf("%v: %d samples, want %d", r, got, wantCount)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := all(t, openDB(t, dir)); got != want {
		t.Fatal("after reopening the answer differs")
	}
}

// TestCrashBetweenCutAndTruncation: the log still holds what the block holds.
func TestCrashBetweenCutAndTruncation(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 20*minute, 3)
	want := all(t, db)
	if _, err := db.writeBlockTo(t.Context(), dir, 0, 10*minute); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir)
	if got := all(t, db); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if s := db.HeadStats(); s.MinTime != 10*minute {
		t.Fatalf("the head holds samples of the block: %+v", s)
	}
}

func TestReaderDuringCut(t *testing.T) {
	db := openDB(t, t.TempDir())
	fill(t, db, 0, 20*minute, 3)
	q, err := db.Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	done := make(chan error)
	go func() { done <- db.maintain(t.Context()) }()
	n := 0
	for set.Next() {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		n += len(c.T)
	}
	if n != 3*120 {
		t.Errorf("read %d samples", n)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestSecondProcessIsKeptOut(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by another process (pid %d)", os.Getpid())) {
		t.Fatalf("got %v", err)
	}
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Querier(0, 1); err == nil {
		t.Error("a closed storage gave out a querier")
	}
	app := db.Appender()
	if err := app.Append(t.Context(), []storage.Entry{{Labels: series(1), T: 1}}, make([]storage.Outcome, 1)); err == nil {
		t.Error("a closed storage took a sample")
	}
	if _, err := os.Stat(filepath.Join(dir, "lock")); !os.IsNotExist(err) {
		t.Error("the lock file is still there")
	}
	openDB(t, dir)
	openDB(t, dir, func(o *Options) { o.NoLockfile = true })
}

// logText collects log lines of several goroutines.
type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestDamagedBlockIsLeftOut(t *testing.T) {
	for _, file := range []string{"index", "meta.json", "chunks/000001", "tombstones"} {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			db := openDB(t, dir)
			fill(t, db, 0, 35*minute, 2)
			if err := db.maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			bad := db.currentBlocks()[0]
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(bad.Dir(), file), []byte("damaged"), 0o600); err != nil {
				t.Fatal(err)
			}
			var log logText
			db = openDB(t, dir, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			if n := strings.Count(all(t, db), ":"); n != 2*6*25 {
				t.Errorf("%d samples", n)
			}
			if !strings.Contains(log.String(), filepath.Base(bad.Dir())) || !strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("log says %s", log.String())
			}
			if err := db.maintain(t.Context()); err != nil {
				t.Error(err)
			}
			if n := strings.Count(log.String(), "cannot be opened"); n != 1 {
				t.Errorf("reported %d times", n)
			}
		})
	}
}

// TestNewestBlockComesBackFromTheLog: the log is shortened later than a block is cut, and covers for it meanwhile.
func TestNewestBlockComesBackFromTheLog(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 16*minute, 2)
	want := all(t, db)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	bad := db.currentBlocks()[0]
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(bad.Dir(), "index")); err != nil {
		t.Fatal(err)
	}
	if got := all(t, openDB(t, dir)); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	const id = "01M7Y0THABSC9MPTD9AEBHJG7C"
	for _, name := range []string{id + ".tmp-for-creation", id + ".tmp-for-deletion", id + ".tmp", "mine.tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "chunks"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	openDB(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "lock mine.tmp wal" {
		t.Fatalf("left: %s", got)
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 65*minute, 3)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(db.currentBlocks()); n != 5 {
		t.Fatalf("%d blocks", n)
	}
	apply := func(r Retention, blocks int, mint int64) {
		t.Helper()
		db.SetRetention(r)
		if err := db.maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := db.currentBlocks()
		names, err := blockNames(dir)
		if err != nil || len(left) != blocks || len(names) != blocks || blocks > 0 && left[0].Meta().MinTime != mint {
			t.Fatalf("%+v: %d blocks open, %d there (%v)", r, len(left), len(names), err)
		}
	}
	apply(Retention{}, 5, 0)
	apply(Retention{Time: 31 * time.Minute}, 4, 10*minute)
	apply(Retention{Time: 30 * time.Minute}, 3, 20*minute)
	size := db.headBytes() + db.currentBlocks()[1].Size() + db.currentBlocks()[2].Size()
	apply(Retention{SizeBytes: size}, 2, 30*minute)
	db.opts.DiskSize = func(string) (int64, error) { return 4 * (size - 1), nil }
	apply(Retention{Percentage: 100, SizeBytes: 1}, 2, 30*minute)
	db.opts.DiskSize = func(string) (int64, error) { return 0, errors.ErrUnsupported }
	apply(Retention{Percentage: 1}, 2, 30*minute)
	db.opts.DiskSize = func(string) (int64, error) { return 4 * (size - 1), nil }
	apply(Retention{Percentage: 24}, 1, 40*minute)
	db.opts.DiskSize = func(string) (int64, error) { return 0, errors.ErrUnsupported }
	apply(Retention{SizeBytes: 1}, 0, 0)
}

func TestRetentionByPercentageNeedsTheSize(t *testing.T) {
	o := Options{Dir: t.TempDir(), Retention: Retention{Percentage: 50}}
	o.DiskSize = func(string) (int64, error) { return 0, errors.ErrUnsupported }
	if _, err := Open(t.Context(), o); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "50%") {
		t.Errorf("opening says %v", err)
	}
	o.DiskSize = nil
	db, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := db.opts.DiskSize(o.Dir); err != nil || n < 1<<20 || db.sizeLimit(o.Retention) != int64(float64(n)/100*50) {
		t.Errorf("the file system has %d bytes (%v), the limit is %d", n, err, db.sizeLimit(o.Retention))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	o.Retention.Percentage = 100.5
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "100.5") {
		t.Errorf("opening says %v", err)
	}
}

func TestDelayedCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openDB(t, t.TempDir(), func(o *Options) { o.CutDelayPercent = 100 })
		if db.cutDelay < 0 || db.cutDelay >= 10*time.Minute {
			t.Errorf("the delay is %v", db.cutDelay)
		}
		db.cutDelay = 3 * time.Minute
		fill(t, db, 0, 16*minute, 1)
		for _, want := range []int{0, 0, 0, 1, 1} {
			maintain(t, db)
			if n := len(db.currentBlocks()); n != want {
				t.Errorf("%d blocks, not %d", n, want)
			}
			time.Sleep(time.Minute)
		}
		fill(t, db, 16*minute, 26*minute, 1)
		maintain(t, db) // The next block waits anew.
		if n := len(db.currentBlocks()); n != 1 {
			t.Errorf("%d blocks", n)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCompactionTurnedOff(t *testing.T) {
	db := openDB(t, t.TempDir())
	fill(t, db, 0, 16*minute, 1)
	db.SetCompaction(false)
	maintain(t, db)
	if n, skipped := len(db.currentBlocks()), testutil.ToFloat64(db.metrics.compactionsSkipped); n != 0 || skipped != 1 {
		t.Errorf("%d blocks, skipped %v times", n, skipped)
	}
	db.SetCompaction(true)
	maintain(t, db)
	if n := len(db.currentBlocks()); n != 1 {
		t.Errorf("%d blocks", n)
	}
}

// TestRunWorksOnSchedule drives the background with a fake clock.
func TestRunWorksOnSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db := openDB(t, dir)
		fill(t, db, 0, 12*minute, 2)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- db.Run(ctx) }()
		synctest.Wait()
		if n := len(db.currentBlocks()); n != 0 {
			t.Errorf("%d blocks of a head that is not wide", n)
		}
		fill(t, db, 12*minute, 16*minute, 2) // More than one and a half times the ten minutes of a block.
		synctest.Wait()
		if n := len(db.currentBlocks()); n != 1 {
			t.Errorf("%d blocks before the first minute is over", n)
		}
		// A block that disappears is closed, one that appears is opened.
		away := filepath.Join(t.TempDir(), "away")
		name := db.currentBlocks()[0].Dir()
		for _, step := range []struct{ from, to string }{{name, away}, {away, name}} {
			if err := os.Rename(step.from, step.to); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(db.currentBlocks()); (n == 1) != (step.to == name) {
				t.Errorf("%d blocks after %v", n, step)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	dir := t.TempDir()
	db := openDB(t, dir, func(o *Options) { o.Registerer = reg })
	fill(t, db, 0, 20*minute, 2)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP prometheus_tsdb_blocks_loaded Number of currently loaded data blocks
# TYPE prometheus_tsdb_blocks_loaded gauge
prometheus_tsdb_blocks_loaded 1
# HELP prometheus_tsdb_head_samples_appended_total Total number of appended samples.
# TYPE prometheus_tsdb_head_samples_appended_total counter
prometheus_tsdb_head_samples_appended_total{type="float"} 240
prometheus_tsdb_head_samples_appended_total{type="histogram"} 0
# HELP prometheus_tsdb_head_series Total number of series in the head block.
# TYPE prometheus_tsdb_head_series gauge
prometheus_tsdb_head_series 2
# HELP prometheus_tsdb_head_min_time Minimum time bound of the head block. The unit is decided by the library consumer.
# TYPE prometheus_tsdb_head_min_time gauge
prometheus_tsdb_head_min_time 600000
# HELP prometheus_tsdb_clean_start -1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean
# TYPE prometheus_tsdb_clean_start gauge
prometheus_tsdb_clean_start 1
`), "prometheus_tsdb_blocks_loaded", "prometheus_tsdb_head_samples_appended_total", "prometheus_tsdb_head_series",
		"prometheus_tsdb_head_min_time", "prometheus_tsdb_clean_start")
	if err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openDB(t, dir, func(o *Options) { o.Registerer = reg }) // All names are free again.
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := Open(t.Context(), Options{MinBlockDuration: time.Hour, MaxBlockDuration: time.Minute, WALCompression: "lz4", WALSegmentSize: 5})
	for _, want := range []string{"no data directory", "max block duration", "lz4", "segment size 5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestReplayIsVisibleInMetrics while the log is read, and when it was.
func TestReplayIsVisibleInMetrics(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, func(o *Options) { o.MinBlockDuration = 24 * time.Hour })
	fill(t, db, 0, 9*time.Hour.Milliseconds(), 50)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	value := func(name string) float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == name {
				return f.Metric[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("no metric %s", name)
		return 0
	}
	var seen []float64
	watch := slogHandlerFunc(func(r slog.Record) {
		if strings.HasPrefix(r.Message, "Reading segment") {
			seen = append(seen, value("narthex_tsdb_wal_replay_segments_read"))
		}
	})
	db = openDB(t, dir, func(o *Options) {
		o.MinBlockDuration, o.Registerer, o.Logger = 24*time.Hour, reg, slog.New(watch)
	})
	all := value("narthex_tsdb_wal_replay_segments")
	if len(seen) < 3 || !slices.IsSorted(seen) || seen[0] != 0 || value("narthex_tsdb_wal_replay_segments_read") != all {
		t.Errorf("%v segments, seen %v", all, seen)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if families, err := reg.Gather(); err != nil || len(families) > 0 {
		t.Errorf("%d metrics are left, %v", len(families), err)
	}
}

// slogHandlerFunc is a handler that is a function.
type slogHandlerFunc func(slog.Record)

func (f slogHandlerFunc) Enabled(context.Context, slog.Level) bool { return true }
func (f slogHandlerFunc) WithAttrs([]slog.Attr) slog.Handler       { return f }
func (f slogHandlerFunc) WithGroup(string) slog.Handler            { return f }

func (f slogHandlerFunc) Handle(_ context.Context, r slog.Record) error {
	f(r)
	return nil
}
