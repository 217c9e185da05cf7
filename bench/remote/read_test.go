package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gogo/protobuf/proto"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/narthex-io/narthex/model/labels"
	ourtsdb "github.com/narthex-io/narthex/tsdb"
)

// TestDifferentialRead sends the same remote reads to both, over samples in memory: what is answered has to be equal, but for how
// samples are cut into chunks.
func TestDifferentialRead(t *testing.T) {
	rows := append(longRows(), variety(untilNow().Milliseconds()+300_000)...)
	a, b := fill(t, rows...)
	compareReads(t, a, b, false)
}

// TestDifferentialReadBlocks does so with copies of one directory of blocks: the bytes of the answers have to be equal.
func TestDifferentialReadBlocks(t *testing.T) {
	a, _ := fill(t, append(longRows(), variety(untilNow().Milliseconds()+300_000)...)...)
	dir := t.TempDir()
	if err := a.db.Snapshot(dir, true); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"theirs", "ours"} {
		if err := os.CopyFS(filepath.Join(dir, "copies", to), os.DirFS(dir)); err != nil && !strings.Contains(err.Error(), "copies") {
			t.Fatal(err)
		}
	}
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = (100 * 365 * 24 * time.Hour).Milliseconds()
	theirDB, err := tsdb.Open(filepath.Join(dir, "copies/theirs"), quiet(), nil, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	theirDB.DisableCompactions()
	t.Cleanup(func() { theirDB.Close() })
	ourDB, err := ourtsdb.Open(context.Background(), ourtsdb.Options{Dir: filepath.Join(dir, "copies/ours"), Retention: ourtsdb.Retention{Time: 100 * 365 * 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ourDB.Close() })
	compareReads(t, &theirs{db: theirDB}, &ours{db: ourDB}, true)
}

// longRows have series of several chunks, and samples that come out of order.
func longRows() [][]one {
	var rows [][]one
	for part := range int64(5) {
		var row []one
		for i := range 8 {
			s := one{labels: named("long", "i", fmt.Sprint(i), "job", "node")}
			for k := range int64(100) {
				s.samples = append(s.samples, sm(-2_000_000+(part*100+k)*1000, float64(k)*float64(i)/7))
			}
			row = append(row, s)
		}
		h := one{labels: named("long_native")}
		for k := range int64(60) {
			at := -2_000_000 + (part*60+k)*1000
			if part%2 == 0 {
				h.histograms = append(h.histograms, whole(at))
			} else {
				h.histograms = append(h.histograms, floating(at))
			}
		}
		rows = append(rows, append(row, h))
	}
	late := one{labels: named("long", "i", "1", "job", "node")}
	for k := range int64(70) {
		late.samples = append(late.samples, sm(-2_000_000+k*3000+500, 1000+float64(k)))
	}
	return append(rows, []one{late, natives("long_native", whole(-1_999_500), floating(-1_950_500))})
}

func compareReads(t *testing.T, a *theirs, b *ours, sameBytes bool) {
	t.Helper()
	n := 0
	for i, r := range []reads{
		{sampleLimit: 5e7, frame: 1 << 20},
		{external: labels.FromStrings("region", "eu", "zone", "z", "A", "first"), sampleLimit: 5e7, frame: 400},
		{external: labels.FromStrings("job", "node"), sampleLimit: 300, frame: 1},
	} {
		theirs, ours := serveTheirs(t, a, r), serveOurs(t, b, r)
		for name, body := range readRequests() {
			n++
			want, got := fetch(t, "POST", theirs+"/api/v1/read", body, nil), fetch(t, "POST", ours+"/api/v1/read", body, nil)
			title := fmt.Sprintf("%s with settings %d", name, i)
			for _, h := range []string{"Content-Type", "Content-Encoding"} {
				// Upstream says of the text of some errors that it is compressed.
				if want.header.Get(h) != got.header.Get(h) && (h == "Content-Type" || want.status == http.StatusOK) {
					t.Errorf("%s: %s is %q, want %q", title, h, got.header.Get(h), want.header.Get(h))
				}
			}
			switch {
			case want.status != got.status:
				t.Errorf("%s: %d %s, want %d %s", title, got.status, got.body, want.status, want.body)
			case got.status != http.StatusOK:
				if !strings.HasPrefix(name, "damaged") && string(want.body) != string(got.body) {
					t.Errorf("%s: %q, want %q", title, got.body, want.body)
				}
			case got.header.Get("Content-Encoding") == "snappy":
				compareSamples(t, title, got.body, want.body)
			case sameBytes && !bytes.Equal(got.body, want.body):
				t.Errorf("%s: frames differ\n%s", title, firstDifference(framed(t, got.body), framed(t, want.body)))
			case !sameBytes:
				if g, w := decoded(t, got.body), decoded(t, want.body); !slices.Equal(g, w) {
					t.Errorf("%s: samples differ: %s", title, firstDifference(g, w))
				}
			}
		}
	}
	t.Logf("%d requests", n)
}

func compareSamples(t *testing.T, title string, got, want []byte) {
	t.Helper()
	var messages [2]prompb.ReadResponse
	for i, body := range [][]byte{got, want} {
		message, err := snappy.Decode(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(message, &messages[i]); err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		if again, err := proto.Marshal(&messages[i]); err != nil || !bytes.Equal(again, message) {
			t.Errorf("%s: the encoding is not canonical, %v", title, err)
		}
		for _, r := range messages[i].Results {
			// Upstream has series without samples there, and no order where there is one source.
			r.Timeseries = slices.DeleteFunc(r.Timeseries, func(s *prompb.TimeSeries) bool {
				return !strings.Contains(title, "series only") && len(s.Samples)+len(s.Histograms) == 0
			})
			slices.SortFunc(r.Timeseries, func(a, b *prompb.TimeSeries) int { return strings.Compare(fmt.Sprint(a.Labels), fmt.Sprint(b.Labels)) })
		}
	}
	a, _ := proto.Marshal(&messages[0])
	b, _ := proto.Marshal(&messages[1])
	if !bytes.Equal(a, b) {
		var lines [2][]string
		for i := range messages {
			for k, r := range messages[i].Results {
				for _, s := range r.Timeseries {
					for _, p := range s.Samples {
						lines[i] = append(lines[i], fmt.Sprint(k, s.Labels, p.Timestamp, " ", p.Value))
					}
					for _, h := range s.Histograms {
						lines[i] = append(lines[i], fmt.Sprint(k, s.Labels, h.String()))
					}
				}
			}
		}
		t.Errorf("%s: samples differ: %s", title, firstDifference(lines[0], lines[1]))
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			return fmt.Sprintf("line %d of %d, want %d:\ngot  %.600s\nwant %.600s", i, len(got), len(want), g, w)
		}
	}
	return "none"
}

// framed lists the frames of an answer of chunks.
func framed(t *testing.T, body []byte) (lines []string) {
	t.Helper()
	eachFrame(t, body, func(m *prompb.ChunkedReadResponse) {
		for _, s := range m.ChunkedSeries {
			for _, c := range s.Chunks {
				lines = append(lines, fmt.Sprintf("%d %v %d %d %s %x", m.QueryIndex, s.Labels, c.MinTimeMs, c.MaxTimeMs, c.Type, c.Data))
			}
		}
		lines = append(lines, "end of frame")
	})
	return lines
}

func eachFrame(t *testing.T, body []byte, f func(*prompb.ChunkedReadResponse)) {
	t.Helper()
	r := remote.NewChunkedReader(bytes.NewReader(body), 1<<30, nil)
	for {
		var m prompb.ChunkedReadResponse
		err := r.NextProto(&m)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		f(&m)
	}
}

// decoded lists the samples of an answer of chunks.
func decoded(t *testing.T, body []byte) (lines []string) {
	t.Helper()
	eachFrame(t, body, func(m *prompb.ChunkedReadResponse) {
		for _, s := range m.ChunkedSeries {
			for _, c := range s.Chunks {
				data, err := chunkenc.FromData(chunkenc.Encoding(c.Type), c.Data)
				if err != nil {
					t.Fatal(err)
				}
				prefix := fmt.Sprint(m.QueryIndex, s.Labels)
				it := data.Iterator(nil)
				for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
					at := it.AtT()
					switch kind {
					case chunkenc.ValFloat:
						_, v := it.At()
						lines = append(lines, fmt.Sprintf("%s %d %x", prefix, at, math.Float64bits(v)))
					case chunkenc.ValHistogram:
						_, h := it.AtHistogram(nil)
						lines = append(lines, fmt.Sprintf("%s %d whole %s", prefix, at, h))
					default:
						_, h := it.AtFloatHistogram(nil)
						lines = append(lines, fmt.Sprintf("%s %d floating %s", prefix, at, h))
					}
					if at < c.MinTimeMs || at > c.MaxTimeMs {
						t.Errorf("%s: a sample at %d is not in [%d, %d]", prefix, at, c.MinTimeMs, c.MaxTimeMs)
					}
				}
				if it.Err() != nil {
					t.Fatal(it.Err())
				}
			}
		}
	})
	return lines
}

// readRequests are requests by name.
func readRequests() map[string][]byte {
	all := map[string][]byte{}
	matcher := func(kind prompb.LabelMatcher_Type, name, value string) *prompb.LabelMatcher {
		return &prompb.LabelMatcher{Type: kind, Name: name, Value: value}
	}
	query := func(from, to int64, ms ...*prompb.LabelMatcher) *prompb.Query {
		return &prompb.Query{StartTimestampMs: base + from, EndTimestampMs: base + to, Matchers: ms}
	}
	hinted := func(q *prompb.Query, h prompb.ReadHints) *prompb.Query {
		q.Hints = &h
		return q
	}
	const eq, neq, re, nre = prompb.LabelMatcher_EQ, prompb.LabelMatcher_NEQ, prompb.LabelMatcher_RE, prompb.LabelMatcher_NRE
	const early, soon = -3_000_000, 100_000
	everything := func() *prompb.LabelMatcher { return matcher(re, "__name__", ".+") }
	queries := map[string][]*prompb.Query{
		"no queries":           nil,
		"no matchers":          {query(early, soon)},
		"everything":           {query(early, soon, everything())},
		"equal":                {query(early, soon, matcher(eq, "__name__", "long"), matcher(eq, "i", "1"))},
		"not equal":            {query(early, soon, matcher(eq, "__name__", "long"), matcher(neq, "i", "1"))},
		"regular expression":   {query(early, soon, matcher(re, "__name__", "long|bare"), matcher(re, "i", "[0-3]?"))},
		"not matching":         {query(early, soon, everything(), matcher(nre, "__name__", "metric.*|odd"))},
		"empty":                {query(early, soon, matcher(eq, "job", ""), everything())},
		"nothing":              {query(early, soon, matcher(eq, "__name__", "nothing"))},
		"external":             {query(early, soon, matcher(eq, "region", "eu"), everything())},
		"external, other":      {query(early, soon, matcher(eq, "region", "own"), everything())},
		"external, not":        {query(early, soon, matcher(neq, "region", "eu"), everything())},
		"external, job":        {query(early, soon, matcher(eq, "job", "node"), everything())},
		"several":              {query(early, soon, matcher(eq, "__name__", "long")), query(0, soon, matcher(eq, "__name__", "odd")), query(early, soon), query(-1_990_000, -1_985_000, matcher(eq, "__name__", "long_native"))},
		"middle":               {query(-1_900_000, -1_750_500, matcher(eq, "__name__", "long"))},
		"middle of natives":    {query(-1_960_000, -1_900_500, matcher(eq, "__name__", "long_native"))},
		"one moment":           {query(-1_900_000, -1_900_000, matcher(eq, "__name__", "long"))},
		"between samples":      {query(-1_899_999, -1_899_990, matcher(eq, "__name__", "long"))},
		"backwards":            {query(soon, early, everything())},
		"natives":              {query(early, soon, matcher(re, "__name__", ".*native.*|mixed|turned"))},
		"hints":                {hinted(query(early, soon, matcher(eq, "__name__", "long")), prompb.ReadHints{StartMs: base - 1_900_000, EndMs: base - 1_800_000, StepMs: 1000, RangeMs: 5, Func: "rate", Grouping: []string{"a"}, By: true})},
		"hints without bounds": {hinted(query(early, soon, everything()), prompb.ReadHints{Func: "sum"})},
		"series only":          {hinted(query(early, soon, everything()), prompb.ReadHints{StartMs: base + early, EndMs: base + soon, Func: "series"})},
		"bad expression":       {query(early, soon, matcher(re, "a", "("))},
		"bad type":             {query(early, soon, matcher(7, "a", "("))},
		"bad after good":       {query(early, soon, matcher(eq, "__name__", "odd")), query(early, soon, matcher(7, "a", "("))},
		"UTF-8":                {query(early, soon, matcher(eq, "__name__", "größe.in.m")), query(early, soon, matcher(neq, "ключ", ""))},
	}
	types := map[string][]prompb.ReadRequest_ResponseType{
		"": nil, "samples ": {0}, "chunks ": {1}, "chunks or samples ": {1, 0}, "unknown or chunks ": {9, 1}, "unknown ": {9, 12},
	}
	for prefix, accepted := range types {
		for name, qs := range queries {
			if name == "bad after good" && prefix != "" && prefix != "samples " {
				continue // Upstream puts the text of the error behind the frames.
			}
			message, err := proto.Marshal(&prompb.ReadRequest{Queries: qs, AcceptedResponseTypes: accepted})
			if err != nil {
				panic(err)
			}
			all[prefix+name] = snappy.Encode(nil, message)
		}
	}
	good := all["equal"]
	all["damaged: nothing"] = nil
	all["damaged: no snappy"] = []byte("abc")
	all["damaged: cut"] = good[:len(good)-3]
	all["damaged: no message"] = snappy.Encode(nil, []byte{0xff, 0xff, 0xff})
	all["damaged: cut message"] = snappy.Encode(nil, []byte{10, 40, 1})
	all["damaged: wrong type"] = snappy.Encode(nil, []byte{8, 1})
	all["damaged: field zero"] = snappy.Encode(nil, []byte{2, 1})
	all["bomb"] = []byte{0x80, 0x80, 0x80, 0x80, 0x02, 0}
	all["large bomb"] = []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}
	return all
}
