package inspect

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
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

func matcher(name, value string) []*labels.Matcher {
	return []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, name, value)}
}

// dump returns what is printed, and what is said about damage.
func dump(t *testing.T, dir string, format Format, mint, maxt int64, matchers ...[]*labels.Matcher) (text, said string) {
	t.Helper()
	if len(matchers) == 0 {
		matchers = [][]*labels.Matcher{matcher("__name__", "(?s:.*)")}
	}
	var out, log bytes.Buffer
	db, err := tsdb.OpenReadOnly(t.Context(), tsdb.Options{
		Dir: dir, SkipDamage: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	q, err := db.Querier(mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}()
	opts := DumpOptions{Querier: q, Matchers: matchers, Format: format, Failed: func(err error) { fmt.Fprintln(&log, err) }}
	if err := Dump(t.Context(), &out, opts); err != nil {
		t.Fatal(err)
	}
	return out.String(), log.String()
}

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

const always = math.MaxInt64

func TestDump(t *testing.T) {
	dir, db := makeData(t)
	snapshot := t.TempDir()
	if err := db.Snapshot(t.Context(), filepath.Join(snapshot, "s"), true); err != nil {
		t.Fatal(err)
	}
	for _, format := range []Format{FormatProm, FormatSeriesJSON, FormatOpenMetrics} {
		before := contents(t, dir)
		got, said := dump(t, dir, format, -always, always)
		if said != "" {
			t.Errorf("%s: %s", format, said)
		}
		golden(t, "dump."+string(format), got)
		if after := contents(t, dir); after != before {
			t.Errorf("%s: files have changed from\n%s\nto\n%s", format, before, after)
		}
		inBlock, said := dump(t, filepath.Join(snapshot, "s"), format, -always, always)
		if said != "" || sorted(inBlock) != sorted(got) {
			t.Errorf("%s: a block with the same has\n%s\n%s", format, inBlock, said)
		}
	}
}

func TestDumpSelects(t *testing.T) {
	dir, db := makeData(t)
	up := "{__name__=\"up\", job=\"z\"} 0.1 2000\n{__name__=\"up\", job=\"z\"} NaN 3000\n"
	if got, _ := dump(t, dir, FormatProm, 2000, 3000, matcher("__name__", "up")); got != up {
		t.Error(got)
	}
	// Several selectors give each series once, in label order.
	got, _ := dump(t, dir, FormatSeriesJSON, -always, always, matcher("__name__", "up"), matcher("__name__", "[c-u].*"), matcher("__name__", "custom"))
	var names []string
	for line := range strings.Lines(got) {
		names = append(names, strings.Split(line, `"`)[3])
	}
	if want := []string{"custom", "esc", "mixed", "odd", "parts", "up", "utf8.name"}; !slices.Equal(names, want) {
		t.Error(names)
	}
	if err := db.Delete(t.Context(), 2000, 2000, matcher("__name__", "up|whole")...); err != nil {
		t.Fatal(err)
	}
	got, _ = dump(t, dir, FormatProm, 1500, 3000, matcher("__name__", "up|whole"))
	if n := strings.Count(got, "\n"); n != 2 || strings.Contains(got, " 2000\n") {
		t.Error(got)
	}
	if got, _ := dump(t, dir, FormatOpenMetrics, 0, 1, matcher("__name__", "up")); got != "# EOF\n" {
		t.Error(got)
	}
}

// TestDumpIsRead: what is printed as OpenMetrics has a sample a line, in the form of the format.
func TestDumpWriteFails(t *testing.T) {
	dir, _ := makeData(t)
	db, err := tsdb.OpenReadOnly(t.Context(), tsdb.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q, err := db.Querier(-always, always)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, format := range []Format{FormatProm, FormatSeriesJSON, FormatOpenMetrics} {
		err := Dump(t.Context(), broken{}, DumpOptions{Querier: q, Matchers: [][]*labels.Matcher{matcher("__name__", ".*")}, Format: format})
		if err == nil || !strings.Contains(err.Error(), "write dump: no room") {
			t.Error(format, err)
		}
	}
}

type broken struct{}

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

func TestBlocks(t *testing.T) {
	dir := twoBlocks(t)
	var out strings.Builder
	for _, human := range []bool{false, true} {
		blocks, damaged, err := Blocks(dir)
		if err != nil || len(damaged) > 0 {
			t.Fatal(damaged, err)
		}
		if err := WriteTable(&out, blocks, human); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "list.txt", out.String())
}

func TestBlocksDamaged(t *testing.T) {
	dir := twoBlocks(t)
	bad := filepath.Join(dir, "01HF0000000000000000000001")
	if err := os.Truncate(filepath.Join(bad, "index"), 100); err != nil {
		t.Fatal(err)
	}
	blocks, damaged, err := Blocks(dir)
	if err != nil || len(blocks) != 1 || len(damaged) != 1 || !strings.Contains(damaged[0].Error(), filepath.Join(bad, "index")) {
		t.Error(blocks, damaged, err)
	}
	// What was merged into another block is not missing.
	meta, err := block.ReadMeta(filepath.Join(dir, "01HF0000000000000000000002"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(fmt.Sprintf("%s", must(os.ReadFile(filepath.Join(dir, meta.ULID.String(), "meta.json")))),
		`"level": 1,`, `"level": 2, "parents": [{"ulid": "01HF0000000000000000000001"}],`, 1)
	if err := os.WriteFile(filepath.Join(dir, meta.ULID.String(), "meta.json"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if blocks, damaged, err := Blocks(dir); err != nil || len(blocks) != 1 || len(damaged) != 0 {
		t.Error(blocks, damaged, err)
	}
	if _, _, err := Blocks(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there has blocks")
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestAnalyze(t *testing.T) {
	dir := twoBlocks(t)
	var out strings.Builder
	run := func(opts AnalyzeOptions) error {
		opts.Dir, opts.Damaged = dir, func(err error) { t.Error(err) }
		fmt.Fprintf(&out, "== block %q, limit %d, extended %v, match %s\n", opts.Block, opts.Limit, opts.Extended, opts.Selector)
		return Analyze(t.Context(), &out, opts)
	}
	for _, opts := range []AnalyzeOptions{
		{Block: "01HF0000000000000000000002", Limit: 20, Extended: true},
		{Block: "01HF0000000000000000000002", Limit: 2},
		{Block: "01HF0000000000000000000002", Limit: 20, Extended: true, Selector: `{code="200"}`, Matchers: matcher("code", "200")},
		{Limit: 0, Extended: true},
	} {
		if err := run(opts); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "analyze.txt", out.String())
	for name, want := range map[string]string{
		"01HF0000000000000000000003": "has 01HF0000000000000000000001, 01HF0000000000000000000002",
		"../x":                       "no block ../x",
	} {
		if err := run(AnalyzeOptions{Block: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Analyze(t.Context(), &out, AnalyzeOptions{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "has no blocks") {
		t.Error(err)
	}
}

// TestAnalyzeHistograms: of histograms, the chunks' buckets count.
func TestAnalyzeHistograms(t *testing.T) {
	_, db := makeData(t)
	dir := filepath.Join(t.TempDir(), "s")
	if err := db.Snapshot(t.Context(), dir, true); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Analyze(t.Context(), &out, AnalyzeOptions{Dir: dir, Extended: true}); err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(out.String(), "Compaction analysis:")
	golden(t, "analyze-histograms.txt", text)
}

// TestDamage damages one thing of a block at a time: it is named, and the rest is printed.
func TestDamage(t *testing.T) {
	const name = "01HF0000000000000000000002"
	check := func(what, file string, hurt func(b []byte) []byte, wantLines int, wantSaid string) {
		t.Helper()
		dir := twoBlocks(t)
		if err := os.Mkdir(filepath.Join(dir, "wal"), 0o777); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name, file)
		if err := os.WriteFile(path, hurt(must(os.ReadFile(path))), 0o666); err != nil {
			t.Fatal(err)
		}
		got, said := dump(t, dir, FormatProm, -always, always)
		if n := strings.Count(got, "\n"); n != wantLines || !strings.Contains(said, wantSaid) || !strings.Contains(said, name) {
			t.Errorf("%s: %d lines are printed, want %d, and it is said:\n%s", what, n, wantLines, said)
		}
		var damaged []error
		err := Analyze(t.Context(), &strings.Builder{}, AnalyzeOptions{
			Dir: dir, Block: name, Extended: true, Damaged: func(err error) { damaged = append(damaged, err) },
		})
		if err == nil && len(damaged) == 0 {
			t.Errorf("%s: analyze finds nothing wrong", what)
		}
	}
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += len(b)
			}
			b[at] ^= 0xff
			return b
		}
	}
	const sound, all = 120, 120 + 3*120 + 11 + 60 + 1
	check("a chunk", "chunks/000001", flip(20), all-50, "chunks/000001: chunk at offset 8 has a checksum that does not match")
	check("the last chunk", "chunks/000001", flip(-6), all-1, "chunks/000001")
	check("a segment that is cut off", "chunks/000001", func(b []byte) []byte { return b[:len(b)-30] }, all-1-10, "chunks/000001")
	check("the table of contents", "index", flip(-3), sound, "index")
	check("the description", "meta.json", func([]byte) []byte { return nil }, sound, "meta.json")
	check("a series", "index", func(b []byte) []byte {
		// The first series lies at the first multiple of 16 behind the symbols.
		at := bytes.Index(b, []byte("up")) + 16
		for at%16 != 0 || b[at] == 0 {
			at++
		}
		return flip(at + 3)(b)
	}, all-120, "index")
}

// BenchmarkDump prints 1000 series with 240 samples each.
func BenchmarkDump(b *testing.B) {
	dir := b.TempDir()
	w, err := block.NewWriter(block.WriterOptions{Dir: dir, MaxTime: 7_200_000})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		var packer chunk.XORPacker
		ts, vs := make([]int64, 240), make([]float64, 240)
		for k := range ts {
			ts[k], vs[k] = int64(k)*30_000, float64(k*(i%7+1))+0.25*float64(i%3)
		}
		c := block.Chunk{Encoding: chunk.EncXOR, Data: packer.Encode(nil, ts, vs), MaxTime: ts[239]}
		if err := w.Add(ls("__name__", "http_requests_total", "instance", fmt.Sprintf("host-%04d:9090", i), "job", "api"), []block.Chunk{c}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		b.Fatal(err)
	}
	db, err := tsdb.OpenReadOnly(b.Context(), tsdb.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, format := range []Format{FormatProm, FormatSeriesJSON, FormatOpenMetrics} {
		b.Run("format="+string(format), func(b *testing.B) {
			b.ReportAllocs()
			var n counter
			for b.Loop() {
				q, err := db.Querier(-always, always)
				if err != nil {
					b.Fatal(err)
				}
				n = 0
				if err := Dump(b.Context(), &n, DumpOptions{Querier: q, Matchers: [][]*labels.Matcher{matcher("__name__", ".*")}, Format: format}); err != nil {
					b.Fatal(err)
				}
				if err := q.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(n))
		})
	}
}

// counter counts bytes.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// TestDamagedLog: a part of the log that can't be read is named, and the rest is printed.
func TestDamagedLog(t *testing.T) {
	dir, _ := makeData(t)
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(copied, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	b := must(os.ReadFile(segments[0]))
	b[len(b)/2] ^= 0xff
	if err := os.WriteFile(segments[0], b, 0o666); err != nil {
		t.Fatal(err)
	}
	before := contents(t, copied)
	whole, _ := dump(t, dir, FormatProm, -always, always)
	got, said := dump(t, copied, FormatProm, -always, always)
	if n, all := strings.Count(got, "\n"), strings.Count(whole, "\n"); n == 0 || n >= all || !strings.Contains(said, segments[0]) {
		t.Errorf("%d of %d lines are printed, and it is said:\n%s", n, all, said)
	}
	if contents(t, copied) != before {
		t.Error("files have changed")
	}
}
