package tsdb

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
)

// lateEntry is a sample of the series of fill.
func lateEntry(i int, t int64) storage.Entry {
	return storage.Entry{Labels: labels.FromStrings("__name__", "late", "i", string(rune('a'+i))), T: t, V: float64(t) / 8}
}

// appendLate appends entries one batch each, all of which must be taken.
func appendLate(t *testing.T, db *DB, entries ...storage.Entry) {
	t.Helper()
	for _, e := range entries {
		app := db.Appender()
		out := make([]storage.Outcome, 1)
		if err := app.Append(t.Context(), []storage.Entry{e}, out); err != nil || out[0].Err != nil {
			t.Fatal(err, out[0].Err)
		}
		if err := app.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOutOfOrderSamplesBecomeBlocks follows samples from their log through blocks of their own to merged ones, with
// restarts in between.
func TestOutOfOrderSamplesBecomeBlocks(t *testing.T) {
	dir := t.TempDir()
	open := func() *DB {
		return openDB(t, dir, func(o *Options) { o.OutOfOrderWindow = time.Hour })
	}
	db := open()
	fill(t, db, 0, 12*minute, 3)
	for i := range int64(50) {
		appendLate(t, db, lateEntry(0, 12*minute+i*1000), lateEntry(0, 2*minute+i*3000), lateEntry(1, 9*minute-i*5000))
	}
	want := all(t, db)
	check := func(what string) {
		t.Helper()
		if got := all(t, db); got != want {
			t.Fatalf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	check("after a restart")
	fill(t, db, 13*minute, 30*minute, 3)
	want = all(t, db)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("cut")
	if db.HeadStats().Late {
		t.Error("the head still has samples out of order")
	}
	late := 0
	for _, b := range db.currentBlocks() {
		if slices.Contains(b.Meta().Compaction.Hints, block.HintOutOfOrder) {
			late++
		}
	}
	if late > 0 && !db.opts.KeepOverlaps && overlap(db.currentBlocks()) {
		t.Error("blocks still overlap")
	}
	appendLate(t, db, lateEntry(0, 3*minute+1), lateEntry(1, 25*minute+1))
	want = all(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	check("after another restart")
	app := db.Appender()
	out := make([]storage.Outcome, 1)
	if err := app.Append(t.Context(), []storage.Entry{lateEntry(0, -40*minute)}, out); err != nil || !errors.Is(out[0].Err, storage.ErrTooOld) {
		t.Errorf("got %v, %v, want too old", err, out[0].Err)
	}
	if err := app.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := db.SetOutOfOrderWindow(0); err != nil {
		t.Fatal(err)
	}
	if mint, ok := db.MinTime(); !ok || mint != 0 {
		t.Errorf("oldest sample at %d", mint)
	}
}

// TestPromtoolReadsOurOutOfOrderLog: samples that are in the log alone.
func TestPromtoolReadsOurOutOfOrderLog(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, forPrometheus2, func(o *Options) { o.OutOfOrderWindow = time.Hour })
	appendLate(t, db, lateEntry(0, 9*minute))
	for i := range int64(40) {
		appendLate(t, db, lateEntry(0, 8*minute-i*1000))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	segs, err := os.ReadDir(filepath.Join(dir, "wbl"))
	if err != nil || len(segs) != 1 {
		t.Fatalf("the log has %d segments, %v", len(segs), err)
	}
	got := strings.Count(promtool(t, "tsdb", "dump", dir), `__name__="late"`)
	if got != 41 {
		t.Errorf("promtool dumps %d samples", got)
	}
}

// TestSnapshotHoldsOutOfOrderSamples in blocks of their own.
// TestLateSampleOfADeletedTimeIsRefused: a deletion in memory would hide it, which must not be acknowledged.
func TestLateSampleOfADeletedTimeIsRefused(t *testing.T) {
	db := openDB(t, t.TempDir(), func(o *Options) { o.OutOfOrderWindow = time.Hour })
	fill(t, db, 0, 9*minute, 2)
	if err := db.Delete(t.Context(), 2*minute, 4*minute, withI("1")); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]error{2*minute + 1: storage.ErrOutOfOrder, 2*minute - 1: nil, 4*minute + 1: nil} {
		if err := put(t, db, storage.Entry{Labels: series(1), T: at, V: 7}); !errors.Is(err, want) {
			t.Errorf("at %d: %v", at, err)
		}
	}
	if err := put(t, db, storage.Entry{Labels: series(0), T: 2*minute + 1, V: 7}); err != nil {
		t.Error(err) // Of another series.
	}
	if got := all(t, db); strings.Count(got, ":7 ") != 3 {
		t.Errorf("got %s", got)
	}
}

func TestSnapshotHoldsOutOfOrderSamples(t *testing.T) {
	db := openDB(t, t.TempDir(), func(o *Options) { o.OutOfOrderWindow = time.Hour })
	appendLate(t, db, lateEntry(0, 9*minute), lateEntry(0, 8*minute), lateEntry(1, 25*minute), lateEntry(1, 2*minute))
	dir := filepath.Join(t.TempDir(), "copy")
	if err := db.Snapshot(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	other := openDB(t, dir)
	if got, want := all(t, other), all(t, db); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestLateLogHasASegment: promtool can't read a directory whose out-of-order log is an empty folder.
func TestLateLogHasASegment(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, func(o *Options) { o.OutOfOrderWindow = time.Hour })
	if got, err := filepath.Glob(filepath.Join(dir, "wbl", "*")); err != nil || len(got) != 1 || filepath.Base(got[0]) != "00000000" {
		t.Error(got, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openDB(t, dir, func(o *Options) { o.OutOfOrderWindow = time.Hour })
	if got, err := filepath.Glob(filepath.Join(dir, "wbl", "*")); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
}
