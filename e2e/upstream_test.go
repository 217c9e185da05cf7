//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startPrometheus starts Debian's Prometheus 2.42 with a configuration, on a data directory.
func startPrometheus(t *testing.T, config, data string, args ...string) *server {
	t.Helper()
	path := component(t, "prometheus", "prometheus")
	s := &server{t: t, dir: t.TempDir()}
	s.config = filepath.Join(s.dir, "prometheus.yml")
	write(t, s.config, config)
	address := "127.0.0.1:" + freePort(t)
	s.process = launch(t, s.dir, path, append([]string{
		"--config.file=prometheus.yml", "--storage.tsdb.path=" + data, "--web.listen-address=" + address,
		"--web.enable-lifecycle", "--storage.tsdb.retention.time=10d",
	}, args...)...)
	s.client = client{t: t, base: "http://" + address}
	s.awaitStatus("/-/ready", http.StatusOK, s.process)
	return s
}

// Queries whose answers have to be equal. No sample lies on a window's edge at the times that are asked for: since
// version 3, which we follow, a window is open on its left, and was closed before.
var (
	equalQueries = []string{
		`e2e_moment`,
		`e2e_requests_total`,
		`e2e_requests_total{method=~"p.*",code!="404"}`,
		`e2e_temperature_celsius{room="größe \"L\"\n"}`,
		`e2e_odd`,
		`e2e_gone`,
		`e2e_rare`,
		`up`,
		`scrape_samples_scraped{job="nowhere"}`,
		`e2e_moment offset 10m`,
		`e2e_moment @ start() + e2e_moment @ end()`,
		`rate(e2e_requests_total[5m])`,
		`irate(e2e_requests_total[5m])`,
		`increase(e2e_requests_total{code="200"}[10m])`,
		`delta(e2e_temperature_celsius[5m])`,
		`deriv(e2e_temperature_celsius[5m])`,
		`resets(e2e_requests_total[30m])`,
		`changes(e2e_temperature_celsius[10m])`,
		`sum(rate(e2e_requests_total[5m]))`,
		`sum by (method) (e2e_requests_total)`,
		`avg without (code, instance) (e2e_requests_total)`,
		`min(e2e_temperature_celsius) - max(e2e_temperature_celsius)`,
		`count(e2e_requests_total) by (code)`,
		`group by (job) (e2e_requests_total)`,
		`stddev(e2e_requests_total)`,
		`quantile(0.3, e2e_requests_total)`,
		`count_values("value", e2e_odd)`,
		`topk(2, e2e_requests_total > 0)`,
		`bottomk by (method) (1, e2e_requests_total > 0)`,
		`sort_desc(e2e_temperature_celsius)`,
		`avg_over_time(e2e_temperature_celsius[7m])`,
		`quantile_over_time(0.9, e2e_temperature_celsius[10m])`,
		`stdvar_over_time(e2e_temperature_celsius[10m])`,
		`last_over_time(e2e_gone[40m])`,
		`present_over_time(e2e_gone[20m])`,
		`count_over_time(e2e_rare[10m])`,
		`max_over_time(rate(e2e_requests_total{code="200"}[2m] offset 13s)[10m:1m])`,
		`histogram_quantile(0.9, rate(e2e_latency_seconds_bucket[5m]))`,
		`rate(e2e_latency_seconds_sum[5m]) / rate(e2e_latency_seconds_count[5m])`,
		`e2e_requests_total{code="500"} / ignoring(code) e2e_requests_total{code="200"}`,
		`e2e_requests_total / on (method) group_left sum by (method) (e2e_requests_total)`,
		`e2e_requests_total{code="200"} > bool 500`,
		`e2e_requests_total > 500`,
		`e2e_requests_total{method="get"} and on (code) e2e_requests_total{method="put"} > 300`,
		`e2e_requests_total{method="get"} or e2e_moment`,
		`e2e_requests_total unless on (method) e2e_requests_total{method="get"}`,
		`2 ^ 0.5 + -e2e_moment % 7`,
		`sum by (room) (e2e_temperature_celsius atan2 e2e_temperature_celsius)`,
		`label_replace(e2e_requests_total, "class", "${1}xx", "code", "(.).*")`,
		`label_join(e2e_requests_total, "both", "-", "method", "code")`,
		`absent(e2e_nothing{a="b"})`,
		`absent_over_time(e2e_gone[5m])`,
		`vector(time())`,
		`scalar(e2e_moment)`,
		`clamp(e2e_temperature_celsius, -5, 5)`,
		`round(e2e_temperature_celsius, 0.5)`,
		`sgn(e2e_temperature_celsius)`,
		`ln(e2e_moment)`,
		`timestamp(e2e_rare)`,
		`hour(vector(time())) * 60 + minute(vector(time()))`,
		`predict_linear(e2e_moment[10m], 600)`,
		`0x1F + Inf`,
	}
	instantOnly = []string{`e2e_moment[3m]`, `rate(e2e_moment[2m] offset 13s)[5m:1m]`, `"text"`}
)

// Requests that fail in the same way: the same status, the same kind of error, the same text. Of those in rewritten the
// text differs: version 3 says it in other words, or lists series in another order.
var (
	equalErrors = []request{
		{"/query", url.Values{"query": {"sum("}}},
		{"/query", url.Values{"query": {"e2e_moment{"}}},
		{"/query", url.Values{"query": {"rate(e2e_moment)"}}},
		{"/query", url.Values{"query": {"nothing_like_it(1)"}}},
		{"/query", url.Values{"query": {"e2e_moment"}, "timeout": {"soon"}}},
		{"/query_range", url.Values{"query": {"up"}, "start": {"x"}, "end": {"1"}, "step": {"1"}}},
		{"/query_range", url.Values{"query": {"up"}, "start": {"1"}, "end": {"x"}, "step": {"1"}}},
		{"/query_range", url.Values{"query": {"up"}, "start": {"2"}, "end": {"1"}, "step": {"1"}}},
		{"/query_range", url.Values{"query": {"up"}, "start": {"1"}, "end": {"2"}, "step": {"0"}}},
		{"/query_range", url.Values{"query": {"up"}, "start": {"1"}, "end": {"2"}, "step": {"-5"}}},
		{"/query_range", url.Values{"query": {"up"}, "start": {"1"}, "end": {"2"}}},
		{"/query_range", url.Values{"query": {"up"}, "start": {"0"}, "end": {"11001"}, "step": {"1"}}},
		{"/series", nil},
		{"/series", url.Values{"match[]": {"{"}}},
		{"/series", url.Values{"match[]": {`{a=""}`}}},
	}
	rewritten = []request{
		{"/query", url.Values{"query": {""}}},
		{"/query", url.Values{"query": {"e2e_moment"}, "time": {"yesterday"}}},
		{"/query", url.Values{"query": {"up * on (job) group_left {job='history'}"}}},
		{"/query_range", url.Values{"query": {"up[1m]"}, "start": {"1"}, "end": {"2"}, "step": {"1"}}},
		{"/series", url.Values{"match[]": {"up"}, "start": {"x"}}},
		{"/labels", url.Values{"match[]": {"{"}}},
		{"/labels", url.Values{"start": {"x"}}},
		{"/label/job/values", url.Values{"match[]": {"sum("}}},
	}
)

// request is a question to the API.
type request struct {
	path string
	form url.Values
}

// TestLikePrometheus: the same target, the same configuration, the same questions, the same answers.
func TestLikePrometheus(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	theirs := startPrometheus(t, h.job("/prometheus"), t.TempDir())
	ours := start(t, options{config: h.job("/narthex")})
	h.tell(theirs.client, "/prometheus")
	h.tell(ours.client, "/narthex")
	check := func(path string, form url.Values) {
		t.Helper()
		if err := differ(ours.client, theirs.client, request{path, form}, true); err != nil {
			t.Error(err)
		}
	}
	// No sample and no edge of a window meet at these times, nor in steps of 45 seconds from the first.
	times := []time.Time{h.start.Add(17 * time.Second), h.start.Add(26*time.Minute + 7*time.Second), h.end().Add(7 * time.Second)}
	for _, query := range append(equalQueries, instantOnly...) {
		for _, at := range times {
			check("/query", url.Values{"query": {query}, "time": {seconds(at)}})
		}
	}
	for _, query := range equalQueries {
		check("/query_range", url.Values{"query": {query}, "start": {seconds(times[0])}, "end": {seconds(times[2])}, "step": {"45"}})
	}
	for _, match := range [][]string{
		{"e2e_requests_total"}, {`{__name__=~"e2e_.*"}`, "up"}, {`{room!=""}`}, {"e2e_nothing"},
	} {
		check("/series", url.Values{"match[]": match, "start": {seconds(h.start)}, "end": {seconds(h.end())}})
		check("/series", url.Values{"match[]": match})
		check("/labels", url.Values{"match[]": match})
		check("/label/__name__/values", url.Values{"match[]": match})
		check("/label/room/values", url.Values{"match[]": match})
	}
	check("/series", url.Values{"match[]": {"e2e_gone"}, "start": {seconds(times[1])}, "end": {seconds(times[2])}})
	check("/labels", nil)
	check("/label/code/values", nil)
	check("/label/nothing/values", nil)
	for _, r := range []request{{"/metadata", nil}, {"/metadata", url.Values{"metric": {"e2e_moment"}}}} {
		// What a target has stopped to expose is forgotten after ten more scrapes.
		eventually(t, 5*time.Second, "metadata is equal", func() error { return differ(ours.client, theirs.client, r, true) })
	}
	for _, r := range equalErrors {
		check(r.path, r.form)
	}
	for _, r := range rewritten {
		if err := differ(ours.client, theirs.client, r, false); err != nil {
			t.Error(err)
		}
	}
}

// differ asks two servers the same and returns an error unless status, kind of error and data are equal, and, if that is
// asked for, the text of the error too.
func differ(ours, theirs client, r request, texts bool) error {
	status, got := ours.ask(http.MethodGet, r.path, r.form)
	wantStatus, want := theirs.ask(http.MethodGet, r.path, r.form)
	if status != wantStatus || got.Status != want.Status || got.ErrorType != want.ErrorType || texts && got.Error != want.Error {
		return fmt.Errorf("%s %v\ngot  %d %s %s\nwant %d %s %s", r.path, r.form, status, got.ErrorType, got.Error, wantStatus, want.ErrorType, want.Error)
	}
	query := r.form.Get("query")
	if !alike(ordered(query, got.Data), ordered(query, want.Data)) {
		return fmt.Errorf("%s %v\ngot  %.2000s\nwant %.2000s", r.path, r.form, got.Data, want.Data)
	}
	return nil
}

// ordered decodes data and sorts what has no order: the series of a result, unless the query is about order.
func ordered(query string, data json.RawMessage) (decoded any) {
	if err := json.Unmarshal(data, &decoded); err != nil {
		return string(data)
	}
	object, _ := decoded.(map[string]any)
	result, _ := object["result"].([]any)
	if kind := object["resultType"]; kind == "matrix" || kind == "vector" && !strings.HasPrefix(query, "sort") {
		slices.SortFunc(result, func(a, b any) int {
			return strings.Compare(fmt.Sprint(a.(map[string]any)["metric"]), fmt.Sprint(b.(map[string]any)["metric"]))
		})
	}
	return decoded
}

// alike compares decoded JSON. Numbers in strings, the values of samples, may differ in the last digits: version 3 sums
// up in another order, with compensation.
func alike(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, alike)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !alike(v, w) {
				return false
			}
		}
		return true
	case string:
		b, ok := b.(string)
		if a == b || !ok {
			return ok
		}
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		return errX == nil && errY == nil && math.Abs(x-y) <= 1e-12*max(math.Abs(x), math.Abs(y))
	default:
		return reflect.DeepEqual(a, b)
	}
}
