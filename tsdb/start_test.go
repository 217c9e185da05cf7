package tsdb

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// withStarts is a dump with the start timestamps and the kinds of samples.
func withStarts(t *testing.T, db storage.Queryable) string {
	t.Helper()
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	var b strings.Builder
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
		fmt.Fprint(&b, set.At().Labels())
		for k, at := range c.T {
			v, st := fmt.Sprint(c.F[k]), int64(0)
			if len(c.H) > 0 && c.H[k] != nil {
				v = fmt.Sprintf("h%v/%v", c.H[k].Count, c.H[k].Sum)
			}
			if len(c.ST) > 0 {
				st = c.ST[k]
			}
			fmt.Fprintf(&b, " %d:%s@%d", at, v, st)
		}
		b.WriteByte('\n')
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return b.String()
}

// started is what a series of each kind has at a time: counters that begin anew now and then, and one without start times.
func started(at int64) []storage.Entry {
	began := at - at%(7*minute) + 1
	name := func(s string) labels.Labels { return labels.FromStrings("__name__", s) }
	n := at/10_000 + 1
	h := &histogram.Histogram{Count: uint64(n), Sum: float64(at), PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{n}}
	fl := &histogram.FloatHistogram{Count: float64(n), Sum: float64(at), PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{float64(n)}}
	late := storage.Entry{Labels: name("late"), T: at, ST: began, V: float64(n)}
	if n%3 == 0 {
		late.T -= 15_000
	}
	mixed := storage.Entry{Labels: name("mixed"), T: at, V: float64(n)}
	if n%2 == 0 {
		mixed.ST = began
	}
	hist, float := storage.Entry{Labels: name("hist"), T: at, ST: began, Histogram: h}, storage.Entry{Labels: name("floathist"), T: at, ST: began, FloatHistogram: fl}
	if n%50 == 0 {
		hist.Histogram, hist.V = nil, sample.StaleNaN()
	}
	return []storage.Entry{
		{Labels: name("counter"), T: at, ST: began, V: float64(n)}, {Labels: name("gauge"), T: at, V: float64(n % 3)}, mixed, hist, float, late,
	}
}

func fillStarted(t *testing.T, db *DB, from, to int64) {
	t.Helper()
	for at := from; at < to; at += 10_000 {
		entries := started(at)
		app := db.Appender()
		out := make([]storage.Outcome, len(entries))
		if err := app.Append(t.Context(), entries, out); err != nil {
			t.Fatal(err)
		}
		for i := range out {
			if out[i].Err != nil {
				t.Fatalf("%s at %d: %v", entries[i].Labels, entries[i].T, out[i].Err)
			}
		}
		if err := app.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// encodings counts the encodings of the chunks of all blocks.
func encodings(t *testing.T, db *DB) map[chunk.Encoding]int {
	t.Helper()
	all := map[chunk.Encoding]int{}
	for _, b := range db.currentBlocks() {
		ids, err := b.Index().AllPostings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids.AppendTo(nil) {
			metas, err := b.Index().Chunks(id, math.MinInt64, math.MaxInt64, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range metas {
				enc, _, err := b.Chunk(m.Ref)
				if err != nil {
					t.Fatal(err)
				}
				all[enc]++
			}
		}
	}
	return all
}

// TestStartTimestampsStay follows start timestamps through memory, log, head chunks, blocks, merges, deletions and
// snapshots.
func TestStartTimestampsStay(t *testing.T) {
	dir := t.TempDir()
	open := func() *DB {
		return openDB(t, dir, merging, func(o *Options) { o.StartTimestamps, o.OutOfOrderWindow = true, o.MinBlockDuration })
	}
	db := open()
	fillStarted(t, db, 0, 14*minute)
	want := withStarts(t, db)
	for _, part := range []string{
		"counter\"} 0:1@1 ", "counter\"} 0:1@1 10000:2@1 ", " 430000:44@420001 ", "gauge\"} 0:1@0 10000:2@0", "mixed\"} 0:1@0 10000:2@1 20000:3@0",
		"hist\"} 0:h1/0@1 10000:h2/10000@1", "5000:3@1 10000:2@1",
	} {
		if !strings.Contains(want, part) {
			t.Errorf("%q is not in %.2000s", part, want)
		}
	}
	same := func(what string) {
		t.Helper()
		if got := withStarts(t, db); got != want {
			t.Fatalf("%s: got\n%s\nwant\n%s", what, got, want)
		}
	}
	reopen := func(what string) {
		t.Helper()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open()
		same(what)
	}
	reopen("after a restart")
	if err := db.head.MapChunks(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("with head chunks in files")
	reopen("after a restart with head chunks")
	fillStarted(t, db, 14*minute, 47*minute)
	want = withStarts(t, db)
	maintain(t, db)
	same("in blocks")
	reopen("after a restart with blocks")
	enc := encodings(t, db)
	for _, e := range []chunk.Encoding{chunk.EncXOR, chunk.EncXOR2, chunk.EncHistogramST, chunk.EncFloatHistogramST} {
		if enc[e] == 0 {
			t.Errorf("no chunk has the encoding %s: %v", e, enc)
		}
	}
	if got := ranges(db); !strings.Contains(got, "/2") {
		t.Errorf("nothing was merged: %s", got)
	}
	snapshot := filepath.Join(t.TempDir(), "copy")
	if err := db.Snapshot(t.Context(), snapshot, true); err != nil {
		t.Fatal(err)
	}
	if got := withStarts(t, openDB(t, snapshot)); got != want {
		t.Error("the snapshot has something else")
	}
	// Chunks that are partly deleted are written anew.
	if err := db.Delete(t.Context(), 3*minute, 4*minute, labels.MustNewMatcher(labels.MatchNotEqual, "__name__", "")); err != nil {
		t.Fatal(err)
	}
	want = withStarts(t, db)
	if err := db.CleanTombstones(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("without what was deleted")
}

// TestStartTimestampsAreLeftOut unless the options ask for them: so that older programs can read what is written.
func TestStartTimestampsAreLeftOut(t *testing.T) {
	db := openDB(t, t.TempDir(), merging, func(o *Options) { o.OutOfOrderWindow = o.MinBlockDuration })
	fillStarted(t, db, 0, 47*minute)
	maintain(t, db)
	for line := range strings.Lines(withStarts(t, db)) {
		if n := strings.Count(line, "@"); n != strings.Count(line, "@0") {
			t.Errorf("start timestamps: %.100s", line)
		}
	}
	for e := range encodings(t, db) {
		if e != chunk.EncXOR && e != chunk.EncHistogram && e != chunk.EncFloatHistogram {
			t.Errorf("a chunk has the encoding %s", e)
		}
	}
}

// TestXOR2 turns the encoding on and off while samples come: chunks that were begun are completed as they are.
func TestXOR2(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 0, 5*minute, 2)
	db.SetXOR2(true)
	fill(t, db, 5*minute, 25*minute, 2)
	end(t, db, 25*minute-5000, 1)
	db.SetXOR2(false)
	fill(t, db, 25*minute, 47*minute, 2)
	want := all(t, db)
	maintain(t, db)
	if got := all(t, db); got != want || !strings.Contains(got, "NaN") {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	var got []string
	for _, b := range db.currentBlocks() {
		got = append(got, fmt.Sprint(blockEncoding(t, b)))
	}
	if s := strings.Join(got, " "); s != "XOR XOR2 XOR2 XOR" {
		t.Errorf("the blocks' encodings are %s", s)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := all(t, openDB(t, dir)); got != want {
		t.Fatalf("after a restart: got\n%s\nwant\n%s", got, want)
	}
}

// blockEncoding returns the encoding of a block's first chunk.
func blockEncoding(t *testing.T, b *block.Block) chunk.Encoding {
	t.Helper()
	ids, err := b.Index().AllPostings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	metas, err := b.Index().Chunks(ids.AppendTo(nil)[0], math.MinInt64, math.MaxInt64, nil)
	if err != nil {
		t.Fatal(err)
	}
	enc, _, err := b.Chunk(metas[0].Ref)
	if err != nil {
		t.Fatal(err)
	}
	return enc
}
