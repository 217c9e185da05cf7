package federate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

var now = time.UnixMilli(1_000_000)

func at(t int64, v float64, pairs ...string) storage.Entry {
	return storage.Entry{Labels: labels.FromStrings(pairs...), T: t, V: v}
}

func native(t int64, h *histogram.FloatHistogram, pairs ...string) storage.Entry {
	return storage.Entry{Labels: labels.FromStrings(pairs...), T: t, FloatHistogram: h}
}

func newHandler(tb testing.TB, s storage.Queryable, external labels.Labels) *Handler {
	tb.Helper()
	h, err := New(Options{
		Storage: s, Parser: parser.New(parser.Options{}), ExternalLabels: func() labels.Labels { return external },
		Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

func storeOf(tb testing.TB, entries ...storage.Entry) *storagetest.Store {
	tb.Helper()
	s := storagetest.NewStore()
	app := s.Appender()
	outcomes := make([]storage.Outcome, len(entries))
	if err := errors.Join(app.Append(tb.Context(), entries, outcomes), app.Commit(tb.Context())); err != nil {
		tb.Fatal(err)
	}
	for i, o := range outcomes {
		if o.Err != nil {
			tb.Fatalf("entry %d: %v", i, o.Err)
		}
	}
	return s
}

func ask(h *Handler, accept string, selectors ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/federate?"+url.Values{"match[]": selectors}.Encode(), nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestText(t *testing.T) {
	check := func(external labels.Labels, want string, entries []storage.Entry, selectors ...string) {
		t.Helper()
		w := ask(newHandler(t, storeOf(t, entries...), external), "", selectors...)
		if got := w.Body.String(); w.Code != 200 || got != want {
			t.Errorf("%q: got %d\n%s\nwant\n%s", selectors, w.Code, got, want)
		}
	}
	none := labels.EmptyLabels()
	entries := []storage.Entry{
		at(900_000, 1, "__name__", "b", "x", "1"), at(900_000, 2, "__name__", "a", "x", "2"), at(800_000, 2.5, "__name__", "a", "x", "1"),
		at(699_999, 1, "__name__", "old"), at(700_000, 1, "__name__", "just"), at(1_000_000, 5, "__name__", "b", "x", "0"),
		at(800_000, 1, "__name__", "gone"), at(900_000, sample.StaleNaN(), "__name__", "gone"), at(900_000, 3, "x", "nameless"),
		at(1_000_001, 3, "__name__", "future"),
	}
	check(none, "# TYPE a untyped\na{x=\"1\",instance=\"\"} 2.5 800000\na{x=\"2\",instance=\"\"} 2 900000\n", entries, "a")
	check(none, "# TYPE b untyped\nb{x=\"0\",instance=\"\"} 5 1000000\n", entries, `b{x="0"}`, `{x="0"}`)
	check(none, "# TYPE just untyped\njust{instance=\"\"} 1 700000\n", entries, "just", "old", "gone", "future", "nothing")
	check(none, "", entries, `{x="nameless"}`)
	check(none, "", entries, "{}")
	check(none, "", entries)
	check(labels.FromStrings("region", "e\"u", "x", "9"),
		"# TYPE a untyped\na{x=\"2\",instance=\"\",region=\"e\\\"u\"} 2 900000\n# TYPE just untyped\njust{instance=\"\",region=\"e\\\"u\",x=\"9\"} 1 700000\n",
		entries, `a{x="2"}`, "just")
	check(labels.FromStrings("instance", "me"), "# TYPE just untyped\njust{instance=\"me\"} 1 700000\n", entries, "just")
	check(none, "# TYPE a untyped\na{A=\"1\",instance=\"\"} 1 900000\na{instance=\"\"} 2 900000\n# TYPE b untyped\nb{instance=\"\"} 3 900000\n"+
		"# TYPE c untyped\nc{A=\"1\",instance=\"\"} 4 900000\n", []storage.Entry{
		at(900_000, 4, "__name__", "c", "A", "1"), at(900_000, 3, "__name__", "b"), at(900_000, 2, "__name__", "a"), at(900_000, 1, "__name__", "a", "A", "1"),
	}, `{__name__!=""}`)
}

func TestNamesAreEscapedAsAsked(t *testing.T) {
	h := newHandler(t, storeOf(t, at(900_000, 1, "__name__", "a.b_c", "ü", "\n")), labels.FromStrings("instance", ""))
	for accept, want := range map[string]string{
		"":                                "a_b_c{_=\"\\n\",instance=\"\"} 1",
		"text/plain;escaping=allow-utf-8": "{\"a.b_c\",\"ü\"=\"\\n\",instance=\"\"} 1",
		"text/plain;escaping=dots":        "a_dot_b__c{__=\"\\n\",instance=\"\"} 1",
		"text/plain;escaping=values":      "U__a_2e_b__c{U___fc_=\"\\n\",instance=\"\"} 1",
	} {
		w := ask(h, accept, `{"a.b_c"}`)
		if _, line, _ := strings.Cut(w.Body.String(), "untyped\n"); line != want+" 900000\n" {
			t.Errorf("%q: got %s, want %s", accept, line, want)
		}
	}
}

var counting = &histogram.FloatHistogram{
	Schema: 1, Count: 6, Sum: 3, ZeroThreshold: 0.5, ZeroCount: 1, PositiveSpans: []histogram.Span{{Offset: 1, Length: 2}}, PositiveBuckets: []float64{2, 3},
}

func TestProtobuf(t *testing.T) {
	gauge, custom := counting.Copy(), &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, Count: 6, Sum: 3, CustomValues: []float64{1, 2, 3},
		PositiveSpans: []histogram.Span{{Length: 1}, {Offset: 1, Length: 2}}, PositiveBuckets: []float64{1, 2, 3},
	}
	gauge.CounterResetHint = histogram.GaugeType
	h := newHandler(t, storeOf(t, at(900_000, 1, "__name__", "m", "x", "1"), native(900_000, counting, "__name__", "m", "x", "2"),
		native(900_000, gauge, "__name__", "m", "x", "3"), native(900_000, custom, "__name__", "m", "x", "4"), at(900_000, 2, "__name__", "m", "x", "5"),
		native(900_000, &histogram.FloatHistogram{Sum: sample.StaleNaN()}, "__name__", "m", "x", "6")), labels.EmptyLabels())
	w := ask(h, string(expfmt.NewFormat(expfmt.TypeProtoDelim)), "m")
	decoder := expfmt.NewDecoder(w.Body, expfmt.NewFormat(expfmt.TypeProtoDelim))
	var got []string
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.GetMetric() {
			got = append(got, fmt.Sprint(f.GetType(), m.GetLabel()[0].GetValue(), " ", m.GetUntyped().GetValue(), " ", m.GetHistogram().GetSampleCountFloat(), m.GetHistogram().GetPositiveCount(),
				len(m.GetHistogram().GetPositiveSpan()), " ", len(m.GetHistogram().GetBucket())))
		}
	}
	want := "UNTYPED1 1 0 [] 0 0|HISTOGRAM2 0 6 [2 3] 1 0|GAUGE_HISTOGRAM3 0 6 [2 3] 1 0|HISTOGRAM4 0 6 [] 0 3|UNTYPED5 2 0 [] 0 0"
	if text := strings.Join(got, "|"); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	text := ask(h, "text/plain", "m").Body.String()
	want = "# TYPE m untyped\nm{x=\"1\",instance=\"\"} 1 900000\n# TYPE m histogram\nm_bucket{x=\"4\",instance=\"\",le=\"1.0\"} 1 900000\n"
	if !strings.HasPrefix(strings.ReplaceAll(text, `le="1"`, `le="1.0"`), want) || !strings.HasSuffix(text, "m{x=\"5\",instance=\"\"} 2 900000\n") {
		t.Errorf("got %s", text)
	}
}

func TestBadRequests(t *testing.T) {
	h := newHandler(t, storeOf(t), labels.EmptyLabels())
	for selector, want := range map[string]string{"": "unknown position: parse error: unexpected end of input\n", "-x": "1:1: parse error: unexpected <op:->\n"} {
		if w := ask(h, "", selector); w.Code != 400 || w.Body.String() != want {
			t.Errorf("%q: %d %q", selector, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/federate?match[]=%zz", nil))
	if w.Code != 400 || w.Body.String() != "error parsing form values: invalid URL escape \"%zz\"\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

var errBroken = errors.New("broken")

// breaking is a storage whose sets fail after so many series, and warn.
type breaking struct {
	storage.Queryable
	after int
}

func (b breaking) Querier(mint, maxt int64) (storage.Querier, error) {
	if b.after < 0 {
		return nil, errBroken
	}
	q, err := b.Queryable.Querier(mint, maxt)
	return breakingQuerier{q, b.after}, err
}

type breakingQuerier struct {
	storage.Querier
	after int
}

func (b breakingQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return &breakingSet{b.Querier.Select(ctx, sorted, hints, ms...), b.after}
}

type breakingSet struct {
	storage.SeriesSet
	left int
}

func (b *breakingSet) Next() bool                 { b.left--; return b.left >= 0 && b.SeriesSet.Next() }
func (b *breakingSet) Warnings() storage.Warnings { return storage.Warnings{errBroken, errBroken} }
func (b *breakingSet) Err() error {
	if b.left < 0 {
		return errBroken
	}
	return nil
}

// TestFailures has the storage fail before and after a part of the answer was sent.
func TestFailures(t *testing.T) {
	var entries []storage.Entry
	for i := range 3000 {
		entries = append(entries, at(900_000, 1, "__name__", "m", "i", fmt.Sprint(i)))
	}
	for _, after := range []int{-1, 0, 10, 2000} {
		h := newHandler(t, breaking{storeOf(t, entries...), after}, labels.EmptyLabels())
		server := httptest.NewServer(h)
		res, err := http.Get(server.URL + "/federate?match[]=m")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if cut := after == 2000; cut != (err != nil) || !cut && (res.StatusCode != http.StatusInternalServerError || string(body) != "broken\n" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8") {
			t.Errorf("after %d series: %d %.20q, %v", after, res.StatusCode, body, err)
		}
		_ = res.Body.Close()
		server.Close()
		if n := testutil.ToFloat64(h.errors); n != 1 {
			t.Errorf("%v errors are counted", n)
		}
		if n := testutil.ToFloat64(h.warnings); after >= 0 && n != 2 {
			t.Errorf("%v warnings are counted", n)
		}
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header       { return d.h }
func (discard) WriteHeader(int)             {}
func (discard) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkFederate(b *testing.B) {
	const series = 20_000
	var entries []storage.Entry
	for i := range series {
		entries = append(entries, at(900_000, float64(i)/3, "__name__", fmt.Sprint("metric_", i/1000), "instance", fmt.Sprint("host", i), "job", "node", "mode", "idle"))
	}
	h := newHandler(b, storeOf(b, entries...), labels.FromStrings("region", "eu", "replica", "a"))
	for name, accept := range map[string]string{"text": "", "protobuf": string(expfmt.NewFormat(expfmt.TypeProtoDelim))} {
		b.Run("format="+name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/federate?match[]=%7Bjob=%22node%22%7D", nil)
			r.Header.Set("Accept", accept)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(discard{http.Header{}}, r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series), "ns/series")
		})
	}
}
