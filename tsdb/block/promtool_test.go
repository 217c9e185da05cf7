package block

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/index"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// promtool runs upstream's tool and returns what it prints.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("promtool %v: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}

// dataDir makes a data directory, in which promtool expects a log.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "wal"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDumpEqualsPromtools compares what both read of each of Prometheus's blocks.
func TestDumpEqualsPromtools(t *testing.T) {
	for _, b := range sharedBlocks(t) {
		dir := dataDir(t)
		if err := os.CopyFS(filepath.Join(dir, filepath.Base(b.Dir())), os.DirFS(b.Dir())); err != nil {
			t.Fatal(err)
		}
		got, want := dump(t, b), floatLines(t, promtool(t, "tsdb", "dump", dir))
		compareLines(t, b.Dir(), got, want)
	}
}

func compareLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) == 0 || len(got) != len(want) {
		t.Fatalf("%s: got %d samples, promtool %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: got\n%s\npromtool\n%s", what, got[i], want[i])
		}
	}
}

// floatLines sorts promtool's lines, "labels value time", with the values formatted in our way. Histograms, which old
// versions leave out and newer ones print as text, are dropped.
func floatLines(t *testing.T, out string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		rest, at, _ := cutLast(line)
		series, value, ok := cutLast(rest)
		v, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || strings.Contains(line, "count:") {
			continue
		}
		lines = append(lines, formatLine(series, v, at))
	}
	slices.Sort(lines)
	return lines
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func formatLine(series string, v float64, at string) string {
	return series + " " + strconv.FormatFloat(v, 'g', -1, 64) + " " + at
}

// dump formats all float samples of a block like promtool does.
func dump(t *testing.T, b *Block) []string {
	t.Helper()
	q, err := b.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	var lines []string
	set := q.Select(t.Context(), true, nil)
	var r storage.ColumnReader
	for set.Next() {
		var c storage.Columns
		r = set.At().Samples(r)
		for r.Read(&c) {
		}
		name := set.At().Labels().String()
		for i := range c.T {
			if len(c.H) == 0 || c.H[i] == nil {
				lines = append(lines, formatLine(name, c.F[i], strconv.FormatInt(c.T[i], 10)))
			}
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	slices.Sort(lines)
	return lines
}

// TestPromtoolReadsOurBlock lists, analyses and dumps a block that was written here, in several segments.
func TestPromtoolReadsOurBlock(t *testing.T) {
	dir := dataDir(t)
	w, err := NewWriter(WriterOptions{Dir: dir, MinTime: 0, MaxTime: 7_200_000, SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	sorted := map[string]labels.Labels{}
	for i := range 700 {
		ls := labels.FromStrings("__name__", fmt.Sprintf("metric_%d", i%9), "instance", fmt.Sprintf("host-%d", i), "zone", []string{"", "a", "b"}[i%3])
		sorted[string(ls.AppendKey(nil))] = ls
	}
	all := slices.SortedFunc(maps.Values(sorted), labels.Compare)
	for i, ls := range all {
		var chunks []Chunk
		for k := range int64(3) {
			var ts []int64
			var vs []float64
			for at := range int64(40) {
				ts = append(ts, (k*40+at)*60_000/2+int64(i%7))
				vs = append(vs, math.Sin(float64(i))*float64(at*at+k))
				want = append(want, formatLine(ls.String(), vs[at], strconv.FormatInt(ts[at], 10)))
			}
			chunks = append(chunks, Chunk{Encoding: 1, Data: encode(ts, vs), MinTime: ts[0], MaxTime: ts[39]})
		}
		if err := w.Add(ls, chunks); err != nil {
			t.Fatal(err)
		}
	}
	meta, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	b := openBlock(t, filepath.Join(dir, meta.ULID.String()))
	compareLines(t, "our own block", dump(t, b), want)
	if len(b.segments.files) < 2 {
		t.Fatalf("got %d segments", len(b.segments.files))
	}
	compareLines(t, "our own block", want, floatLines(t, promtool(t, "tsdb", "dump", dir)))
	if out := promtool(t, "tsdb", "list", dir); !strings.Contains(out, meta.ULID.String()) || !strings.Contains(out, "84000") {
		t.Errorf("promtool lists\n%s", out)
	}
	if out := promtool(t, "tsdb", "analyze", dir); !strings.Contains(out, "Series: 700") {
		t.Errorf("promtool's analysis is\n%s", out)
	}
	if got := promtool(t, "tsdb", "dump", `--match={zone=~"a|",instance!="host-3"}`, "--min-time=60000", "--max-time=120000", dir); got == "" {
		t.Error("promtool selects nothing")
	}
}

// TestRewrittenUpstreamBlocks writes each of Prometheus's blocks again from its series and chunks.
func TestRewrittenUpstreamBlocks(t *testing.T) {
	for _, b := range sharedBlocks(t) {
		dir := dataDir(t)
		meta := b.Meta()
		w, err := NewWriter(WriterOptions{Dir: dir, MinTime: meta.MinTime, MaxTime: meta.MaxTime, Compaction: meta.Compaction})
		if err != nil {
			t.Fatal(err)
		}
		copySeries(t, b, w)
		again, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		wantStats := meta.Stats
		wantStats.NumTombstones = 0
		if again.Stats != wantStats {
			t.Errorf("%s: got %+v, want %+v", b.Dir(), again.Stats, wantStats)
		}
		rewritten := openBlock(t, filepath.Join(dir, again.ULID.String()))
		// The ids of the series differ, because the index lacks symbols that nobody uses.
		ids, deleted := seriesIDs(t, rewritten), Tombstones{}
		for i, id := range seriesIDs(t, b) {
			for _, interval := range b.Tombstones()[id] {
				deleted.Add(ids[i], interval)
			}
		}
		if err := WriteTombstones(vfs.OS{}, rewritten.Dir(), deleted); err != nil {
			t.Fatal(err)
		}
		checkSize(t, rewritten, b, indexFile)
		checkSize(t, rewritten, b, filepath.Join(chunksDir, "000001"))
		compareLines(t, b.Dir(), floatLines(t, promtool(t, "tsdb", "dump", dir)), dump(t, b))
	}
}

// checkSize checks that a file did not grow.
func checkSize(t *testing.T, got, want *Block, file string) {
	t.Helper()
	g, err := os.Stat(filepath.Join(got.Dir(), file))
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.Stat(filepath.Join(want.Dir(), file))
	if err != nil {
		t.Fatal(err)
	}
	if g.Size() > w.Size() {
		t.Errorf("%s of %s takes %d bytes, %d before", file, want.Dir(), g.Size(), w.Size())
	}
}

func copySeries(t *testing.T, b *Block, w *Writer) {
	t.Helper()
	var scratch index.Scratch
	for _, id := range seriesIDs(t, b) {
		ls, err := b.Index().Labels(id, &scratch)
		if err != nil {
			t.Fatal(err)
		}
		metas, err := b.Index().Chunks(id, math.MinInt64, math.MaxInt64, nil)
		if err != nil {
			t.Fatal(err)
		}
		var chunks []Chunk
		for _, m := range metas {
			enc, data, err := b.Chunk(m.Ref)
			if err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, Chunk{Encoding: enc, Data: data, MinTime: m.MinTime, MaxTime: m.MaxTime})
		}
		if err := w.Add(ls, chunks); err != nil {
			t.Fatal(err)
		}
	}
}
