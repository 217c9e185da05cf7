package tsdb

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
)

// put appends one sample and returns what became of it.
func put(t *testing.T, db *DB, e storage.Entry) error {
	t.Helper()
	app := db.Appender()
	out := make([]storage.Outcome, 1)
	if err := app.Append(t.Context(), []storage.Entry{e}, out); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out[0].Err
}

// end appends a stale marker to series.
func end(t *testing.T, db *DB, at int64, ids ...int) {
	t.Helper()
	for _, i := range ids {
		if err := put(t, db, storage.Entry{Labels: series(i), T: at, V: sample.StaleNaN()}); err != nil {
			t.Fatal(err)
		}
	}
}

func staleHints(db *DB) (n int) {
	for _, m := range db.Blocks() {
		if slices.Contains(m.Compaction.Hints, block.HintStaleSeries) {
			n++
		}
	}
	return n
}

func checkSeries(t *testing.T, db *DB, want int) {
	t.Helper()
	if n := db.HeadStats().Series; n != want {
		t.Errorf("%d series in memory, not %d", n, want)
	}
}

func TestSeriesThatEndedLeaveMemory(t *testing.T) {
	dir := t.TempDir()
	open := func() *DB { return openDB(t, dir, merging, func(o *Options) { o.StaleSeriesThreshold = 0.5 }) }
	db := open()
	fill(t, db, 5*minute, 12*minute, 10)
	end(t, db, 12*minute, 1, 2, 3)
	maintain(t, db) // Three of ten are too few.
	checkSeries(t, db, 10)
	end(t, db, 12*minute, 4, 5)
	want := all(t, db)
	maintain(t, db)
	checkSeries(t, db, 5)
	if got := all(t, db); got != want || staleHints(db) != 2 {
		t.Fatalf("%d blocks, got\n%s\nwant\n%s", staleHints(db), got, want)
	}
	if n := testutil.ToFloat64(db.metrics.staleTriggered); n != 1 {
		t.Errorf("triggered %v times", n)
	}
	reopen := func() {
		t.Helper()
		want := all(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open()
		if got := all(t, db); got != want {
			t.Fatalf("after a restart: got\n%s\nwant\n%s", got, want)
		}
	}
	reopen()
	checkSeries(t, db, 5)

	// What is deleted in the blocks does not come back from the log.
	if err := db.Delete(t.Context(), 6*minute, 7*minute, withI("1")); err != nil {
		t.Fatal(err)
	}
	if all(t, db) == want {
		t.Error("nothing was deleted")
	}
	reopen()

	// A series comes back, also with a sample that is older than those that left.
	for _, at := range []int64{11*minute + 1, 13 * minute} {
		if err := put(t, db, storage.Entry{Labels: series(1), T: at, V: 77}); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, db); strings.Count(got, ":77") != 2 {
		t.Errorf("the series did not come back: %s", got)
	}
	reopen()
	fill(t, db, 14*minute, 60*minute, 3)
	maintain(t, db)
	reopen()
	if got := all(t, db); staleHints(db) != 0 || strings.Count(got, ":77") != 2 {
		t.Errorf("%d blocks with hints, %s", staleHints(db), got)
	}
	if got := dump(t, db, 0, 12*minute); strings.Count(got, ":") < 9*7*6 {
		t.Errorf("samples are missing: %s", got)
	}
}

// TestSeriesThatGoOnStay: a series that gets a sample while its end is being written to a block stays in memory.
func TestSeriesThatGoOnStay(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, merging)
	fill(t, db, 0, 9*minute, 4)
	native := func(at int64, h *histogram.Histogram) {
		t.Helper()
		if err := put(t, db, storage.Entry{Labels: labels.FromStrings("__name__", "h"), T: at, Histogram: h}); err != nil {
			t.Fatal(err)
		}
	}
	native(9*minute-1, &histogram.Histogram{Count: 3, Sum: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{3}})
	if db.head.StaleSeries() != 0 {
		t.Error("a histogram counts as stale")
	}
	native(9*minute, &histogram.Histogram{Sum: sample.StaleNaN()})
	end(t, db, 9*minute, 0, 1, 2)
	if n := db.head.StaleSeries(); n != 4 {
		t.Errorf("%d series are stale", n)
	}
	cut, ok, err := db.head.BeginStaleCut()
	if err != nil || !ok || cut.Count() != 4 {
		t.Fatal(ok, err)
	}
	app := db.Appender() // Is under way.
	if err := app.Append(t.Context(), []storage.Entry{{Labels: series(0), T: 10 * minute}}, make([]storage.Outcome, 1)); err != nil {
		t.Fatal(err)
	}
	if err := put(t, db, storage.Entry{Labels: series(1), T: 10 * minute}); err != nil {
		t.Fatal(err)
	}
	want := all(t, db)
	blocks, err := db.writePart(t.Context(), dir, block.HintStaleSeries, cut, cut.MinTime, cut.MaxTime)
	if err != nil {
		t.Fatal(err)
	}
	db.addBlocks(blocks)
	if got := all(t, db); got != want {
		t.Errorf("while both have them: got\n%s\nwant\n%s", got, want)
	}
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := cut.Done(ctx); err == nil {
		t.Errorf("%d series were forgotten under a query", n)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := cut.Done(t.Context()); err != nil || n != 2 {
		t.Errorf("%d series were forgotten (%v)", n, err)
	}
	checkSeries(t, db, 3)
	if got := all(t, db); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = all(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir, merging)
	if got := all(t, db); got != want {
		t.Errorf("after a restart: got\n%s\nwant\n%s", got, want)
	}
}
