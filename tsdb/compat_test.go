package tsdb

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// forPrometheus2 has the log written as the promtool of Debian can read it.
func forPrometheus2(o *Options) { o.WALCompression = CompressionSnappy }

// promtool runs upstream's tool and returns what it prints: that of the path, or the newer one that the environment
// variable NARTHEX_PROMTOOL names.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("NARTHEX_PROMTOOL"), "promtool"))
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

// dumpLines is everything as promtool dumps it: labels, value and time of a sample a line.
func dumpLines(t *testing.T, db storage.Queryable) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(all(t, db)) {
		ls, samples, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "} ")
		for s := range strings.SplitSeq(samples, " ") {
			at, v, _ := strings.Cut(s, ":")
			lines = append(lines, fmt.Sprintf("%s} %s %s", ls, v, at))
		}
	}
	slices.Sort(lines)
	return lines
}

func promtoolLines(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(promtool(t, "tsdb", "dump", dir)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	slices.Sort(lines)
	return lines
}

// TestPromtoolReadsBlocksAndLog: what was cut and what is still in the log alone.
func TestPromtoolReadsBlocksAndLog(t *testing.T) {
	compressions := []Compression{CompressionNone, CompressionSnappy}
	if !strings.Contains(promtool(t, "--version"), "version 2.") {
		compressions = append(compressions, CompressionZstd, CompressionDefault)
	}
	for _, c := range compressions {
		dir := t.TempDir()
		db := openDB(t, dir, func(o *Options) { o.WALCompression = c })
		fill(t, db, 0, 37*minute, 7)
		if err := db.maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		fill(t, db, 37*minute, 44*minute, 9)
		// A second run goes on in another segment, with the first one's references.
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, dir, func(o *Options) { o.WALCompression = c })
		fill(t, db, 44*minute, 52*minute, 9)
		if err := db.maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := dumpLines(t, db)
		if len(db.currentBlocks()) != 4 || !db.HeadStats().Samples {
			t.Fatal("not everything is tested")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if list := promtool(t, "tsdb", "list", dir); strings.Count(list, "10m0s") != 4 {
			t.Errorf("promtool lists\n%s", list)
		}
		if got := promtoolLines(t, dir); !slices.Equal(got, want) {
			t.Fatalf("promtool dumps %d samples, narthex %d", len(got), len(want))
		}
	}
}

// TestPromtoolReadsHeadChunks that were written to files, with what follows them in the log.
func TestPromtoolReadsHeadChunks(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, forPrometheus2, func(o *Options) { o.MinBlockDuration = 2 * time.Hour })
	for part := range int64(4) {
		fill(t, db, part*40*minute, (part+1)*40*minute, 5)
		if err := db.head.MapChunks(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := dumpLines(t, db)
	if size := db.head.ChunkFilesSize(); size < 1000 {
		t.Fatalf("%d bytes of chunks were written", size)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := promtoolLines(t, dir); !slices.Equal(got, want) {
		t.Fatalf("promtool dumps %d samples, narthex %d", len(got), len(want))
	}
}

// upstreamCopy is a copy of the data directory that Prometheus left.
func upstreamCopy(t *testing.T) (dir string) {
	t.Helper()
	src := filepath.Join("..", "..", "shared", "prometheus-data", "data")
	if _, err := os.Stat(src); err != nil {
		t.Skip("no data directory of Prometheus beside the repository")
	}
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o755) //nolint:gosec // a folder of the test's
		}
		return os.Chmod(path, 0o644) //nolint:gosec // a file of the test's
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func openUpstream(t *testing.T, dir string, log *logText, change ...func(*Options)) *DB {
	t.Helper()
	return openDB(t, dir, append(change, func(o *Options) {
		o.MinBlockDuration, o.MaxBlockDuration = time.Minute, time.Minute
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	})...)
}

// answer is a query with Prometheus's answer to it.
type answer struct {
	Path   string
	Params struct {
		Query            string
		Time             int64
		Start, End, Step int64
	}
	Answer struct {
		Result []struct {
			Metric    labels.Labels
			Value     []any
			Values    [][]any
			Histogram []any
			// Histograms are the points of a range.
			Histograms [][]any
		}
	}
}

// TestUpstreamsDirectoryGivesUpstreamsAnswers asks the plain selectors.
func TestUpstreamsDirectoryGivesUpstreamsAnswers(t *testing.T) {
	dir := upstreamCopy(t)
	var log logText
	db := openUpstream(t, dir, &log)
	b, err := os.ReadFile(filepath.Join("..", "..", "shared", "prometheus-data", "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Queries []json.RawMessage }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`^([a-z_]+)(?:\{(\w+)="([^"]+)"\})?$`)
	asked := 0
	for _, raw := range all.Queries {
		var a answer
		if json.Unmarshal(raw, &a) != nil {
			continue // Labels and series have answers of another shape.
		}
		m := plain.FindStringSubmatch(a.Params.Query)
		if m == nil {
			continue
		}
		ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", m[1])}
		if m[2] != "" {
			ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, m[2], m[3]))
		}
		asked++
		start, end, step := a.Params.Start*1000, a.Params.End*1000, a.Params.Step*1000
		if step == 0 {
			start, end, step = a.Params.Time*1000, a.Params.Time*1000, 1
		}
		got, want := evaluate(t, db, start, end, step, ms), expected(a)
		if !maps.Equal(got, want) {
			t.Errorf("%s from %d to %d:\ngot  %v\nwant %v", a.Params.Query, start, end, got, want)
		}
	}
	if asked < 9 {
		t.Errorf("only %d queries were asked", asked)
	}
	if strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "type=histogram_samples") {
		t.Errorf("log says %s", log.String())
	}
}

func expected(a answer) map[string]string {
	want := map[string]string{}
	for _, r := range a.Answer.Result {
		if r.Histogram != nil {
			r.Histograms = [][]any{r.Histogram}
		}
		for _, h := range r.Histograms {
			at, _ := h[0].(float64)
			fields, _ := h[1].(map[string]any)
			buckets, _ := fields["buckets"].([]any)
			want[fmt.Sprint(r.Metric, int64(at)*1000)] = fmt.Sprint(fields["count"], " ", fields["sum"], " ", len(buckets))
		}
		if r.Value != nil {
			r.Values = [][]any{r.Value}
		}
		for _, v := range r.Values {
			at, _ := v[0].(float64)
			want[fmt.Sprint(r.Metric, int64(at)*1000)] = fmt.Sprint(v[1])
		}
	}
	return want
}

// pointText is a sample as in the API's answers; ok is false for a stale marker.
func pointText(c *storage.Columns, k int) (text string, ok bool) {
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	if len(c.H) == 0 || c.H[k] == nil {
		return number(c.F[k]), !sample.IsStale(c.F[k])
	}
	h := c.H[k]
	buckets := 0
	for _, b := range h.Buckets() {
		if b.Count != 0 {
			buckets++
		}
	}
	return fmt.Sprint(number(h.Count), " ", number(h.Sum), " ", buckets), !sample.IsStale(h.Sum)
}

// evaluate is an instant selector at each step: the latest sample of the five minutes before, if it is not stale.
func evaluate(t *testing.T, db *DB, start, end, step int64, ms []*labels.Matcher) map[string]string {
	t.Helper()
	const lookback = 5 * minute
	q, err := db.Querier(start-lookback+1, end)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // a test's reader
	got := map[string]string{}
	set := q.Select(t.Context(), false, nil, ms...)
	for set.Next() {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		for at := start; at <= end; at += step {
			k, found := slices.BinarySearch(c.T, at)
			if !found {
				k--
			}
			if k >= 0 && c.T[k] > at-lookback {
				if v, ok := pointText(&c, k); ok {
					got[fmt.Sprint(set.At().Labels(), at)] = v
				}
			}
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return got
}

// TestPromtoolReadsUpstreamsDirectoryBehindUs goes on in a directory of Prometheus's and hands it back.
func TestPromtoolReadsUpstreamsDirectoryBehindUs(t *testing.T) {
	dir := upstreamCopy(t)
	var log logText
	db := openUpstream(t, dir, &log, forPrometheus2)
	before := strings.Count(all(t, db), ":")
	last := db.HeadStats().MaxTime
	fill(t, db, last+1000, last+4*minute, 5)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(db.currentBlocks()); n < 7 {
		t.Fatalf("%d blocks: nothing was cut", n)
	}
	if n := strings.Count(dump(t, db, math.MinInt64, last), ":"); n != before {
		t.Errorf("%d old samples became %d", before, n)
	}
	if _, err := os.Stat(filepath.Join(dir, "chunks_head", "000004")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("head chunks that are in blocks by now are still there: %v", err)
	}
	ours := dump(t, db, last+1, math.MaxInt64)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// Debian's promtool does not know all of upstream's blocks; it must read what is ours.
	got := 0
	for line := range strings.Lines(promtool(t, "tsdb", "dump", fmt.Sprintf("--min-time=%d", last+1), `--match={__name__="m"}`, dir)) {
		if strings.Contains(line, `__name__="m"`) {
			got++
		}
	}
	if want := countSamples(ours); got == 0 || got != want {
		t.Errorf("promtool dumps %d samples, narthex %d", got, want)
	}
}

func countSamples(dump string) int {
	n := 0
	for line := range strings.Lines(dump) {
		_, samples, _ := strings.Cut(line, "} ")
		n += strings.Count(samples, ":")
	}
	return n
}

// TestUpstreamsExemplars compares the exemplars in Prometheus's log with its answer.
func TestUpstreamsExemplars(t *testing.T) {
	dir := upstreamCopy(t)
	db := openDB(t, dir, func(o *Options) { o.MinBlockDuration, o.MaxExemplars = time.Minute, 100_000 })
	b, err := os.ReadFile(filepath.Join("..", "..", "shared", "prometheus-data", "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Queries []struct {
			Path   string
			Params struct{ Start, End int64 }
			Answer json.RawMessage
		}
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	asked := false
	for _, q := range all.Queries {
		if q.Path != "/api/v1/query_exemplars" {
			continue
		}
		asked = true
		var want []struct {
			SeriesLabels labels.Labels
			Exemplars    []struct {
				Labels    labels.Labels
				Value     string
				Timestamp float64
			}
		}
		if err := json.Unmarshal(q.Answer, &want); err != nil {
			t.Fatal(err)
		}
		var expected, got []string
		for _, s := range want {
			for _, e := range s.Exemplars {
				expected = append(expected, fmt.Sprint(s.SeriesLabels, e.Labels, e.Value, " ", math.Round(e.Timestamp*1000)))
			}
		}
		m := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "job", "exemplars")}
		found, err := db.Exemplars(t.Context(), q.Params.Start*1000, q.Params.End*1000, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range found {
			for _, e := range s.Exemplars {
				got = append(got, fmt.Sprint(s.Labels, e.Labels, strconv.FormatFloat(e.Value, 'f', -1, 64), " ", float64(e.T)))
			}
		}
		if !slices.Equal(got, expected) || len(got) == 0 {
			t.Errorf("got  %v\nwant %v", got, expected)
		}
	}
	if !asked {
		t.Error("no answer about exemplars")
	}
}
