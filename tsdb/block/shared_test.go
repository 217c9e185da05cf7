package block

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
	"github.com/narthex-io/narthex/tsdb/merge"
)

// sharedData returns the folder that Prometheus 3.14 wrote, with the answers it gave.
func sharedData(tb testing.TB) string {
	tb.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "shared", "prometheus-data"))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "answers.json")); err != nil {
		tb.Skipf("the data directory of Prometheus is not here: %v", err)
	}
	return dir
}

// sharedBlocks opens copies of Prometheus's blocks.
func sharedBlocks(tb testing.TB) []*Block {
	tb.Helper()
	dirs, err := filepath.Glob(filepath.Join(sharedData(tb), "data", "*", metaFile))
	if err != nil || len(dirs) == 0 {
		tb.Fatalf("no blocks: %v", err)
	}
	var blocks []*Block
	for _, name := range dirs {
		dir := filepath.Join(tb.TempDir(), filepath.Base(filepath.Dir(name)))
		if err := os.CopyFS(dir, os.DirFS(filepath.Dir(name))); err != nil {
			tb.Fatal(err)
		}
		blocks = append(blocks, openBlock(tb, dir))
	}
	return blocks
}

func openBlock(tb testing.TB, dir string) *Block {
	tb.Helper()
	b, err := Open(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

// TestUpstreamBlocksHoldWhatTheySay counts what can be read and compares with the blocks' own descriptions.
func TestUpstreamBlocksHoldWhatTheySay(t *testing.T) {
	for _, b := range sharedBlocks(t) {
		var got Stats
		eachChunk(t, b, func(c index.ChunkMeta, enc chunk.Encoding, _ []byte) {
			var cols storage.Columns
			if err := b.Samples(c.Ref, &cols); err != nil {
				t.Fatalf("%s: %v", b.Dir(), err)
			}
			n := uint64(cols.Len())
			if n == 0 || cols.T[0] != c.MinTime || cols.T[n-1] != c.MaxTime {
				t.Fatalf("%s: the chunk from %d to %d does not hold these times", b.Dir(), c.MinTime, c.MaxTime)
			}
			got.NumChunks++
			got.NumSamples += n
			if enc.IsHistogram() {
				got.NumHistogramSamples += n
			} else {
				got.NumFloatSamples += n
			}
		})
		got.NumSeries = uint64(len(seriesIDs(t, b)))
		got.NumTombstones = uint64(b.Tombstones().Count())
		if want := b.Meta().Stats; got != want {
			t.Errorf("%s: got %+v, want %+v", b.Dir(), got, want)
		}
	}
}

// TestXORBytesAreUpstreams encodes each of the blocks' float chunks again.
func TestXORBytesAreUpstreams(t *testing.T) {
	same := 0
	for _, b := range sharedBlocks(t) {
		eachChunk(t, b, func(c index.ChunkMeta, enc chunk.Encoding, data []byte) {
			if enc != chunk.EncXOR {
				return
			}
			var cols storage.Columns
			if err := b.Samples(c.Ref, &cols); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(encode(cols.T, cols.F), data) {
				t.Fatalf("%s: chunk %#x is encoded to other bytes", b.Dir(), c.Ref)
			}
			same++
		})
	}
	if same < 10_000 {
		t.Fatalf("only %d chunks were compared", same)
	}
}

func encode(ts []int64, vs []float64) []byte {
	var s chunk.XORState
	var b []byte
	for i := range ts {
		b = s.Append(b, ts[i], vs[i])
	}
	return b
}

func seriesIDs(tb testing.TB, b *Block) []uint32 {
	tb.Helper()
	all, err := b.Index().AllPostings(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return all.AppendTo(nil)
}

func eachChunk(tb testing.TB, b *Block, f func(c index.ChunkMeta, enc chunk.Encoding, data []byte)) {
	tb.Helper()
	for _, id := range seriesIDs(tb, b) {
		chunks, err := b.Index().Chunks(id, math.MinInt64, math.MaxInt64, nil)
		if err != nil {
			tb.Fatal(err)
		}
		for _, c := range chunks {
			enc, data, err := b.Chunk(c.Ref)
			if err != nil {
				tb.Fatal(err)
			}
			f(c, enc, data)
		}
	}
}

// answer is a query with Prometheus's answer to it.
type answer struct {
	Path   string
	Params map[string]any
	Answer json.RawMessage
}

func answers(tb testing.TB) []answer {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(sharedData(tb), "answers.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var all struct{ Queries []answer }
	if err := json.Unmarshal(b, &all); err != nil {
		tb.Fatal(err)
	}
	return all.Queries
}

// TestPlainSelectorsGiveUpstreamsAnswers answers the instant queries that are a selector, or count over one, from the
// blocks alone, where these hold all samples of the time.
func TestPlainSelectorsGiveUpstreamsAnswers(t *testing.T) {
	blocks := sharedBlocks(t)
	var qs []storage.Querier
	for _, b := range blocks {
		q, err := b.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		qs = append(qs, q)
	}
	q := merge.Queriers(qs...)
	defer func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}()
	asked := 0
	for _, a := range answers(t) {
		text, _ := a.Params["query"].(string)
		at, _ := a.Params["time"].(float64)
		s, ok := parseSelector(text)
		if text == "count_over_time(fixture_ooo[10m])" {
			continue // A part of these samples is in the out-of-order log alone.
		}
		if a.Path != "/api/v1/query" || int64(at) > lastComplete || !ok {
			continue
		}
		asked++
		var want struct {
			Result []struct {
				Metric    labels.Labels
				Value     []any
				Histogram []any
			}
		}
		if err := json.Unmarshal(a.Answer, &want); err != nil {
			t.Fatal(err)
		}
		expected := map[string]string{}
		for _, r := range want.Result {
			if len(r.Histogram) > 0 {
				h, _ := r.Histogram[1].(map[string]any)
				expected[r.Metric.String()] = fmt.Sprint("histogram ", h["count"], " ", h["sum"])
			} else {
				expected[r.Metric.String()] = fmt.Sprint(r.Value[1])
			}
		}
		if got := s.evaluate(t, q, int64(at)*1000); !maps.Equal(got, expected) {
			t.Errorf("%s at %d:\ngot  %v\nwant %v", text, int64(at), got, expected)
		}
	}
	if asked < 6 {
		t.Errorf("only %d queries were asked", asked)
	}
}

// lastComplete is the time in seconds up to which the blocks hold everything; the head has the rest.
const lastComplete = 1795229940

// selector is the part of PromQL that this test understands: a selector of an instant, or one that counts over a range.
type selector struct {
	function string
	matchers []*labels.Matcher
	window   time.Duration
}

func parseSelector(text string) (selector, bool) {
	parts := regexp.MustCompile(`^(?:(count_over_time)\()?([a-z_]*)(?:\{(\w+)(=~?)"([^"]+)"\})?(?:\[(\w+)\]\))?$`).FindStringSubmatch(text)
	if parts == nil || (parts[1] == "") != (parts[6] == "") {
		return selector{}, false
	}
	s := selector{function: parts[1], window: 5 * time.Minute}
	if parts[2] != "" {
		s.matchers = append(s.matchers, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, parts[2]))
	}
	if parts[3] != "" {
		mt := map[string]labels.MatchType{"=": labels.MatchEqual, "=~": labels.MatchRegexp}[parts[4]]
		s.matchers = append(s.matchers, labels.MustNewMatcher(mt, parts[3], parts[5]))
	}
	if parts[6] != "" {
		var err error
		if s.window, err = time.ParseDuration(parts[6]); err != nil {
			return selector{}, false
		}
	}
	return s, true
}

func (s selector) evaluate(t *testing.T, q storage.Querier, at int64) map[string]string {
	t.Helper()
	hints := &storage.SelectHints{Start: at - s.window.Milliseconds() + 1, End: at}
	set := q.Select(t.Context(), true, hints, s.matchers...)
	got := map[string]string{}
	var r storage.ColumnReader
	for set.Next() {
		var c storage.Columns
		r = set.At().Samples(r)
		for r.Read(&c) {
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		if name, value, ok := s.reduce(set.At().Labels(), &c); ok {
			got[name] = value
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return got
}

func (s selector) reduce(ls labels.Labels, c *storage.Columns) (name, value string, ok bool) {
	format := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	if s.function == "" {
		last := c.Len() - 1
		switch {
		case last < 0 || sample.IsStale(c.F[last]):
			return "", "", false
		case len(c.H) > 0 && c.H[last] != nil:
			return ls.String(), fmt.Sprint("histogram ", format(c.H[last].Count), " ", format(c.H[last].Sum)), !sample.IsStale(c.H[last].Sum)
		}
		return ls.String(), format(c.F[last]), true
	}
	n := 0.0
	for _, v := range c.F {
		if !sample.IsStale(v) {
			n++
		}
	}
	return ls.DropMetricName().String(), format(n), n > 0
}
