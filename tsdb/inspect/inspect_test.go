package inspect

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// contents describes all files of a folder.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(&b, path)
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func whole(n uint64) *histogram.Histogram {
	return &histogram.Histogram{
		Schema: 1, ZeroThreshold: 0.001, ZeroCount: 2, Count: 2_000_006 + n, Sum: 1.5,
		PositiveSpans: []histogram.Span{{Offset: -1, Length: 2}, {Offset: 3, Length: 1}}, PositiveBuckets: []int64{2_000_000 + int64(n), -1_999_999 - int64(n), 0},
		NegativeSpans: []histogram.Span{{Offset: 0, Length: 2}}, NegativeBuckets: []int64{2, -2},
	}
}

// stored are series in the order in which they are created: every sort of sample and of name.
func stored() []storage.Entry {
	stale := math.Float64frombits(math.Float64bits(sample.StaleNaN()))
	custom := &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, Count: 7.5, Sum: math.Inf(1), CustomValues: []float64{0.5, 1, 2e6},
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 1}, {Offset: 2, Length: 1}}, PositiveBuckets: []float64{4, 3.5},
	}
	f := func(t int64, v float64, pairs ...string) storage.Entry {
		return storage.Entry{Labels: labels.FromStrings(pairs...), T: t, V: v}
	}
	all := []storage.Entry{
		f(1000, 1, "__name__", "up", "job", "z"), f(2000, 0.1, "__name__", "up", "job", "z"),
		f(3000, stale, "__name__", "up", "job", "z"), f(4500, 1234567, "__name__", "up", "job", "z"),
		f(1000, math.NaN(), "__name__", "odd"), f(2000, math.Inf(1), "__name__", "odd"), f(3000, math.Inf(-1), "__name__", "odd"),
		f(4000, math.Copysign(0, -1), "__name__", "odd"), f(5001, 1e-7, "__name__", "odd"), f(6000, 1e21, "__name__", "odd"),
		f(1000, 3, "__name__", "esc", "q", "a\"b\\c\nd\te", "u", "grün \u00a0\u2028", "z", "<&>"),
		f(1000, 4, "__name__", "utf8.name", "a.b", "x", "c", "y"),
		f(1000, 5, "a.b", "no name"),
		{Labels: labels.FromStrings("__name__", "whole"), T: 1000, Histogram: whole(0)},
		{Labels: labels.FromStrings("__name__", "whole"), T: 2000, Histogram: whole(5)},
		{Labels: labels.FromStrings("__name__", "whole"), T: 3000, Histogram: whole(9)},
		{Labels: labels.FromStrings("__name__", "whole"), T: 4000, Histogram: &histogram.Histogram{Sum: stale}},
		{Labels: labels.FromStrings("__name__", "parts"), T: 1000, FloatHistogram: whole(0).ToFloat()},
		{Labels: labels.FromStrings("__name__", "parts"), T: 2000, FloatHistogram: whole(3).ToFloat()},
		{Labels: labels.FromStrings("__name__", "custom"), T: 1000, FloatHistogram: custom},
		f(1000, 6, "__name__", "mixed"),
		{Labels: labels.FromStrings("__name__", "mixed"), T: 2000, Histogram: whole(1)},
		{Labels: labels.FromStrings("__name__", "mixed"), T: 3000, FloatHistogram: whole(2).ToFloat()},
		f(4000, 7, "__name__", "mixed"),
	}
	return all
}

// makeData makes a data directory of the log alone, and returns the storage that wrote it.
func makeData(t *testing.T) (dir string, db *tsdb.DB) {
	t.Helper()
	dir = t.TempDir()
	db, err := tsdb.Open(t.Context(), tsdb.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, e := range stored() {
		app := db.Appender()
		var outcome [1]storage.Outcome
		if err := app.Append(t.Context(), []storage.Entry{e}, outcome[:]); err != nil || outcome[0].Err != nil {
			t.Fatal(err, outcome[0].Err)
		}
		if err := app.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return dir, db
}

// closeAll closes what was opened.
func closeAll(tb testing.TB, c io.Closer) {
	tb.Helper()
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
}

func matcher(name, value string) []*labels.Matcher {
	return []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, name, value)}
}

const always = math.MaxInt64

func (broken) Write([]byte) (int, error) { return 0, fmt.Errorf("no room") }

// writeBlock makes a block with a name of series that have a sample a minute, given as labels, first and last minute.
func writeBlock(t *testing.T, dir, name string, from int64, series ...any) string {
	t.Helper()
	id := ulid.MustParseStrict(name)
	start := from * 60_000
	w, err := block.NewWriter(block.WriterOptions{Dir: dir, ULID: id, MinTime: start, MaxTime: start + 7_200_000})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(series); i += 3 {
		first, last := series[i+1].(int), series[i+2].(int)
		var c block.Chunk
		var chunks []block.Chunk
		var x chunk.XORState
		for m := first; m <= last; m++ {
			at := start + int64(m)*60_000
			if x.Samples() == 0 {
				c = block.Chunk{Encoding: chunk.EncXOR, MinTime: at}
			}
			c.Data, c.MaxTime = x.Append(c.Data, at, float64(m)), at
			if x.Samples() == 50 || m == last {
				chunks, x = append(chunks, c), chunk.XORState{}
			}
		}
		if err := w.Add(series[i].(labels.Labels), chunks); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func ls(pairs ...string) labels.Labels { return labels.FromStrings(pairs...) }

// twoBlocks makes a data directory of two blocks.
func twoBlocks(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeBlock(t, dir, "01HF0000000000000000000002", 24_000_000,
		ls("__name__", "http_requests_total", "code", "200", "path", "/a"), 0, 119,
		ls("__name__", "http_requests_total", "code", "200", "path", "/b"), 0, 119,
		ls("__name__", "http_requests_total", "code", "500", "path", "/a"), 30, 40,
		ls("__name__", "up", "job", "a"), 0, 119,
		ls("__name__", "up", "job", "b"), 60, 119,
		ls("job", "nameless"), 5, 5)
	writeBlock(t, dir, "01HF0000000000000000000001", 24_000_120, ls("__name__", "up", "job", "a"), 0, 119)
	return dir
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
