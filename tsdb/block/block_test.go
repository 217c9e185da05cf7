package block

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// writeBlock writes a block of 6 series with 3 chunks of 10 samples each: series i has the value 1000i+k at 10k.
func writeBlock(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	w, err := NewWriter(WriterOptions{Dir: dir, MinTime: 0, MaxTime: 300})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 6 {
		var chunks []Chunk
		for c := range 3 {
			var s chunk.XORState
			var data []byte
			for k := c * 10; k < c*10+10; k++ {
				data = s.Append(data, int64(10*k), float64(1000*i+k))
			}
			chunks = append(chunks, Chunk{chunk.EncXOR, data, int64(c * 100), int64(c*100 + 90)})
		}
		ls := labels.FromStrings("__name__", "m", "i", fmt.Sprint(i), "half", []string{"east", "west"}[i/3])
		if err := w.Add(ls, chunks); err != nil {
			tb.Fatal(err)
		}
	}
	meta, err := w.Finish()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, meta.ULID.String())
}

func openQuerier(tb testing.TB, b *Block, mint, maxt int64) storage.Querier {
	tb.Helper()
	q, err := b.Querier(mint, maxt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := q.Close(); err != nil {
			tb.Error(err)
		}
	})
	return q
}

// selected formats what a set gives: for each series its label i, and the times of its samples.
func selected(t *testing.T, set storage.SeriesSet) string {
	t.Helper()
	var out []string
	var r storage.ColumnReader
	for set.Next() {
		var c storage.Columns
		r = set.At().Samples(r)
		for r.Read(&c) {
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		out = append(out, fmt.Sprint(set.At().Labels().Get("i"), c.T))
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return strings.Join(out, " ")
}

func equal(name, value string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, name, value)
}

func TestSelect(t *testing.T) {
	b := openBlock(t, writeBlock(t))
	q := openQuerier(t, b, 80, 110)
	check := func(hints *storage.SelectHints, want string, ms ...*labels.Matcher) {
		t.Helper()
		if got := selected(t, q.Select(t.Context(), true, hints, ms...)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check(nil, "2[80 90 100 110]", equal("i", "2"))
	check(nil, "3[80 90 100 110] 4[80 90 100 110] 5[80 90 100 110]", equal("half", "west"))
	check(&storage.SelectHints{Start: 0, End: 10}, "0[0 10]", equal("i", "0"))
	check(&storage.SelectHints{Start: 95, End: 99}, "", equal("i", "0"))
	check(&storage.SelectHints{Start: 280, End: 900, Limit: 2}, "0[280 290] 1[280 290]")
	check(nil, "", equal("i", "9"))
}

func TestLabelQuestions(t *testing.T) {
	q := openQuerier(t, openBlock(t, writeBlock(t)), 0, 300)
	values := func(want, name string, limit int, ms ...*labels.Matcher) {
		t.Helper()
		got, _, err := q.LabelValues(t.Context(), name, storage.LabelHints{Limit: limit}, ms...)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("values of %s: got %v, %v, want %s", name, got, err, want)
		}
	}
	values("[east west]", "half", 0)
	values("[east]", "half", 1)
	values("[0 1 2]", "i", 0, equal("half", "east"))
	values("[east]", "half", 0, equal("i", "1"))
	values("[m]", "__name__", 0, labels.MustNewMatcher(labels.MatchNotEqual, "i", "1"))
	values("[]", "nothing", 0, equal("i", "1"))
	for _, ms := range [][]*labels.Matcher{nil, {equal("i", "3")}} {
		got, _, err := q.LabelNames(t.Context(), storage.LabelHints{}, ms...)
		if err != nil || !slices.Equal(got, []string{"__name__", "half", "i"}) {
			t.Errorf("names: got %v, %v", got, err)
		}
	}
}

func TestDelete(t *testing.T) {
	dir := writeBlock(t)
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	before := openQuerier(t, b, 0, 1000)
	if err := b.Delete(t.Context(), vfs.OS{}, 20, 269, equal("half", "east")); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(t.Context(), vfs.OS{}, math.MinInt64, math.MaxInt64, equal("i", "1")); err != nil {
		t.Fatal(err)
	}
	check := func(q storage.Querier, want string, hints *storage.SelectHints) {
		t.Helper()
		if got := selected(t, q.Select(t.Context(), true, hints, equal("half", "east"))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	want := "0[0 10 270 280 290] 2[0 10 270 280 290]"
	check(openQuerier(t, b, 0, 1000), want, nil)
	// What was there when the querier was made stays visible to it.
	check(before, "0[0 10 20] 1[0 10 20] 2[0 10 20]", &storage.SelectHints{Start: 0, End: 20})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	again := openBlock(t, dir)
	check(openQuerier(t, again, 0, 1000), want, nil)
	if got := again.Meta().Stats.NumTombstones; got != 3 {
		t.Errorf("the description counts %d tombstones, want 3", got)
	}
}

func TestQueriersOutliveClose(t *testing.T) {
	b, err := Open(writeBlock(t))
	if err != nil {
		t.Fatal(err)
	}
	q, err := b.Querier(0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if got := selected(t, q.Select(t.Context(), true, &storage.SelectHints{Start: 0, End: 0}, equal("i", "1"))); got != "1[0]" {
		t.Fatalf("got %s", got)
	}
	if _, err := b.Querier(0, 1); !errors.Is(err, ErrClosed) {
		t.Fatalf("got error %v", err)
	}
	if err := errors.Join(q.Close(), q.Close()); err != nil {
		t.Fatal(err)
	}
	if b.users != 0 {
		t.Fatalf("%d users are left", b.users)
	}
}

func TestWriterLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	ls := labels.FromStrings("a", "b")
	good := Chunk{chunk.EncXOR, encode([]int64{5}, []float64{1}), 5, 5}
	check := func(what string, write func(w *Writer) error) {
		t.Helper()
		w, err := NewWriter(WriterOptions{Dir: dir, MinTime: 0, MaxTime: 10})
		if err != nil {
			t.Fatal(err)
		}
		if err := write(w); err == nil {
			t.Errorf("%s: no error", what)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s: left %v, %v", what, entries, err)
		}
	}
	check("no series", func(w *Writer) error {
		_, err := w.Finish()
		if !errors.Is(err, ErrEmpty) {
			t.Errorf("got error %v", err)
		}
		return err
	})
	check("same series twice", func(w *Writer) error {
		return errors.Join(w.Add(ls, []Chunk{good}), w.Add(ls, []Chunk{good}))
	})
	check("chunk outside", func(w *Writer) error {
		return w.Add(ls, []Chunk{{chunk.EncXOR, good.Data, 5, 10}})
	})
	check("chunk without bytes", func(w *Writer) error {
		return w.Add(ls, []Chunk{{chunk.EncXOR, nil, 5, 5}})
	})
	check("target exists", func(w *Writer) error {
		target := filepath.Join(dir, w.opts.ULID.String())
		if err := os.WriteFile(target, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(ls, []Chunk{good}); err != nil {
			t.Fatal(err)
		}
		_, err := w.Finish()
		if err := os.Remove(target); err != nil {
			t.Fatal(err)
		}
		return err
	})
}

// TestDamageIsNamed damages one file after another: the error wraps a sentinel and names the file.
func TestDamageIsNamed(t *testing.T) {
	check := func(file string, damage func(content []byte) []byte, want error, text string) {
		t.Helper()
		dir := writeBlock(t)
		name := filepath.Join(dir, file)
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, damage(content), 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := Open(dir)
		if err == nil {
			q := openQuerier(t, b, 0, 1000)
			set := q.Select(t.Context(), true, nil)
			for err == nil && set.Next() {
				r := set.At().Samples(nil)
				for r.Read(&storage.Columns{}) {
				}
				err = r.Err()
			}
			err = errors.Join(err, set.Err(), b.Close())
		}
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got error %v", file, err)
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += len(b)
			}
			b[at] ^= 0xff
			return b
		}
	}
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	check("meta.json", cut, ErrCorrupt, "meta.json")
	check("index", flip(0), index.ErrCorrupt, "index")
	check("index", flip(20), index.ErrCorrupt, "symbol table at offset 5")
	check("index", flip(-1), index.ErrCorrupt, "table of contents")
	check("index", cut, index.ErrCorrupt, "index")
	check("tombstones", flip(0), ErrCorrupt, "tombstones")
	check("tombstones", flip(-1), ErrCorrupt, "tombstones")
	check("chunks/000001", flip(1), ErrCorrupt, "000001")
	check("chunks/000001", flip(30), ErrCorrupt, "000001: chunk at offset 8 has a checksum")
	check("chunks/000001", cut, ErrCorrupt, "000001: chunk at offset")
	check("chunks/000001", func([]byte) []byte { return nil }, ErrCorrupt, "000001")
}

func TestMissingFilesAreNamed(t *testing.T) {
	for _, file := range []string{"meta.json", "index", "chunks"} {
		dir := writeBlock(t)
		if err := os.RemoveAll(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got error %v", file, err)
		}
	}
	dir := writeBlock(t)
	if err := os.Remove(filepath.Join(dir, "tombstones")); err != nil {
		t.Fatal(err)
	}
	openBlock(t, dir)
}

func TestMetaKeepsWhatItDoesNotKnow(t *testing.T) {
	dir := t.TempDir()
	text := `{"ulid":"01M7Y0THABSC9MPTD9AEBHJG7C","minTime":1,"maxTime":5,"stats":{"numSamples":7},
		"compaction":{"level":2,"hints":["from-out-of-order"]},"version":1,"thanos":{"labels":{"a":"b"},"source":"sidecar"}}`
	if err := os.WriteFile(filepath.Join(dir, metaFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := ReadMeta(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.ULID != ulid.MustParse("01M7Y0THABSC9MPTD9AEBHJG7C") || m.Stats.NumSamples != 7 || m.Compaction.Level != 2 {
		t.Fatalf("got %+v", m)
	}
	m.Stats.NumTombstones = 4
	if err := WriteMeta(vfs.OS{}, dir, m); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Thanos struct {
			Labels map[string]string
			Source string
		}
		Stats Stats
	}
	if err := json.Unmarshal(b, &got); err != nil || got.Thanos.Labels["a"] != "b" || got.Thanos.Source != "sidecar" || got.Stats.NumTombstones != 4 {
		t.Fatalf("got %s, %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(dir, metaFile), []byte(strings.Replace(text, `"version":1`, `"version":2`, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMeta(dir); err == nil || !strings.Contains(err.Error(), "version 2 is not supported") {
		t.Fatalf("got error %v", err)
	}
}

func TestTombstonesAreMerged(t *testing.T) {
	check := func(want string, intervals ...Interval) {
		t.Helper()
		stones := Tombstones{}
		for _, i := range intervals {
			stones.Add(7, i)
		}
		if got := fmt.Sprint(stones[7]); got != want {
			t.Errorf("%v: got %s, want %s", intervals, got, want)
		}
	}
	check("[{1 2} {4 5}]", Interval{1, 2}, Interval{4, 5})
	check("[{1 2} {4 5}]", Interval{4, 5}, Interval{1, 2})
	check("[{1 5}]", Interval{1, 2}, Interval{3, 5})
	check("[{1 9}]", Interval{1, 2}, Interval{4, 5}, Interval{7, 9}, Interval{2, 8})
	check("[{1 8} {10 11}]", Interval{1, 1}, Interval{10, 11}, Interval{5, 8}, Interval{3, 6}, Interval{1, 2})
	check(fmt.Sprint([]Interval{{math.MinInt64, math.MaxInt64}}), Interval{0, 1}, Interval{math.MinInt64, math.MaxInt64}, Interval{5, 6})
}
