package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

type fakeTargets struct{}

func (fakeTargets) Targets() []scrape.TargetStatus {
	return []scrape.TargetStatus{{
		Pool: "node", URL: "http://localhost:9100/metrics", Health: scrape.HealthBad, LastError: "refused",
		Discovered: labels.FromStrings("__address__", "localhost:9100"), Labels: labels.FromStrings("job", "node"),
		Interval: 15 * time.Second, Timeout: 10 * time.Second, LastDuration: 1500 * time.Millisecond,
	}}
}

func (fakeTargets) Dropped() map[string]scrape.DroppedTargets {
	return map[string]scrape.DroppedTargets{"node": {Count: 3, Discovered: []labels.Labels{labels.FromStrings("__address__", "x")}}}
}
func (fakeTargets) Pools() []string { return []string{"node"} }
func (fakeTargets) Metadata() []scrape.TargetMetadata {
	counter := sample.Metadata{Type: sample.TypeCounter, Help: "h"}
	return []scrape.TargetMetadata{
		{Pool: "node", Labels: labels.FromStrings("job", "node"), Metrics: []scrape.MetricMetadata{{Metric: "a_total", Metadata: counter}}},
		{Pool: "api", Labels: labels.FromStrings("job", "api"), Metrics: []scrape.MetricMetadata{
			{Metric: "a_total", Metadata: counter}, {Metric: "b", Metadata: sample.Metadata{Type: sample.TypeGauge}},
		}},
	}
}

type fakePlugins struct{}

func (fakePlugins) Plugins() []plugin.Info { return nil }

// newAPI returns a handler over the series up{job="api"} and up{job="node"}, 1 from 0 s to 600 s, every 10 s.
func newAPI(t *testing.T) http.Handler {
	t.Helper()
	store := storagetest.NewStore()
	app := store.Appender()
	for s := int64(0); s <= 600; s += 10 {
		entries := []storage.Entry{
			{Labels: labels.FromStrings("__name__", "up", "job", "api"), T: s * 1000, V: 1},
			{Labels: labels.FromStrings("__name__", "up", "job", "node"), T: s * 1000, V: 1},
		}
		if err := app.Append(t.Context(), entries, make([]storage.Outcome, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	external := &url.URL{Scheme: "https", Host: "mon.example:9090"}
	return New(Options{
		Engine: newEngine(t), Storage: store, Parser: parser.New(parser.Options{}), Scrape: fakeTargets{}, Plugins: fakePlugins{}, Rules: twoGroups(),
		ExternalURL: func() *url.URL { return external },
		Config:      func() string { return "global: {}\n" },
		Flags:       map[string]string{"config.file": "x"},
		Runtime:     func() RuntimeInfo { return RuntimeInfo{} },
		CORSOrigin:  regexp.MustCompile("^(?:.*)$"),
		Ready:       func() bool { return true },
		Now:         func() time.Time { return time.Unix(300, 0) },
		Logger:      slog.New(slog.DiscardHandler),
	})
}

func newEngine(t *testing.T) *promql.Engine {
	t.Helper()
	engine, err := promql.New(promql.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// call makes a request, by POST if there is a form, and returns status and body.
func call(t *testing.T, h http.Handler, path, form string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if form != "" {
		r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("%s: content type is %q", path, ct)
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s: not JSON: %s", path, w.Body)
	}
	return w.Code, w.Body.String()
}

func TestAnswers(t *testing.T) {
	h := newAPI(t)
	check := func(path, form, want string) {
		t.Helper()
		status, body := call(t, h, path, form)
		if want = `{"status":"success","data":` + want; status != 200 || body != want+"}" && !strings.HasPrefix(body, strings.TrimSuffix(want, "…")) {
			t.Errorf("%s\n got %d %s\nwant %s}", path, status, body, want)
		}
	}
	check("/query?query=1%2B1&time=4", "", `{"resultType":"scalar","result":[4,"2"]}`)
	check("/query", "query=up&time=300", `{"resultType":"vector","result":[`+
		`{"metric":{"__name__":"up","job":"api"},"value":[300,"1"]},{"metric":{"__name__":"up","job":"node"},"value":[300,"1"]}]}`)
	check("/query?query=sum(up)", "", `{"resultType":"vector","result":[{"metric":{},"value":[300,"2"]}]}`)
	check("/query?query=up%7Bjob%3D%22api%22%7D%5B20s%5D", "",
		`{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"api"},"values":[[290,"1"],[300,"1"]]}]}`)
	check("/query_range", "query=sum(up)&start=0&end=20&step=10", `{"resultType":"matrix","result":[{"metric":{},"values":[[0,"2"],[10,"2"],[20,"2"]]}]}`)
	check("/query?query=up&stats=true", "", `{"resultType":"vector"…`)
	check("/format_query?query=sum(up)by(job)", "", `"sum by (job) (up)"`)
	check("/series?match[]=up", "", `[{"__name__":"up","job":"api"},{"__name__":"up","job":"node"}]`)
	check("/series", "match[]=up{job=\"api\"}&match[]=up{job=~\"a.*\"}", `[{"__name__":"up","job":"api"}]`)
	check("/series?match[]=nothing", "", `[]`)
	check("/labels", "", `["__name__","job"]`)
	check("/labels?match[]=nothing", "", `[]`)
	check("/label/job/values", "", `["api","node"]`)
	check("/label/job/values?limit=9223372036854775807", "", `["api","node"]`)
	check("/label/job/values?limit=1", "", `["api"],"warnings":["results truncated due to limit"]`)
	check("/label/U__job/values", "", `["api","node"]`)
	check("/label/job/values?start=1000000", "", `[]`)
	check("/metadata", "", `{"a_total":[{"type":"counter","help":"h","unit":""}],"b":[{"type":"gauge","help":"","unit":""}]}`)
	check("/metadata?metric=b", "", `{"b":[{"type":"gauge","help":"","unit":""}]}`)
	check("/metadata?limit=0", "", `{}`)
	check("/targets/metadata?match_target=%7Bjob%3D%22api%22%7D&metric=b", "", `[{"target":{"job":"api"},"type":"gauge","help":"","unit":""}]`)
	check("/targets/metadata?limit=1", "", `[{"target":{"job":"node"},"metric":"a_total","type":"counter","help":"h","unit":""}]`)
	check("/targets/metadata?metric=none", "", `[]`)
	check("/label/job/values?start=5&end=1", "", `[]`)
	check("/labels?start=5&end=1", "", `[]`)
	check("/series?match[]=up&start=5&end=1", "", `[]`)
	check("/query?query=1&time=1&stats=some", "", `{"resultType":"scalar","result":[1,"1"],"stats":…`)
	check("/targets?state=active", "", `{"activeTargets":[{"discoveredLabels":{"__address__":"localhost:9100"},"labels":{"job":"node"},`+
		`"scrapePool":"node","scrapeUrl":"http://localhost:9100/metrics","globalUrl":"http://mon.example:9100/metrics","lastError":"refused",`+
		`"lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":1.5,"health":"down","scrapeInterval":"15s","scrapeTimeout":"10s"}],`+
		`"droppedTargets":[],"droppedTargetCounts":null}`)
	check("/targets?state=ACTIVE", "", `{"activeTargets":[{"discoveredLabels"…`)
	check("/targets?state=none", "", `{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}`)
	check("/targets?state=dropped", "", `{"activeTargets":[],"droppedTargets":[{"discoveredLabels":{"__address__":"x"},"scrapePool":"node"}],"droppedTargetCounts":{"node":3}}`)
	check("/scrape_pools", "", `{"scrapePools":["node"]}`)
	check("/plugins", "", `{"plugins":[]}`)
	check("/status/config", "", `{"yaml":"global: {}\n"}`)
	check("/status/flags", "", `{"config.file":"x"}`)
}

func TestErrors(t *testing.T) {
	h := newAPI(t)
	check := func(path string, wantStatus int, kind errorType, text string) {
		t.Helper()
		status, body := call(t, h, path, "")
		var got struct{ Status, ErrorType, Error string }
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if status != wantStatus || got.Status != "error" || got.ErrorType != string(kind) || !strings.Contains(got.Error, text) {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
	check("/query?query=", 400, typeBadData, `invalid parameter "query": unknown position: parse error: no expression found in input`)
	check("/query?query=sum(", 400, typeBadData, `invalid parameter "query": 1:5: parse error: `)
	check("/query?query=up&time=x", 400, typeBadData, `invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp`)
	check("/query?query=up&timeout=x", 400, typeBadData, `invalid parameter "timeout"`)
	check("/query?query=up&limit=-1", 400, typeBadData, "limit must be non-negative")
	check("/query?query=label_replace(up,%22a%22,%22b%22,%22c%22,%22(%22)", 422, typeExecution, "regular expression")
	check("/query_range?query=up&start=10&end=0&step=1", 400, typeBadData, "end timestamp must not be before start time")
	check("/query_range?query=up&start=0&end=10&step=0", 400, typeBadData, "zero or negative query resolution step widths are not accepted")
	check("/query_range?query=up&start=0&end=11001&step=1", 400, typeBadData, "exceeded maximum resolution of 11,000 points per timeseries")
	check("/query_range?query=up&start=0&end=1", 400, typeBadData, `invalid parameter "step": cannot parse "" to a valid duration`)
	check("/series", 400, typeBadData, "no match[] parameter provided")
	check("/series?match[]=%7B%7D", 400, typeBadData, `invalid parameter "match[]"`)
	check("/series?match[]=up&start=x", 400, typeBadData, `invalid parameter "start": invalid time value for 'start'`)
	check("/labels?start=x", 400, typeBadData, `invalid parameter "start": invalid time value for 'start'`)
	check("/labels?match[]=%7B%7D", 400, typeBadData, "match[] must contain at least one non-empty matcher")
	check("/query_range?query=1&start="+minTime.Format(time.RFC3339)+"&end=1&step=1e9", 400, typeBadData, "exceeded maximum resolution")
	check("/metadata?limit=x", 400, typeBadData, "limit must be a number")
}

func TestMissingEndpoint(t *testing.T) {
	h := New(Options{Ready: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/never/heard/of", nil))
	want := "404 page not found: this version has no endpoint /api/v1/never/heard/of\n"
	if body := w.Body.String(); w.Code != http.StatusNotFound || body != want {
		t.Errorf("got %d %q, want 404 %q", w.Code, body, want)
	}
}

func TestVary(t *testing.T) {
	h := New(Options{Ready: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Accept-Encoding")
	h.ServeHTTP(w, httptest.NewRequest(http.MethodOptions, "/query", nil))
	if got, want := w.Header().Values("Vary"), []string{"Accept-Encoding", "Origin"}; !slices.Equal(got, want) {
		t.Errorf("got Vary %q, want %q", got, want)
	}
}

func TestNotReady(t *testing.T) {
	h := New(Options{Ready: func() bool { return false }, Logger: slog.New(slog.DiscardHandler)})
	if status, body := call(t, h, "/query?query=1", ""); status != 500 || !strings.Contains(body, `"errorType":"unavailable"`) {
		t.Errorf("got %d %s", status, body)
	}
}

func TestCancelledQuery(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	newAPI(t).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/query?query=up", nil))
	if w.Code != statusCanceled {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestCORS(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/query", nil)
	r.Header.Set("Origin", "https://grafana.example")
	w := httptest.NewRecorder()
	newAPI(t).ServeHTTP(w, r)
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://grafana.example" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

func TestMethods(t *testing.T) {
	h := newAPI(t)
	check := func(method, path string, status int, allow string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		if w.Code != status || w.Header().Get("Allow") != allow {
			t.Errorf("%s %s: got %d, allow %q", method, path, w.Code, w.Header().Get("Allow"))
		}
	}
	check(http.MethodPut, "/query?query=1", 405, "GET, OPTIONS, POST")
	check(http.MethodHead, "/labels", 405, "GET, OPTIONS, POST")
	check(http.MethodPost, "/label/job/values", 405, "GET, OPTIONS")
	check(http.MethodPost, "/nothing", 404, "")
	check(http.MethodOptions, "/nothing", 204, "")
}

// TestContentTypeWithMistake checks that a form is read whose content type says more than makes sense.
func TestContentTypeWithMistake(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/query", strings.NewReader("query=1%2B1"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset")
	w := httptest.NewRecorder()
	newAPI(t).ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"2"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestMultipartForm(t *testing.T) {
	body := "--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\n1+1\r\n--x--\r\n"
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/query", strings.NewReader(body))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	w := httptest.NewRecorder()
	newAPI(t).ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"2"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
