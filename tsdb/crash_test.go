package tsdb

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// crashDir is the environment variable that makes the test binary a child that appends until it is killed.
const crashDir = "NARTHEX_TSDB_CRASH_DIR"

const crashWidth = 40

// roundsFlag lets a person run more: go test ./tsdb -run TestKill -rounds 30 -v.
var roundsFlag = flag.Int("rounds", 6, "number of kills")

const (
	// deleteEvery is the number of batches after which the child deletes a part of a series.
	deleteEvery = 20
	deletedFrom = 15_000
	deletedTo   = 5_000
)

func crashOptions(dir string) Options {
	return Options{Dir: dir, MinBlockDuration: time.Minute, WALSegmentSize: 64 << 10, OutOfOrderWindow: 10 * time.Minute, MaxExemplars: 1 << 20}
}

// crashExtras are what else a batch holds: a histogram, a sample that comes out of order in every other batch, and an
// exemplar.
func crashExtras(ts int64) []storage.Entry {
	n := ts / 1000
	hist := &histogram.Histogram{Count: uint64(n), Sum: float64(ts), PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{n}}
	late := ts
	if n%2 == 1 {
		late -= 1500
	}
	return []storage.Entry{
		{Labels: labels.FromStrings("__name__", "hist"), T: ts, Histogram: hist, Exemplars: []sample.Exemplar{{T: ts, Value: float64(ts), HasT: true}}},
		{Labels: labels.FromStrings("__name__", "late"), T: late, V: float64(late)},
		{Labels: labels.FromStrings("__name__", "gone"), T: ts, V: float64(ts)},
	}
}

// crashRun are samples of one series behind each other, as those who catch up send them, up to a time.
func crashRun(ts int64, ref storage.SeriesRef) (run []storage.Entry) {
	ls := labels.FromStrings("__name__", "run")
	for at := ts - 960; at <= ts; at += 20 {
		run = append(run, storage.Entry{Ref: ref, Labels: ls, T: at, V: math.Sin(float64(at))})
	}
	return run
}

// crashChild appends batch after batch and prints the time of each that was acknowledged. Beside it, chunks are moved
// to files and blocks are cut.
func crashChild(dir string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	db, err := Open(context.Background(), crashOptions(dir))
	if err != nil {
		fail(err)
	}
	ts := int64(0)
	if s := db.HeadStats(); s.Samples {
		ts = s.MaxTime
	}
	go func() {
		for {
			if err := errors.Join(db.head.MapChunks(context.Background()), db.maintain(context.Background())); err != nil {
				fail(err)
			}
		}
	}()
	run := storage.SeriesRef(0)
	for {
		ts += 1000
		entries, outcomes := make([]storage.Entry, crashWidth), make([]storage.Outcome, crashWidth)
		for i := range entries {
			// Half of the series end after a minute, so that series come and go.
			name := fmt.Sprint(i)
			if i%2 == 0 {
				name = fmt.Sprint(i, "-", ts/60_000)
			}
			entries[i] = storage.Entry{Labels: labels.FromStrings("__name__", "m", "i", name), T: ts, V: float64(ts) + float64(i)}
		}
		entries = append(append(entries, crashExtras(ts)...), crashRun(ts, run)...)
		outcomes = append(outcomes, make([]storage.Outcome, len(entries)-len(outcomes))...)
		app := db.Appender()
		if err := app.Append(context.Background(), entries, outcomes); err != nil {
			fail(err)
		}
		for i := range outcomes {
			if err := errors.Join(outcomes[i].Err, outcomes[i].ExemplarErr); err != nil {
				fail(err)
			}
		}
		if err := app.Commit(context.Background()); err != nil {
			fail(err)
		}
		run = outcomes[len(outcomes)-1].Ref
		fmt.Println(ts)
		if ts/1000%deleteEvery == 0 {
			gone := labels.MustNewMatcher(labels.MatchEqual, "__name__", "gone")
			fmt.Println("deleting", ts)
			if err := db.Delete(context.Background(), ts-deletedFrom, ts-deletedTo, gone); err != nil {
				fail(err)
			}
			fmt.Println("deleted", ts)
		}
	}
}

// TestKill kills a child at random moments: each batch that it had acknowledged is there once, and each other one as a
// whole or not at all.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rounds := *roundsFlag
	if testing.Short() {
		rounds = 2
	}
	acknowledged, deletions := map[int64]bool{}, map[int64]bool{}
	for round := range rounds {
		delay := time.Duration(50+rand.IntN(400)) * time.Millisecond
		for _, ts := range runAndKill(t, dir, delay, deletions) {
			acknowledged[ts] = true
		}
		db, err := Open(t.Context(), crashOptions(dir))
		if err != nil {
			t.Fatal(err)
		}
		checkBatches(t, db, acknowledged)
		checkExtras(t, db, acknowledged)
		checkRuns(t, db, acknowledged)
		checkDeletions(t, db, acknowledged, deletions)
		if round%3 == 1 { // The child appends faster than blocks are cut: what came out of order would stay in its log.
			due := db.cutIsDue()
			if err := db.maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if due && db.HeadStats().Late {
				t.Error("samples out of order were not cut")
			}
			checkBatches(t, db, acknowledged)
			checkExtras(t, db, acknowledged)
			checkRuns(t, db, acknowledged)
			checkDeletions(t, db, acknowledged, deletions)
		}
		t.Logf("round %d: killed after %v, %d batches acknowledged so far, %d blocks", round, delay, len(acknowledged), len(db.currentBlocks()))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) < 50 {
		t.Fatalf("only %d batches: the test tests nothing", len(acknowledged))
	}
}

// runAndKill returns the times that the child printed in full before it was killed. It notes the deletions that were begun,
// as false, and those that were acknowledged, as true.
func runAndKill(t *testing.T, dir string, delay time.Duration, deletions map[int64]bool) []int64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var times []int64
	scanner := bufio.NewScanner(out)
	kill := time.AfterFunc(time.Hour, func() { _ = cmd.Process.Kill() })
	for scanner.Scan() {
		if len(times) == 0 {
			kill.Reset(delay) // From the first batch on, however long the start took.
		}
		var ts int64
		if n, _ := fmt.Sscanf(scanner.Text(), "deleting %d", &ts); n == 1 && ts%(deleteEvery*1000) == 0 {
			deletions[ts] = false
		} else if n, _ := fmt.Sscanf(scanner.Text(), "deleted %d", &ts); n == 1 {
			if _, begun := deletions[ts]; begun {
				deletions[ts] = true
			}
		} else if n, _ := fmt.Sscanf(scanner.Text(), "%d", &ts); n == 1 {
			times = append(times, ts)
		}
	}
	kill.Stop()
	_ = cmd.Wait() // It was killed.
	if stderr.Len() > 0 {
		t.Fatalf("the child failed: %s", stderr.String())
	}
	if len(times) > 1 && times[len(times)-1]-times[len(times)-2] != 1000 {
		times = times[:len(times)-1] // The last line was cut off.
	}
	return times
}

// checkExtras looks for what the acknowledged batches held besides floats in order.
func checkExtras(t *testing.T, db *DB, acknowledged map[int64]bool) {
	t.Helper()
	hists, lates := column(t, db, "hist"), column(t, db, "late")
	m := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "hist")}
	found, err := db.Exemplars(t.Context(), 0, 1<<60, m)
	if err != nil {
		t.Fatal(err)
	}
	exemplars := map[int64]bool{}
	for _, s := range found {
		for _, e := range s.Exemplars {
			exemplars[e.T] = e.Value == float64(e.T)
		}
	}
	inHead := db.HeadStats().MinTime
	for ts := range acknowledged {
		extras := crashExtras(ts)
		if k, ok := slices.BinarySearch(hists.T, ts); !ok || hists.H[k] == nil || hists.H[k].Sum != float64(ts) {
			t.Errorf("the histogram at %d is missing", ts)
		}
		if k, ok := slices.BinarySearch(lates.T, extras[1].T); !ok || lates.F[k] != extras[1].V {
			t.Errorf("the sample at %d, of the batch at %d, is missing", extras[1].T, ts)
		}
		// What is in blocks has no exemplars after a restart.
		if ts >= inHead && !exemplars[ts] {
			t.Errorf("the exemplar at %d is missing", ts)
		}
	}
}

// checkRuns checks that each batch's run is there as a whole, or not at all if the batch was not acknowledged.
func checkRuns(t *testing.T, db *DB, acknowledged map[int64]bool) {
	t.Helper()
	c, seen, whole := column(t, db, "run"), map[int64]int{}, len(crashRun(0, 0))
	for k, at := range c.T {
		seen[(at+999)/1000*1000]++
		if c.F[k] != math.Sin(float64(at)) || k > 0 && c.T[k-1] == at {
			t.Errorf("%v at %d", c.F[k], at)
		}
	}
	for ts, n := range seen {
		if n != whole {
			t.Errorf("the run up to %d has %d of %d samples", ts, n, whole)
		}
	}
	for ts := range acknowledged {
		if seen[ts] == 0 {
			t.Errorf("the run up to %d is missing", ts)
		}
	}
}

// checkDeletions checks that what was deleted stays deleted, and nothing else is.
func checkDeletions(t *testing.T, db *DB, acknowledged, deletions map[int64]bool) {
	t.Helper()
	gone := column(t, db, "gone")
	covers := func(ts int64) (begun, done bool) {
		for at, acked := range deletions {
			if at-deletedFrom <= ts && ts <= at-deletedTo {
				begun, done = true, done || acked
			}
		}
		return begun, done
	}
	for ts := range acknowledged {
		k, there := slices.BinarySearch(gone.T, ts)
		switch begun, done := covers(ts); {
		case done && there:
			t.Errorf("the sample at %d was deleted, and is there", ts)
		case !begun && (!there || gone.F[k] != float64(ts)):
			t.Errorf("the sample at %d was not deleted, and is missing", ts)
		}
	}
}

// column reads the only series of a name.
func column(t *testing.T, db *DB, name string) (c storage.Columns) {
	t.Helper()
	q, err := db.Querier(-1<<60, 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", name))
	for set.Next() {
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	if set.Err() != nil || !slices.IsSorted(c.T) {
		t.Fatalf("%s: %v", name, set.Err())
	}
	return c
}

func checkBatches(t *testing.T, db *DB, acknowledged map[int64]bool) {
	t.Helper()
	q, err := db.Querier(0, 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	seen := map[int64]int{}
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	for set.Next() {
		var i int64
		if n, _ := fmt.Sscanf(set.At().Labels().Get("i"), "%d", &i); n != 1 {
			t.Fatal(set.At().Labels())
		}
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for k, ts := range c.T {
			seen[ts]++
			if c.F[k] != float64(ts+i) || k > 0 && c.T[k-1] >= ts {
				t.Fatalf("%s: sample %v at %d", set.At().Labels(), c.F[k], ts)
			}
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	for ts := range acknowledged {
		if seen[ts] != crashWidth {
			t.Errorf("acknowledged batch at %d has %d of %d samples", ts, seen[ts], crashWidth)
		}
	}
	for ts, n := range seen {
		if n != crashWidth {
			t.Errorf("batch at %d has %d of %d samples", ts, n, crashWidth)
		}
	}
}
