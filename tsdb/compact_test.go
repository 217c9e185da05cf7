package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
)

// merging lets blocks grow to an hour and a half.
func merging(o *Options) { o.MaxBlockDuration = 90 * time.Minute }

// ranges are the ranges of the blocks in minutes, with their levels.
func ranges(db *DB) string {
	var all []string
	for _, b := range db.currentBlocks() {
		m := b.Meta()
		all = append(all, fmt.Sprintf("%d-%d/%d", m.MinTime/minute, m.MaxTime/minute, m.Compaction.Level))
	}
	return strings.Join(all, " ")
}

// folders are the names in the data directory that belong to blocks, finished or not.
func folders(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if len(e.Name()) >= 26 {
			names = append(names, e.Name())
		}
	}
	return names
}

func maintain(t *testing.T, db *DB) {
	t.Helper()
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBlocksAreMergedAsTimeGoesBy(t *testing.T) {
	dir, reg := t.TempDir(), prometheus.NewRegistry()
	db := openDB(t, dir, merging, func(o *Options) { o.Registerer = reg })
	fill(t, db, 0, 60*minute, 5)
	q, err := db.Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	before := all(t, db)
	closed := make(chan error)
	go func() { // The cut waits for the querier; the blocks that it reads are merged under it.
		set := q.Select(context.Background(), true, nil)
		for set.Next() {
			continue
		}
		closed <- errors.Join(set.Err(), q.Close())
	}()
	maintain(t, db)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if got := ranges(db); got != "0-30/2 30-40/1 40-50/1" {
		t.Errorf("blocks %s", got)
	}
	if all(t, db) != before {
		t.Error("the answer is another one")
	}
	fill(t, db, 60*minute, 290*minute, 5)
	before = all(t, db)
	maintain(t, db)
	if got := ranges(db); got != "0-90/3 90-180/3 180-270/3 270-280/1" {
		t.Errorf("blocks %s", got)
	}
	if all(t, db) != before || len(folders(t, dir)) != 4 {
		t.Errorf("the answer is another one, or there is rubbish: %v", folders(t, dir))
	}
	expected := `
# HELP prometheus_tsdb_compactions_failed_total Total number of compactions that failed for the partition.
# TYPE prometheus_tsdb_compactions_failed_total counter
prometheus_tsdb_compactions_failed_total 0
# HELP prometheus_tsdb_compactions_total Total number of compactions that were executed for the partition.
# TYPE prometheus_tsdb_compactions_total counter
prometheus_tsdb_compactions_total 40
# HELP prometheus_tsdb_vertical_compactions_total Total number of compactions done on overlapping blocks.
# TYPE prometheus_tsdb_vertical_compactions_total counter
prometheus_tsdb_vertical_compactions_total 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(expected), "prometheus_tsdb_compactions_total", "prometheus_tsdb_compactions_failed_total", "prometheus_tsdb_vertical_compactions_total"); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if all(t, openDB(t, dir, merging)) != before {
		t.Error("after reopening the answer is another one")
	}
}

func TestQuerierReadsBlocksThatAreMergedUnderIt(t *testing.T) {
	db := openDB(t, t.TempDir(), merging)
	fill(t, db, 0, 60*minute, 3)
	db.opts.MaxBlockDuration = db.opts.MinBlockDuration
	maintain(t, db)
	want := dump(t, db, 0, 40*minute)
	q, err := db.Querier(0, 40*minute)
	if err != nil {
		t.Fatal(err)
	}
	merging(&db.opts)
	maintain(t, db)
	if got := ranges(db); got != "0-30/2 30-40/1 40-50/1" {
		t.Fatalf("blocks %s", got)
	}
	if got := dump(t, opened{q}, 0, 40*minute); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// opened is a storage with one querier.
type opened struct{ q storage.Querier }

func (o opened) Querier(int64, int64) (storage.Querier, error) { return o.q, nil }

// TestCrashBetweenMergeAndDeletion: the merged block is there, and so are some of its sources.
func TestCrashBetweenMergeAndDeletion(t *testing.T) {
	for deleted := range 4 {
		dir := t.TempDir()
		db := openDB(t, dir)
		fill(t, db, 0, 50*minute, 3)
		maintain(t, db)
		want := all(t, db)
		group := db.currentBlocks()[:3]
		merged, _, err := db.merge(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		if err := merged.Close(); err != nil {
			t.Fatal(err)
		}
		for _, b := range group[:deleted] {
			// Half deleted: renamed, but still there.
			if err := os.Rename(b.Dir(), b.Dir()+block.TmpForDeletion); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, dir)
		if got := all(t, db); got != want {
			t.Errorf("%d sources deleted: got\n%s\nwant\n%s", deleted, got, want)
		}
		if got := ranges(db); got != "0-30/2 30-40/1" || len(folders(t, dir)) != 2 {
			t.Errorf("%d sources deleted: blocks %s in %v", deleted, got, folders(t, dir))
		}
	}
}

// TestDamagedSourceStays: what can't be merged is left as it is, is reported, and does not keep others from it.
func TestDamagedSourceStays(t *testing.T) {
	dir := t.TempDir()
	var log logText
	db := openDB(t, dir)
	fill(t, db, 0, 90*minute, 3)
	maintain(t, db)
	damaged := db.currentBlocks()[1].Dir()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(damaged, "chunks", "000001")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	db = openDB(t, dir, merging, func(o *Options) { o.Registerer, o.Logger = reg, slog.New(slog.NewTextHandler(&log, nil)) })
	err = db.maintain(t.Context())
	if !errors.Is(err, block.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(damaged)) || !strings.Contains(err.Error(), "stay as they are") {
		t.Fatal(err)
	}
	if got := ranges(db); got != "0-10/1 10-20/1 20-30/1 30-60/2 60-70/1 70-80/1" || len(folders(t, dir)) != 6 {
		t.Fatalf("blocks %s in %v", got, folders(t, dir))
	}
	maintain(t, db) // It is not tried again at once.
	if n := testutil.ToFloat64(db.metrics.compactionsFailed); n != 1 {
		t.Errorf("%v failures", n)
	}
	clear(db.retries)
	if err := db.maintain(t.Context()); !errors.Is(err, block.ErrCorrupt) {
		t.Errorf("when the time has come, it is not tried again: %v", err)
	}
}

func TestRetriesGetRarer(t *testing.T) {
	db := openDB(t, t.TempDir())
	fill(t, db, 0, 30*minute, 1)
	maintain(t, db)
	group := db.currentBlocks()[:1]
	var waits []time.Duration
	for range 11 {
		db.postpone(group)
		waits = append(waits, db.retries[group[0].Meta().ULID].wait)
	}
	if waits[0] != time.Minute || waits[3] != 8*time.Minute || waits[10] != 6*time.Hour {
		t.Error(waits)
	}
}

func TestEndedContextLeavesBlocksAlone(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 50*minute, 3)
	maintain(t, db)
	merging(&db.opts)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.compact(ctx, db.currentBlocks()[:3]); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := ranges(db); got != "0-10/1 10-20/1 20-30/1 30-40/1" || len(folders(t, dir)) != 4 {
		t.Fatalf("blocks %s in %v", got, folders(t, dir))
	}
}

// fullDir is the environment variable that makes TestMergeOnAFullDisk merge blocks that are there.
const fullDir = "NARTHEX_TSDB_FULL_DIR"

// TestMergeOnAFullDisk merges in a process that may not write files as large as the merged one's.
func TestMergeOnAFullDisk(t *testing.T) {
	if dir := os.Getenv(fullDir); dir != "" {
		db := openDB(t, dir, merging)
		if err := db.maintain(t.Context()); err == nil || !strings.Contains(err.Error(), "stay as they are") {
			t.Fatalf("merging gives %v", err)
		}
		if got := ranges(db); got != "0-10/1 10-20/1 20-30/1 30-40/1" {
			t.Errorf("blocks %s", got)
		}
		return
	}
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 50*minute, 200)
	maintain(t, db)
	want := all(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "ulimit -f 100 && trap '' XFSZ && exec \"$0\" -test.run='^TestMergeOnAFullDisk$'", os.Args[0])
	cmd.Env = append(os.Environ(), fullDir+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := folders(t, dir); len(n) != 4 {
		t.Errorf("the full disk has rubbish: %v", n)
	}
	db = openDB(t, dir, merging)
	maintain(t, db)
	if got := ranges(db); got != "0-30/2 30-40/1" || all(t, db) != want {
		t.Errorf("blocks %s, or another answer", got)
	}
}

// addOverlap writes a block with other samples of the same time into the directory.
func addOverlap(t *testing.T, dir string, from, to int64) {
	t.Helper()
	other := openDB(t, t.TempDir(), func(o *Options) { o.MinBlockDuration = 24 * time.Hour })
	fill(t, other, from+5000, to, 2)
	fill(t, other, to, to+10_000, 7)
	if _, err := other.writeBlockTo(t.Context(), dir, from, to+10_000); err != nil {
		t.Fatal(err)
	}
}

func TestOverlappingBlocksAreMerged(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, func(o *Options) { o.KeepOverlaps = true })
	fill(t, db, 0, 50*minute, 3)
	maintain(t, db)
	addOverlap(t, dir, 12*minute, 25*minute)
	maintain(t, db)
	want := all(t, db)
	if got := ranges(db); got != "0-10/1 10-20/1 12-25/1 20-30/1 30-40/1" {
		t.Fatalf("blocks %s", got)
	}
	db.opts.KeepOverlaps = false
	maintain(t, db)
	if got := ranges(db); got != "0-10/1 10-30/2 30-40/1" {
		t.Fatalf("blocks %s", got)
	}
	if all(t, db) != want || strings.Count(want, ":") <= 50*6*3 {
		t.Error("the answer is another one")
	}
	if n := testutil.ToFloat64(db.metrics.verticalCompactions); n != 1 {
		t.Errorf("%v vertical compactions", n)
	}
}

func TestMergingWaitsForUploads(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "thanos.shipper.json")
	db := openDB(t, dir, merging, func(o *Options) { o.DelayCompactFile = file })
	fill(t, db, 0, 50*minute, 1)
	maintain(t, db)
	const unmerged = "0-10/1 10-20/1 20-30/1 30-40/1"
	if got := ranges(db); got != unmerged {
		t.Fatalf("without a file: blocks %s", got)
	}
	uploaded := func(n int) {
		var names []string
		for _, b := range db.currentBlocks()[:n] {
			names = append(names, fmt.Sprintf("%q", filepath.Base(b.Dir())))
		}
		text := fmt.Sprintf(`{"version": 1, "uploaded": [%s]}`, strings.Join(names, ", "))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		maintain(t, db)
	}
	if uploaded(2); ranges(db) != unmerged {
		t.Fatalf("two are uploaded: blocks %s", ranges(db))
	}
	if uploaded(3); ranges(db) != "0-30/2 30-40/1" {
		t.Fatalf("three are uploaded: blocks %s", ranges(db))
	}
	// Blocks of a higher level do not wait.
	fill(t, db, 50*minute, 160*minute, 1)
	maintain(t, db)
	uploaded(len(db.currentBlocks()) - 1)
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	maintain(t, db)
	if got := ranges(db); !strings.HasPrefix(got, "0-90/3 ") {
		t.Errorf("blocks %s", got)
	}
}

func TestLargestRange(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct{ given, retention, want time.Duration }{
		{0, 15 * day, 36 * time.Hour},
		{0, 0, 31 * day},
		{0, 400 * day, 31 * day},
		{0, time.Hour, 10 * time.Minute}, // Not below a block from the head.
		{day, 15 * day, day},
	} {
		db := &DB{opts: Options{MinBlockDuration: 10 * time.Minute, MaxBlockDuration: c.given}}
		db.SetRetention(Retention{Time: c.retention})
		if got := db.maxBlockDuration(); got != c.want {
			t.Errorf("%v given, %v kept: got %v, want %v", c.given, c.retention, got, c.want)
		}
	}
}

func TestChunkSegmentsAreBounded(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, merging, func(o *Options) { o.ChunkSegmentBytes = 2000 })
	fill(t, db, 0, 50*minute, 20)
	want := all(t, db)
	maintain(t, db)
	files, err := filepath.Glob(filepath.Join(dir, "*", "chunks", "*"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 2000 {
			t.Errorf("%s has %d bytes, %v", f, info.Size(), err)
		}
	}
	if all(t, db) != want {
		t.Error("the answer is another one")
	}
}

// everything is what a storage answers, histograms included, with values as their bits.
func everything(t *testing.T, db storage.Queryable) string {
	t.Helper()
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	var out strings.Builder
	set := q.Select(t.Context(), true, nil)
	for set.Next() {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		if c.Len() == 0 {
			continue
		}
		fmt.Fprint(&out, set.At().Labels())
		for i, at := range c.T {
			if len(c.H) > 0 && c.H[i] != nil {
				fmt.Fprintf(&out, " %d:%+v", at, *c.H[i])
			} else {
				fmt.Fprintf(&out, " %d:%x", at, math.Float64bits(c.F[i]))
			}
		}
		out.WriteByte('\n')
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return out.String()
}

// TestUpstreamsBlocksMerged merges the blocks of a directory of Prometheus's, by plan and then all that there are.
func TestUpstreamsBlocksMerged(t *testing.T) {
	dir := upstreamCopy(t)
	var log logText
	db := openUpstream(t, dir, &log)
	var before int64
	for _, b := range db.currentBlocks() {
		before += b.Size()
	}
	db.opts.MaxBlockDuration = 9 * time.Minute
	fill(t, db, db.HeadStats().MaxTime+1000, db.HeadStats().MaxTime+2000, 1)
	want := everything(t, db)
	maintain(t, db)
	t.Logf("planned: %s", ranges(db))
	if everything(t, db) != want {
		t.Fatal("after planned merges the answer is another one")
	}
	group := slices.DeleteFunc(slices.Clone(db.currentBlocks()), func(b *block.Block) bool { return len(b.Meta().Compaction.Hints) > 0 })
	if err := db.compact(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	if everything(t, db) != want {
		t.Fatal("merged into one, the answer is another one")
	}
	var after int64
	for _, b := range db.currentBlocks() {
		after += b.Size()
	}
	t.Logf("%d blocks, %d bytes before, %d after, %d bytes of text compared", len(group), before, after, len(want))
	if after >= before {
		t.Errorf("%d bytes became %d", before, after)
	}
}

func TestPromtoolReadsMergedBlocks(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, merging, forPrometheus2)
	fill(t, db, 0, 60*minute, 9)
	maintain(t, db)
	addOverlap(t, dir, 12*minute, 25*minute)
	if err := db.Delete(t.Context(), 3*minute, 33*minute, labels.MustNewMatcher(labels.MatchEqual, "i", "4")); err != nil {
		t.Fatal(err)
	}
	maintain(t, db)
	want := dumpLines(t, db)
	if got := ranges(db); got != "0-30/3 30-40/1 40-50/1" {
		t.Fatalf("blocks %s", got)
	}
	merged := filepath.Base(db.currentBlocks()[0].Dir())
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if list := promtool(t, "tsdb", "list", dir); !strings.Contains(list, "30m0s") {
		t.Errorf("promtool lists\n%s", list)
	}
	if out := promtool(t, "tsdb", "analyze", dir, merged); !strings.Contains(out, "Series: 9") {
		t.Errorf("promtool's analysis is\n%s", out)
	}
	if got := promtoolLines(t, dir); !slices.Equal(got, want) {
		t.Fatalf("promtool dumps %d samples, narthex %d", len(got), len(want))
	}
}
