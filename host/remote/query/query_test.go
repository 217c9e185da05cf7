package query

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

const base = 1_760_000_000_000

// variety are series of all kinds of samples, of several chunks each.
func variety() (all []storage.Entry) {
	for k := range int64(500) {
		t := base + k*1000
		for i := range 3 {
			all = append(all, entry(named("m", "i", fmt.Sprint(i)), t, float64(k)*float64(i)/7))
		}
		all = append(all, storage.Entry{Labels: named("whole"), T: t, Histogram: wholeNative(uint64(k%300) + 1)})
		all = append(all, storage.Entry{Labels: named("float"), T: t, FloatHistogram: wholeNative(uint64(k) + 1).ToFloat()})
		if k%2 == 0 {
			all = append(all, entry(named("mixed"), t, float64(k)))
		} else {
			all = append(all, storage.Entry{Labels: named("mixed"), T: t, Histogram: wholeNative(uint64(k))})
		}
	}
	all = append(all, entry(named("m", "i", "0"), base+501_000, sample.StaleNaN()))
	return append(all, entry(named("special"), base, math.Inf(1)), entry(named("special"), base+2, math.NaN()))
}

// TestOwnServer reads from our own server, in chunks and in samples, what is in its storage.
func TestOwnServer(t *testing.T) {
	db := openDB(t)
	store(t, db, variety()...)
	for _, samples := range []bool{false, true} {
		w := newWorld(t, nil, section(serve(t, answering(t, db, samples, labels.EmptyLabels()))))
		for _, r := range [][2]int64{{0, 1e6}, {100_500, 300_000}, {5000, 5000}, {1e6, 2e6}} {
			for _, m := range []*labels.Matcher{all(), equal("i", "1"), labels.MustNewMatcher(labels.MatchNotRegexp, "__name__", "m|special"), labels.MustNewMatcher(labels.MatchNotEqual, "i", "")} {
				want := selects(t, db, base+r[0], base+r[1], m)
				want.lines = slices.DeleteFunc(want.lines, func(l string) bool { return !strings.Contains(l, "@") })
				got := selects(t, w, base+r[0], base+r[1], m)
				got.want(t, fmt.Sprint(samples, r, m), want.lines...)
			}
		}
		if n := testutil.CollectAndCount(w.registry, "prometheus_remote_read_client_queries_total"); n != 1 {
			t.Errorf("%d series count the queries", n)
		}
	}
}

// TestReadThrough has a third server read from one that reads itself, so that chunks are handed on.
func TestReadThrough(t *testing.T) {
	db := openDB(t)
	store(t, db, variety()...)
	want := selects(t, db, base+100_500, base+300_000, all()).lines
	for _, samples := range []bool{false, true} {
		first := newWorld(t, nil, section(serve(t, answering(t, db, samples, labels.EmptyLabels()))))
		second := newWorld(t, nil, section(serve(t, answering(t, first, false, labels.EmptyLabels()))))
		want = slices.DeleteFunc(want, func(l string) bool { return !strings.Contains(l, "@") })
		selects(t, second, base+100_500, base+300_000, all()).want(t, "through", want...)
	}
}

// TestMerged lays remotes over the local storage.
func TestMerged(t *testing.T) {
	a := serve(t, streams(frame(chunked([]storage.Chunk{floats(1, 2, 3), floats(10, 11)}, "__name__", "m")), frame(chunked([]storage.Chunk{floats(5)}, "__name__", "only"))))
	b := serve(t, sends(result(samplesOf([]int64{3, 4, 5}, "__name__", "a"), samplesOf([]int64{3, 4, 12}, "__name__", "m"))))
	w := newWorld(t, nil, section(a), section(b))
	store(t, w.local, entry(named("m"), 2, -2), entry(named("m"), 11, -11), entry(named("m"), 20, -20), entry(named("z"), 1, 1))
	selects(t, w, 0, 100, all()).want(t, "all",
		`{__name__="a"} 3@3 4@4 5@5`, `{__name__="m"} 1@1 -2@2 3@3 4@4 10@10 -11@11 12@12 -20@20`, `{__name__="only"} 5@5`, `{__name__="z"} 1@1`)
	selects(t, w, 3, 11, all()).want(t, "a part",
		`{__name__="a"} 3@3 4@4 5@5`, `{__name__="m"} 3@3 4@4 10@10 -11@11`, `{__name__="only"} 5@5`)
}

// TestAnyOrder has remotes that keep to no order.
func TestAnyOrder(t *testing.T) {
	frames := streams(
		frame(chunked([]storage.Chunk{floats(20, 21), floats(10, 11)}, "z", "1", "__name__", "m")),
		frame(chunked([]storage.Chunk{floats(1, 2)}, "__name__", "a")),
		frame(chunked([]storage.Chunk{floats(11, 12, 20), {Encoding: 1, Data: []byte{0, 0}}}, "__name__", "m", "z", "1")),
		frame(append(chunked(nil, "__name__", "none"), chunked([]storage.Chunk{floats(4)}, "__name__", "a")...)),
	)
	messages := sends(result(
		samplesOf([]int64{20, 21, 10, 11}, "z", "1", "__name__", "m"), samplesOf([]int64{2, 1}, "__name__", "a"),
		samplesOf([]int64{12, 11, 20, 20}, "__name__", "m", "z", "1"), samplesOf(nil, "__name__", "none"), samplesOf([]int64{4}, "__name__", "a"),
	))
	for title, h := range map[string]http.HandlerFunc{"frames": frames, "samples": messages} {
		w := newWorld(t, nil, section(serve(t, h)))
		got := selects(t, w, 0, 100, all())
		got.lines = slices.DeleteFunc(got.lines, func(l string) bool { return !strings.Contains(l, "@") })
		got.want(t, title, `{__name__="a"} 1@1 2@2 4@4`, `{__name__="m", z="1"} 10@10 11@11 12@12 20@20 21@21`)
	}
}

// asks keeps what a remote was asked for.
type asks struct{ lines []string }

// serve answers with nothing.
func (a *asks) serve(tb testing.TB) http.HandlerFunc {
	tb.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		line := ""
		request := wire.Walker{Rest: requestOf(tb, r)}
		for request.Next() {
			if request.Num != wire.RequestQueries {
				line += fmt.Sprintf(" types %v", request.Bytes)
				continue
			}
			for q := (wire.Walker{Rest: request.Bytes}); q.Next(); {
				switch q.Num {
				case wire.QueryStart, wire.QueryEnd:
					line += fmt.Sprint(" ", q.Value)
				case wire.QueryMatchers:
					var m labels.Matcher
					for f := (wire.Walker{Rest: q.Bytes}); f.Next(); {
						switch f.Num {
						case wire.MatcherType:
							m.Type = labels.MatchType(f.Value)
						case wire.MatcherName:
							m.Name = string(f.Bytes)
						case wire.MatcherValue:
							m.Value = string(f.Bytes)
						}
					}
					line += " " + m.String()
				case wire.QueryHints:
					for f := (wire.Walker{Rest: q.Bytes}); f.Next(); {
						if f.Typ == protowire.BytesType {
							line += fmt.Sprintf(" %d:%q", f.Num, f.Bytes)
						} else {
							line += fmt.Sprintf(" %d:%d", f.Num, f.Value)
						}
					}
				}
			}
		}
		a.lines = append(a.lines, strings.TrimSpace(line))
		streams()(w, r)
	}
}

// TestRequests looks at what remotes are asked for, and for what they are not.
func TestRequests(t *testing.T) {
	var a asks
	url := serve(t, a.serve(t))
	check := func(title string, mint, maxt int64, hints *storage.SelectHints, more string, want ...string) {
		t.Helper()
		w := newWorld(t, func(o *Options) { o.LocalStart = func() int64 { return 1000 } })
		w.configure(t, labels.FromStrings("region", "eu", "a", "b"), "{url: '"+url+"'"+more+"}")
		q, err := w.Querier(mint, maxt)
		if err != nil {
			t.Fatal(err)
		}
		a.lines = nil
		ms := []*labels.Matcher{equal("__name__", "m"), labels.MustNewMatcher(labels.MatchNotRegexp, "a", "x.*")}
		for range 2 { // The same is not asked for twice.
			drain(q.Select(t.Context(), true, hints, ms...)).want(t, title)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if !slices.Equal(a.lines, want) {
			t.Errorf("%s: asked for\n%s\nwant\n%s", title, strings.Join(a.lines, "\n"), strings.Join(want, "\n"))
		}
	}
	const matchers = `__name__="m" a!~"x.*" region="eu"`
	check("plain", 10, 20, nil, "", `10 20 `+matchers+` types [1 0]`)
	check("the local storage begins in between", 10, 2000, nil, "", `10 1000 `+matchers+` types [1 0]`)
	check("the local storage has it all", 1001, 2000, nil, "")
	check("recent", 1001, 2000, nil, ", read_recent: true", `1001 2000 `+matchers+` types [1 0]`)
	check("hints", 10, 20, &storage.SelectHints{Start: 5, End: 15, Step: 3, Range: 4, Func: "rate", Grouping: []string{"x", ""}, By: true}, "",
		`10 15 `+matchers+` 1:3 2:"rate" 3:10 4:15 5:"x" 5:"" 6:1 7:4 types [1 0]`)
	check("series", 10, 20, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, SeriesOnly: true}, "", `10 20 `+matchers+` 2:"series" 3:10 4:20 types [1 0]`)
	check("a selector of later times", 10, 20, &storage.SelectHints{Start: 21, End: 30}, "")
	check("no external labels", 10, 20, nil, ", filter_external_labels: false", `10 20 __name__="m" a!~"x.*" types [1 0]`)
	check("required", 10, 20, nil, `, required_matchers: {__name__: m}`, `10 20 `+matchers+` types [1 0]`)
	check("required, not there", 10, 20, nil, `, required_matchers: {__name__: m, b: c}`)
	check("required, of another kind", 10, 20, nil, `, required_matchers: {a: "x.*"}`)
}

// TestExternalLabels has labels taken off, by which the order changes, and series become one.
func TestExternalLabels(t *testing.T) {
	w := newWorld(t, nil)
	url := serve(t, streams(
		frame(chunked([]storage.Chunk{floats(1)}, "__name__", "m", "a", "1", "region", "eu")),
		frame(chunked([]storage.Chunk{floats(2)}, "__name__", "m", "region", "eu", "z", "1")),
		frame(chunked([]storage.Chunk{floats(3)}, "__name__", "m", "region", "eu")),
		frame(chunked([]storage.Chunk{floats(4)}, "__name__", "m")),
	))
	w.configure(t, labels.FromStrings("region", "eu"), section(url))
	selects(t, w, 0, 10, equal("__name__", "m")).want(t, "added", `{__name__="m"} 3@3 4@4`, `{__name__="m", a="1"} 1@1`, `{__name__="m", z="1"} 2@2`)
	selects(t, w, 0, 10, equal("region", "eu")).want(t, "asked for",
		`{__name__="m"} 4@4`, `{__name__="m", a="1", region="eu"} 1@1`, `{__name__="m", region="eu"} 3@3`, `{__name__="m", region="eu", z="1"} 2@2`)
}

// TestHeaders looks at the headers of a request.
func TestHeaders(t *testing.T) {
	var got http.Header
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		streams()(w, r)
	})
	w := newWorld(t, nil, section(url, "headers: {x-scope-orgid: a, Accept: '*/*'}", "basic_auth: {username: u, password: p}"))
	selects(t, w, 0, 10, all()).want(t, "nothing")
	for name, want := range map[string]string{
		"Content-Encoding": "snappy", "Accept-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Read-Version": "0.1.0",
		"User-Agent": "Narthex/test", "X-Scope-Orgid": "a", "Accept": "*/*", "Authorization": "Basic dTpw",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
}

// TestLabelQuestions has names and values come from the local storage alone, with a warning.
func TestLabelQuestions(t *testing.T) {
	w := newWorld(t, nil, section("http://127.0.0.1:1/"))
	store(t, w.local, entry(named("m", "a", "b"), 2, -2))
	q, err := w.Querier(0, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	names, warnings, err := q.LabelNames(t.Context(), storage.LabelHints{})
	if fmt.Sprint(names, warnings, err) != "[__name__ a] [not implemented] <nil>" {
		t.Error(names, warnings, err)
	}
	values, warnings, err := q.LabelValues(t.Context(), "a", storage.LabelHints{})
	if fmt.Sprint(values, warnings, err) != "[b] [not implemented] <nil>" {
		t.Error(values, warnings, err)
	}
}

// TestWithoutRemotes has queries take the shortest way.
func TestWithoutRemotes(t *testing.T) {
	w := newWorld(t, nil)
	local, _ := w.local.Querier(0, 1)
	q, err := w.Querier(0, 1)
	if err != nil || fmt.Sprintf("%T", q) != fmt.Sprintf("%T", local) {
		t.Errorf("got a %T, %v, want the local storage's %T", q, err, local)
	}
}

// TestSuite checks the storage as others are, with all samples in the local storage: a snapshot, and questions about labels, are of
// that one.
func TestSuite(t *testing.T) {
	for _, kind := range []string{"empty", "failing"} {
		t.Run("remote="+kind, func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T) storagetest.Storage {
				t.Helper()
				h := streams()
				if kind == "failing" {
					h = http.NotFound
				}
				return suiteStorage{newWorld(t, nil, section(serve(t, h)))}
			})
		})
	}
}

type suiteStorage struct{ *world }

func (s suiteStorage) Appender() storage.Appender { return s.local.Appender() }
