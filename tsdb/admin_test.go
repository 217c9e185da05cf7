package tsdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

func withI(value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchRegexp, "i", value)
}

// without drops the samples in [mint, maxt] of one series from a dump.
func without(dump string, i int, mint, maxt int64) string {
	var out strings.Builder
	for line := range strings.Lines(dump) {
		name, samples, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "} ")
		var kept []string
		for s := range strings.SplitSeq(samples, " ") {
			var at int64
			if _, err := fmt.Sscanf(s, "%d:", &at); err == nil && (name+"}" != series(i).String() || at < mint || at > maxt) {
				kept = append(kept, s)
			}
		}
		if len(kept) > 0 {
			fmt.Fprintf(&out, "%s} %s\n", name, strings.Join(kept, " "))
		}
	}
	return out.String()
}

// samplesOf is a dump without series that have no sample.
func samplesOf(t *testing.T, db storage.Queryable) string {
	t.Helper()
	return without(all(t, db), -1, 0, 0)
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 50*minute, 4)
	maintain(t, db)
	want := all(t, db)
	open, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	// From a block into the head, in blocks alone, in the head alone, and nowhere.
	for _, d := range []struct {
		i          int
		mint, maxt int64
	}{{1, 35 * minute, 44 * minute}, {2, 5 * minute, 15*minute - 1}, {3, 48 * minute, math.MaxInt64}, {0, 60 * minute, 70 * minute}} {
		if err := db.Delete(t.Context(), d.mint, d.maxt, withI(fmt.Sprint(d.i))); err != nil {
			t.Fatal(err)
		}
		want = without(want, d.i, d.mint, d.maxt)
		if got := samplesOf(t, db); got != want {
			t.Fatalf("%+v: got\n%s\nwant\n%s", d, got, want)
		}
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(t.Context(), 0, math.MaxInt64); err == nil {
		t.Error("everything can be deleted by mistake")
	}
	reopen := func() {
		t.Helper()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, dir)
		if got := samplesOf(t, db); got != want {
			t.Fatalf("after reopening: got\n%s\nwant\n%s", got, want)
		}
	}
	reopen()
	// What comes later stays, through a cut too.
	fill(t, db, 50*minute, 66*minute, 4)
	want = samplesOf(t, db)
	if strings.Count(want, fmt.Sprint(int64(55*minute), ":")) != 4 {
		t.Fatal("new samples are missing")
	}
	reopen()
	maintain(t, db)
	if got := samplesOf(t, db); got != want {
		t.Fatalf("after a cut: got\n%s\nwant\n%s", got, want)
	}
	reopen()
}

func TestDeletionsGoWithTheMerge(t *testing.T) {
	db := openDB(t, t.TempDir())
	fill(t, db, 0, 50*minute, 4)
	maintain(t, db)
	if err := db.Delete(t.Context(), 5*minute, 25*minute, withI("1|2")); err != nil {
		t.Fatal(err)
	}
	want := all(t, db)
	merging(&db.opts)
	maintain(t, db)
	if got := ranges(db); got != "0-30/2 30-40/1" || all(t, db) != want {
		t.Errorf("blocks %s, or another answer", got)
	}
	if m := db.currentBlocks()[0].Meta(); m.Stats.NumTombstones != 0 || m.Stats.NumSamples != 4*180-2*121 {
		t.Errorf("%+v", m.Stats)
	}
}

func TestCleanTombstones(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 50*minute, 4)
	maintain(t, db)
	if err := db.Delete(t.Context(), 0, 12*minute, withI(".*")); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(t.Context(), 33*minute, 34*minute, withI("2")); err != nil {
		t.Fatal(err)
	}
	want := all(t, db)
	untouched := db.currentBlocks()[2]
	if err := db.CleanTombstones(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ranges(db); got != "10-20/2 20-30/1 30-40/2" || all(t, db) != want {
		t.Errorf("blocks %s, or another answer", got)
	}
	if !slices.Contains(db.currentBlocks(), untouched) {
		t.Error("a block without tombstones was written anew")
	}
	if len(folders(t, dir)) != 3 {
		t.Errorf("left behind: %v", folders(t, dir))
	}
	if n := testutil.CollectAndCount(db.metrics.tombstoneCleanup); n != 1 {
		t.Errorf("%d", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.CleanTombstones(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWaitingForATurn: a deletion waits for what is running, but no longer than its context.
func TestWaitingForATurn(t *testing.T) {
	db := openDB(t, t.TempDir())
	give, err := db.maintenance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := db.Delete(ctx, 0, 1, withI("1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	give()
	if err := db.Delete(t.Context(), 0, 1, withI("1")); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{db.Delete(t.Context(), 0, 1, withI("1")), db.CleanTombstones(t.Context()), db.Snapshot(t.Context(), t.TempDir(), true)} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 50*minute, 4)
	maintain(t, db)
	if err := db.Delete(t.Context(), 15*minute, 45*minute, withI("1")); err != nil {
		t.Fatal(err)
	}
	want, wantBlocks := samplesOf(t, db), dump(t, db, math.MinInt64, 40*minute-1)
	whole, blocksOnly := filepath.Join(dir, "snapshots", "a"), filepath.Join(dir, "snapshots", "b")
	if err := errors.Join(db.Snapshot(t.Context(), whole, true), db.Snapshot(t.Context(), blocksOnly, false)); err != nil {
		t.Fatal(err)
	}
	// The files are shared, but what happens later does not show.
	fill(t, db, 50*minute, 51*minute, 4)
	if err := db.Delete(t.Context(), 0, 45*minute, withI("2")); err != nil {
		t.Fatal(err)
	}
	if got := samplesOf(t, openDB(t, whole)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := all(t, openDB(t, blocksOnly)); got != wantBlocks {
		t.Errorf("without head: got\n%s\nwant\n%s", got, wantBlocks)
	}
	name := filepath.Base(db.currentBlocks()[0].Dir())
	a, errA := os.Stat(filepath.Join(dir, name, "index"))
	b, errB := os.Stat(filepath.Join(whole, name, "index"))
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Error("the index was copied")
	}
}

func TestSnapshotThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 30*minute, 2)
	maintain(t, db)
	if err := db.Snapshot(t.Context(), dir, true); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Error(err)
	}
	if err := db.Snapshot(t.Context(), filepath.Join(dir, "01M7Y0THABSC9MPTD9AEBHJG7C"), true); err == nil {
		t.Error("a snapshot is named like a block")
	}
	// A block's folder is gone.
	if err := os.RemoveAll(db.currentBlocks()[1].Dir()); err != nil {
		t.Fatal(err)
	}
	made, found := filepath.Join(dir, "made"), filepath.Join(dir, "found")
	if err := os.Mkdir(found, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{made, found} {
		if err := db.Snapshot(t.Context(), target, true); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	if _, err := os.Stat(made); !errors.Is(err, os.ErrNotExist) {
		t.Error("the folder of the snapshot is left")
	}
	if entries, err := os.ReadDir(found); err != nil || len(entries) > 0 {
		t.Error(entries, err)
	}
}

// TestRandomOperations runs random operations against a storage and a map.
func TestRandomOperations(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 7))
		dir, now := t.TempDir(), int64(0)
		open := func() *DB { return openDB(t, dir, merging) }
		db := open()
		m := map[int]map[int64]float64{0: {}, 1: {}, 2: {}, 3: {}}
		for op := range 40 {
			what := ""
			switch r.IntN(10) {
			case 0, 1, 2, 3:
				what = "append"
				now = appendRandom(t, r, db, m, now)
			case 4, 5:
				what = "maintain"
				maintain(t, db)
			case 6, 7:
				what = "delete"
				deleteRandom(t, r, db, m, now)
			case 8:
				what = "clean"
				if err := db.CleanTombstones(t.Context()); err != nil {
					t.Fatal(err)
				}
			case 9:
				what = "reopen"
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = open()
			}
			if got, want := samplesOf(t, db), formatModel(m); got != want {
				t.Fatalf("seed %d, operation %d, %s, blocks %s: got\n%s\nwant\n%s", seed, op, what, ranges(db), got, want)
			}
		}
		t.Logf("seed %d: %d minutes in blocks %s", seed, now/minute, ranges(db))
	}
}

func appendRandom(t *testing.T, r *rand.Rand, db *DB, m map[int]map[int64]float64, now int64) int64 {
	t.Helper()
	for range 1 + r.IntN(30) {
		now += 10_000 + r.Int64N(2*minute)
		app := db.Appender()
		for i := range m {
			if r.IntN(4) == 0 {
				continue
			}
			v := float64(r.IntN(1000))
			out := make([]storage.Outcome, 1)
			if err := app.Append(t.Context(), []storage.Entry{{Labels: series(i), T: now, V: v}}, out); err != nil || out[0].Err != nil {
				t.Fatal(err, out[0].Err)
			}
			m[i][now] = v
		}
		if err := app.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return now
}

func deleteRandom(t *testing.T, r *rand.Rand, db *DB, m map[int]map[int64]float64, now int64) {
	t.Helper()
	i := r.IntN(4)
	mint := r.Int64N(now + 1)
	maxt := mint + r.Int64N(now/4+1)
	if err := db.Delete(t.Context(), mint, maxt, withI(fmt.Sprint(i))); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(m[i], func(at int64, _ float64) bool { return mint <= at && at <= maxt })
}

func formatModel(m map[int]map[int64]float64) string {
	var out strings.Builder
	for _, i := range slices.Sorted(maps.Keys(m)) {
		if len(m[i]) == 0 {
			continue
		}
		fmt.Fprint(&out, series(i))
		for _, at := range slices.Sorted(maps.Keys(m[i])) {
			fmt.Fprintf(&out, " %d:%v", at, m[i][at])
		}
		out.WriteByte('\n')
	}
	return out.String()
}
