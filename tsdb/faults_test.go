package tsdb

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/vfs/vfstest"
)

// errIO is what a broken disk answers.
var errIO = syscall.EIO

// act is something that a storage does to its files, and that can fail.
type act struct {
	name string
	// prepare fills the storage; do is what is tried; retry, if not nil, is what is tried again.
	prepare func(t *testing.T, db *DB)
	do      func(t *testing.T, db *DB) error
	// deletes tells that the act takes samples away, of series 1 from 2 to 30 minutes.
	deletes bool
}

func maintainIt(t *testing.T, db *DB) error {
	t.Helper()
	// A merge that failed must not wait for its next try here.
	clear(db.retries)
	return db.maintain(t.Context())
}

func acts() []act {
	head := func(t *testing.T, db *DB) {
		t.Helper()
		fill(t, db, 0, 16*minute, 3)
		fillLate(t, db, 15*minute)
	}
	blocks := func(t *testing.T, db *DB) {
		t.Helper()
		db.opts.KeepOverlaps = true
		db.opts.MaxBlockDuration = db.opts.MinBlockDuration
		fill(t, db, 0, 46*minute, 3)
		maintain(t, db)
		if len(db.currentBlocks()) != 4 {
			t.Fatalf("%d blocks", len(db.currentBlocks()))
		}
		db.opts.KeepOverlaps, db.opts.MaxBlockDuration = false, 0
	}
	deleted := func(t *testing.T, db *DB) {
		t.Helper()
		blocks(t, db)
		if err := db.Delete(t.Context(), 3*minute, 12*minute, withI("2")); err != nil {
			t.Fatal(err)
		}
	}
	tries := 0
	return []act{
		{name: "cut", prepare: head, do: maintainIt},
		{name: "cut and shorten the log", prepare: shortened(0), do: maintainIt},
		{name: "cut and shorten the log by reading it", prepare: shortened(0.3), do: maintainIt},
		{name: "compact", prepare: blocks, do: maintainIt},
		{name: "map head chunks", prepare: func(t *testing.T, db *DB) {
			t.Helper()
			fill(t, db, 0, 14*minute, 3)
		}, do: func(t *testing.T, db *DB) error { t.Helper(); return db.head.MapChunks(t.Context()) }},
		{name: "move stale series", prepare: func(t *testing.T, db *DB) {
			t.Helper()
			fill(t, db, 0, 12*minute, 3)
			end(t, db, 12*minute, 1, 2)
			db.SetStaleSeriesThreshold(0.5)
		}, do: maintainIt},
		{name: "delete", prepare: blocks, deletes: true, do: func(t *testing.T, db *DB) error {
			t.Helper()
			return db.Delete(t.Context(), 2*minute, 30*minute, withI("1"))
		}},
		{name: "delete from head", prepare: head, deletes: true, do: func(t *testing.T, db *DB) error {
			t.Helper()
			return db.Delete(t.Context(), 2*minute, 30*minute, withI("1"))
		}},
		{name: "clean", prepare: deleted, do: func(t *testing.T, db *DB) error { t.Helper(); return db.CleanTombstones(t.Context()) }},
		{name: "snapshot", prepare: deleted, do: func(t *testing.T, db *DB) error {
			t.Helper()
			tries++
			dir := filepath.Join(db.opts.Dir, "snapshots", fmt.Sprint(tries))
			err := db.Snapshot(t.Context(), dir, true)
			if err == nil {
				checkSnapshot(t, db, dir)
			}
			return err
		}},
	}
}

// shortened prepares a cut behind which the log is shortened; with a threshold, the log has series that were moved to
// blocks, and is read for that.
func shortened(threshold float64) func(t *testing.T, db *DB) {
	return func(t *testing.T, db *DB) {
		t.Helper()
		db.opts.MaxBlockDuration = db.opts.MinBlockDuration
		fill(t, db, 0, 16*minute, 3)
		maintain(t, db)
		if err := db.Delete(t.Context(), 12*minute, 13*minute, withI("2")); err != nil {
			t.Fatal(err)
		}
		fill(t, db, 16*minute, 24*minute, 3)
		if threshold > 0 {
			end(t, db, 24*minute, 1)
			db.SetStaleSeriesThreshold(threshold)
			maintain(t, db)
			db.SetStaleSeriesThreshold(0)
		}
		fill(t, db, 24*minute+10_000, 28*minute, 3)
		fillLate(t, db, 28*minute)
	}
}

// fillLate appends samples out of order.
func fillLate(t *testing.T, db *DB, now int64) {
	t.Helper()
	for at := now - 4*minute; at < now; at += 30_000 {
		app := db.Appender()
		out := make([]storage.Outcome, 1)
		err := app.Append(t.Context(), []storage.Entry{{Labels: series(1), T: at + 5000, V: float64(at)}}, out)
		if err := errors.Join(err, out[0].Err, app.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

func checkSnapshot(t *testing.T, db *DB, dir string) {
	t.Helper()
	want := samplesOf(t, db)
	copied := openDB(t, dir)
	if got := samplesOf(t, copied); got != want {
		t.Errorf("the snapshot has\n%s\nnot\n%s", got, want)
	}
	if err := errors.Join(copied.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
}

// thorough reports whether tests that sample what can happen are to try all of it, however long that takes.
func thorough() bool { return os.Getenv("NARTHEX_TSDB_THOROUGH") != "" }

// TestFailingFiles makes each operation on files fail, one after the other, in each of what a storage does to its files:
// once for a moment, after which the storage goes on and does it, and once for good, after which it is opened anew. Nothing
// is lost, nothing stays deleted half, and what fails is told.
func TestFailingFiles(t *testing.T) {
	for _, a := range acts() {
		t.Run(a.name, func(t *testing.T) {
			n := countOperations(t, a)
			t.Logf("%d operations", n)
			step := 4
			switch {
			case thorough():
				step = 1
			case testing.Short():
				step = 13
			}
			for i := 0; i < n; i += step {
				switch i % 3 {
				case 0:
					failOnce(t, a, fmt.Sprintf("operation %d fails once", i), vfstest.At(i, errIO), false)
				case 1:
					failOnce(t, a, fmt.Sprintf("operation %d finds the disk full", i), vfstest.At(i, syscall.ENOSPC), false)
				case 2:
					failOnce(t, a, fmt.Sprintf("operation %d happens and fails", i), vfstest.At(i, vfstest.ErrAfter), false)
				}
				failOnce(t, a, fmt.Sprintf("all fail from operation %d on", i), vfstest.From(i, errIO), true)
			}
		})
	}
}

func openFaulty(t *testing.T, dir string, fs *vfstest.Faulty, log *logText) *DB {
	t.Helper()
	return openDB(t, dir, merging, func(o *Options) {
		o.FS, o.OutOfOrderWindow = fs, o.MinBlockDuration
		if log != nil {
			o.Logger = slog.New(slog.NewTextHandler(log, nil))
		}
	})
}

func countOperations(t *testing.T, a act) int {
	t.Helper()
	fs := vfstest.New()
	db := openFaulty(t, t.TempDir(), fs, nil)
	a.prepare(t, db)
	fs.Fail(nil)
	if err := a.do(t, db); err != nil {
		t.Fatal(err)
	}
	n := fs.Fail(nil)
	if n == 0 {
		t.Fatal("no operation went through the file system")
	}
	return n
}

func failOnce(t *testing.T, a act, what string, rule vfstest.Rule, forGood bool) {
	t.Helper()
	dir, fs, log := t.TempDir(), vfstest.New(), &logText{}
	db := openFaulty(t, dir, fs, log)
	a.prepare(t, db)
	before := samplesOf(t, db)
	after := before
	if a.deletes {
		after = without(before, 1, 2*minute, 30*minute)
	}
	check := func(when string, db *DB, wants ...string) {
		t.Helper()
		got := samplesOf(t, db)
		if slices.Contains(wants, got) {
			return
		}
		if a.deletes && len(wants) > 1 && partlyDeleted(got, before, after) {
			return
		}
		t.Fatalf("%s, %s: got\n%s\nwant\n%s\nfiles: %s\nlog: %s", what, when, got, strings.Join(wants, "or\n"), strings.Join(fs.Operations(), "\n"), log)
	}
	fs.Fail(rule)
	err := a.do(t, db)
	if err == nil {
		check("which nobody noticed", db, after)
	} else {
		if !errors.Is(err, errIO) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, vfstest.ErrAfter) {
			t.Errorf("%s: the error is %v", what, err)
		}
		check("right after", db, before, after)
	}
	if forGood {
		// The process dies here; the next one finds a disk that works.
		_ = db.Close()
		fs.Fail(nil)
		db = openFaulty(t, dir, fs, log)
		check("after the restart", db, before, after)
	}
	fs.Fail(nil)
	fill(t, db, 46*minute, 47*minute, 1) // It still takes samples.
	if err := db.Delete(t.Context(), 46*minute, math.MaxInt64, withI("0")); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := a.do(t, db); err != nil {
		t.Fatalf("%s, trying again: %v", what, err)
	}
	check("done in the end", db, after)
	// That a full segment of the log was not flushed is told in the end: it matters if the machine fails.
	if err := db.Close(); err != nil && !strings.Contains(err.Error(), "close log w") {
		t.Fatalf("%s, closing: %v", what, err)
	}
	db = openFaulty(t, dir, fs, log)
	check("after a restart in the end", db, after)
	maintain(t, db)
	check("after maintenance in the end", db, after)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range folders(t, dir) {
		if strings.Contains(name, ".tmp") {
			t.Errorf("%s: %s is left", what, name)
		}
	}
}

// partlyDeleted reports whether each sample that is missing ought to be, and nothing is there that was not.
func partlyDeleted(got, before, after string) bool {
	left := map[string]bool{}
	samples := func(dump string, f func(sample string)) {
		for line := range strings.Lines(dump) {
			name, all, _ := strings.Cut(strings.TrimSpace(line), "} ")
			for s := range strings.FieldsSeq(all) {
				f(name + s)
			}
		}
	}
	samples(got, func(s string) { left[s] = true })
	ok := true
	samples(after, func(s string) { ok = ok && left[s] })
	samples(before, func(s string) { delete(left, s) })
	return ok && len(left) == 0
}
