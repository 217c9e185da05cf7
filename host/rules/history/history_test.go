package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/block"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// day is when the past of the tests begins: at a full hour.
var day = time.Unix(1_700_000_000, 0).Truncate(2 * time.Hour).UTC()

// source is a storage with series given as in unit tests, a value a minute.
func source(t *testing.T, series ...string) *Local {
	t.Helper()
	store := storagetest.NewStore()
	app := store.Appender()
	for _, s := range series {
		ls, values, err := parser.New(parser.Options{}).ParseSeriesDesc(s)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if v.Omitted {
				continue
			}
			e := storage.Entry{Labels: ls, T: day.Add(time.Duration(i) * time.Minute).UnixMilli(), V: v.Value, FloatHistogram: v.Histogram}
			if err := app.Append(t.Context(), []storage.Entry{e}, make([]storage.Outcome, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	engine, err := promql.New(promql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &Local{Engine: engine, Storage: store}
}

func config(t *testing.T, rulesText string) rules.Config {
	t.Helper()
	f, err := rules.Parse("r.yml", []byte("groups:\n- name: g\n  rules:\n"+rulesText), rules.LoadOptions{Parser: parser.New(parser.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	return rules.Config{Files: []*rules.File{f}, Interval: time.Minute}
}

// minutes formats a time as minutes since day, rounded down.
func minutes(at time.Time) int { return int(at.Sub(day) / time.Minute) }

func eventsOf(t *testing.T, s Source, cfg rules.Config, length time.Duration) (events, failures []string) {
	t.Helper()
	err := Replay(t.Context(), ReplayOptions{
		Source: s, Store: storagetest.NewStore(), Config: cfg, Start: day, End: day.Add(length),
		Emit: func(e Event) {
			events = append(events, fmt.Sprintf("%d %s %s%s", minutes(e.Time), e.What, e.Labels.Get("i"), e.Annotations["text"]))
		},
		Failed: func(at time.Time, rule, err string) {
			failures = append(failures, fmt.Sprintf("%d %s: %s", minutes(at), rule, err))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, failures
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReplay(t *testing.T) {
	s := source(t, `up{i="a"} 1x9 0x29 1x1000`, `up{i="b"} 1x9 0x1 1x1000`)
	events, _ := eventsOf(t, s, config(t, "  - {alert: Down, expr: up == 0, for: 5m}\n"), 12*time.Hour)
	wantLines(t, events, "10 pending a", "10 pending b", "12 dropped b", "15 firing a", "40 resolved a")
}

// TestReplayWithWhatIsRecorded has an alert that needs a rule of the same file, and a text that asks.
func TestReplayWithWhatIsRecorded(t *testing.T) {
	cfg := config(t, "  - {record: down, expr: up == bool 0}\n  - {alert: Down, expr: down > 0, annotations: {text: ' {{ query \"down\" | first | value }}'}}\n")
	s := source(t, `up{i="a"} 1x9 0x4 1x20`)
	events, failures := eventsOf(t, s, cfg, 30*time.Minute)
	wantLines(t, events, "10 firing a 1", "15 resolved a 1")
	wantLines(t, failures)
}

func TestReplayTellsOfFailures(t *testing.T) {
	cfg := config(t, "  - {alert: A, expr: up * on(j) up}\n")
	s := source(t, `up{i="a"} 1x30`, `up{i="b"} _x10 1x4 stale`)
	_, failures := eventsOf(t, s, cfg, 30*time.Minute)
	if len(failures) != 1 || !strings.HasPrefix(failures[0], "10 A: found duplicate series") {
		t.Error(failures)
	}
}

// window is a storage on disk.
type window struct{ *tsdb.DB }

func backfillOptions(t *testing.T, s Source, cfg rules.Config) BackfillOptions {
	t.Helper()
	return BackfillOptions{
		Source: s, OutputDir: t.TempDir(), Config: cfg, Start: day, End: day.Add(5 * time.Hour),
		Open: func() (Window, error) {
			db, err := tsdb.Open(context.Background(), tsdb.Options{Dir: t.TempDir(), MinBlockDuration: 24 * time.Hour})
			return window{db}, err
		},
	}
}

// read returns what blocks have of a series, as MINUTE=VALUE of its first, second and last samples.
func read(t *testing.T, dir, name string) (lines []string, names int) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		b, err := block.Open(d)
		if err != nil {
			t.Fatal(err)
		}
		q, err := b.Querier(0, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name))
		for set.Next() {
			var c storage.Columns
			for r := set.At().Samples(nil); r.Read(&c); {
			}
			n := len(c.T) - 1
			lines = append(lines, fmt.Sprintf("%s %d samples %d=%v %d=%v", set.At().Labels(), n+1, minutes(time.UnixMilli(c.T[0])), c.F[0], minutes(time.UnixMilli(c.T[n])), c.F[n]))
		}
		if err := errors.Join(q.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return lines, len(dirs)
}

func TestBackfill(t *testing.T) {
	cfg := config(t, "  - {record: r, expr: sum by (i) (a), labels: {x: y}}\n  - {record: past, expr: 'max_over_time(r[2h])'}\n"+
		"  - {record: h, expr: hist}\n  - {record: pin, expr: a @ end()}\n  - {alert: A, expr: a}\n")
	opts := backfillOptions(t, source(t, `a{i="1",j="2"} 0+1x400`, "hist {{schema:0 count:1 sum:1 buckets:[1]}}x400"), cfg)
	var done []string
	opts.Done = func(w BackfillWindow) {
		done = append(done, fmt.Sprintf("%d-%d %v %v", minutes(w.Start), minutes(w.End), w.Samples > 0, w.Before))
	}
	if err := Backfill(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	wantLines(t, done, "0-119 true false", "120-239 true false", "240-300 true false")
	got, n := read(t, opts.OutputDir, "r")
	wantLines(t, got, `{__name__="r", i="1", x="y"} 120 samples 0=0 119=119`, `{__name__="r", i="1", x="y"} 120 samples 120=120 239=239`,
		`{__name__="r", i="1", x="y"} 60 samples 240=240 299=299`)
	if n != 3 {
		t.Errorf("%d blocks", n)
	}
	// What one rule needs of another is there, also from the window before.
	got, _ = read(t, opts.OutputDir, "past")
	wantLines(t, got, `{__name__="past", i="1", x="y"} 120 samples 0=0 119=119`, `{__name__="past", i="1", x="y"} 120 samples 120=120 239=239`,
		`{__name__="past", i="1", x="y"} 60 samples 240=240 299=299`)
	got, _ = read(t, opts.OutputDir, "pin")
	if len(got) != 3 || !strings.HasSuffix(got[0], "120 samples 0=0 119=119") {
		t.Error(got)
	}
	if got, _ := read(t, opts.OutputDir, "h"); len(got) != 3 {
		t.Error(got)
	}

	t.Run("again", func(t *testing.T) {
		done = nil
		if err := Backfill(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		wantLines(t, done, "0-119 true true", "120-239 true true", "240-300 true true")
	})
	t.Run("with other rules", func(t *testing.T) {
		done = nil
		opts.Config = config(t, "  - {record: r, expr: sum by (i) (a) * 2}\n")
		if err := Backfill(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		wantLines(t, done, "0-119 true false", "120-239 true false", "240-300 true false")
	})
}

// TestBackfillGoesOn ends a run after its first window, in the middle of the second.
func TestBackfillGoesOn(t *testing.T) {
	opts := backfillOptions(t, source(t, `a 0+1x400`), config(t, "  - {record: r, expr: a}\n"))
	ctx, cancel := context.WithCancel(t.Context())
	open := opts.Open
	opened := 0
	opts.Open = func() (Window, error) {
		if opened++; opened == 2 {
			cancel()
		}
		return open()
	}
	if err := Backfill(ctx, opts); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(opts.OutputDir, "01HF0000000000000000000000.tmp-for-creation"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := 0
	opts.Done = func(w BackfillWindow) {
		if w.Before {
			before++
		}
	}
	if err := Backfill(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(opts.OutputDir, "01HF0000000000000000000000.tmp-for-creation")); err != nil {
		t.Fatal(err)
	}
	if got, n := read(t, opts.OutputDir, "r"); len(got) != 3 || n != 3 || before != 1 {
		t.Error(got, n, before)
	}
}

func TestBackfillFails(t *testing.T) {
	check := func(rulesText, want string) {
		t.Helper()
		opts := backfillOptions(t, source(t, `a{i="1"} 1x400`, `a{i="2"} 1x400`), config(t, rulesText))
		if err := Backfill(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rulesText, err)
		}
		if _, n := read(t, opts.OutputDir, "r"); n != 0 {
			t.Errorf("%s: %d blocks", rulesText, n)
		}
	}
	check("  - {alert: A, expr: a}\n", "the rule files have no recording rules")
	check("  - {record: r, expr: a}\n  - {record: s, expr: a * on() a}\n", "rule s of group g: found duplicate series")
	check("  - {record: r, expr: a, labels: {i: '0'}}\n", "rule r of group g: vector contains metrics with the same labelset")
}

// TestRemote asks a server that answers for 3 steps at 1, 2 and 3 minutes.
func TestRemote(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path + " " + r.FormValue("query") {
		case "/p/api/v1/query v":
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"i":"a"},"value":[60,"1.5"]}]}}`)
		case "/p/api/v1/query s":
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[60.5,"+Inf"]}}`)
		case "/p/api/v1/query h":
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[60,{}]}]}}`)
		case "/p/api/v1/query_range v":
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"i":"a"},"values":[[%s,"1"]]}]}}`, r.FormValue("start"))
		case "/p/api/v1/query_range h":
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"histograms":[[60,{}]]}]}}`)
		case "/p/api/v1/query page":
			fmt.Fprint(w, "<html>")
		default:
			fmt.Fprint(w, `{"status":"error","error":"no such query"}`)
		}
	}))
	defer server.Close()
	u, err := url.Parse(server.URL + "/p")
	if err != nil {
		t.Fatal(err)
	}
	r := &Remote{URL: u, Client: server.Client()}
	at := time.Unix(60, 0)
	if v, err := r.Instant(t.Context(), nil, "v", at); err != nil || len(v) != 1 || v[0].F != 1.5 || v[0].Labels.Get("i") != "a" {
		t.Error(v, err)
	}
	if v, err := r.Instant(t.Context(), nil, "s", at); err != nil || !math.IsInf(v[0].F, 1) {
		t.Error(v, err)
	}
	// 25,000 steps take three requests.
	m, err := r.Range(t.Context(), nil, "v", at, at.Add(25_000*time.Second), time.Second)
	if err != nil || len(m) != 1 || m[0].Points.Len() != 3 || m[0].Points.T[2] != 22_060_000 {
		t.Error(m, err)
	}
	fails := func(_ any, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	v, err := r.Instant(t.Context(), nil, "h", at)
	fails(v, err, "native histograms")
	m, err = r.Range(t.Context(), nil, "h", at, at, time.Second)
	fails(m, err, "native histograms")
	v, err = r.Instant(t.Context(), nil, "x", at)
	fails(v, err, "/p: no such query")
	v, err = r.Instant(t.Context(), nil, "page", at)
	fails(v, err, "answers 200 OK, and not as an API of this kind")
}
