//go:build e2e && linux

package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGrafana sends what Grafana's Prometheus data source sends, in its order, and checks the shapes that it reads.
func TestGrafana(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	s := start(t, options{config: h.job("/")})
	h.tell(s.client, "/")
	begin, end := seconds(h.start), seconds(h.end())

	// Save and test: the health check, then what kind of server it is.
	status, e := s.ask(http.MethodPost, "/query", url.Values{"query": {"1+1"}, "time": {"4"}})
	if status != http.StatusOK || string(e.Data) != `{"resultType":"scalar","result":[4,"2"]}` {
		t.Errorf("health check: %d %s", status, e.Data)
	}
	var build map[string]any
	s.get("/status/buildinfo", nil, &build)
	if version, _ := build["version"].(string); !regexp.MustCompile(`^[3-9]\.\d+\.\d+$`).MatchString(version) {
		t.Errorf("buildinfo says version %q", version)
	}
	if _, ok := build["features"]; ok {
		t.Error("buildinfo has features: Grafana takes the server for Mimir")
	}

	// The query builder: metrics, labels, values.
	window := func(more url.Values) url.Values {
		more.Set("start", begin)
		more.Set("end", end)
		more.Set("limit", "40000")
		return more
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		var names []string
		s.decode(method, "/labels", window(url.Values{"match[]": {`{__name__="e2e_requests_total"}`}}), &names)
		if want := []string{"__name__", "code", "instance", "job", "method"}; !slices.Equal(names, want) {
			t.Errorf("%s labels: %v", method, names)
		}
		var found []map[string]string
		s.decode(method, "/series", window(url.Values{"match[]": {`e2e_requests_total{method="get"}`}}), &found)
		if len(found) != 3 || found[0]["__name__"] != "e2e_requests_total" || found[0]["job"] != "history" {
			t.Errorf("%s series: %v", method, found)
		}
	}
	var metrics []string
	s.get("/label/__name__/values", window(url.Values{}), &metrics)
	if !slices.IsSorted(metrics) || !slices.Contains(metrics, "e2e_latency_seconds_bucket") || !slices.Contains(metrics, "up") {
		t.Errorf("metric names: %v", metrics)
	}
	var codes []string
	s.get("/label/code/values", window(url.Values{"match[]": {`{__name__="e2e_requests_total",method="put"}`}}), &codes)
	if !slices.Equal(codes, []string{"200", "404", "500"}) {
		t.Errorf("values of code: %v", codes)
	}
	var metadata map[string][]struct{ Type, Help, Unit string }
	s.get("/metadata", url.Values{"limit": {"40000"}}, &metadata)
	if m := metadata["e2e_requests_total"]; len(m) != 1 || m[0].Type != "counter" || m[0].Help != "Part of the history." {
		t.Errorf("metadata: %v", metadata)
	}

	// A panel: a range query by POST, with fractions of seconds.
	form := url.Values{
		"query": {`sum by (method) (rate(e2e_requests_total{code!="500"}[1m0s]))`}, "step": {"15"},
		"start": {begin + "5"}, "end": {end + "5"},
	}
	var panel struct {
		ResultType string
		Result     []series
	}
	s.decode(http.MethodPost, "/query_range", form, &panel)
	if panel.ResultType != "matrix" || len(panel.Result) != 3 || len(panel.Result[0].Values) < 150 || len(panel.Result[0].Metric) != 1 {
		t.Errorf("panel: %s with %d series", panel.ResultType, len(panel.Result))
	}
	var table struct {
		ResultType string
		Result     []series
	}
	s.decode(http.MethodPost, "/query", url.Values{"query": {"e2e_temperature_celsius"}, "time": {end}}, &table)
	if table.ResultType != "vector" || len(table.Result) != 3 || table.Result[0].Value.t != h.end().UnixMilli() {
		t.Errorf("table: %+v", table)
	}

	// Values that JSON has no numbers for, and those that need all digits.
	_, e = s.ask(http.MethodPost, "/query", url.Values{"query": {"e2e_odd"}, "time": {end}})
	for _, want := range []string{`"NaN"`, `"+Inf"`, `"5e-324"`, `"-0.3333333333333333"`} {
		if !strings.Contains(string(e.Data), want) {
			t.Errorf("%s is not in %s", want, e.Data)
		}
	}

	// A mistake in the query editor.
	status, e = s.ask(http.MethodPost, "/query_range", url.Values{"query": {"rate(e2e_moment"}, "start": {begin}, "end": {end}, "step": {"15"}})
	if status != http.StatusBadRequest || e.Status != "error" || e.ErrorType != "bad_data" || !strings.Contains(e.Error, "parse error") {
		t.Errorf("mistake: %d %+v", status, e)
	}
	for _, path := range []string{"/targets", "/status/config", "/status/flags", "/status/runtimeinfo"} {
		var data map[string]any
		s.get(path, nil, &data)
	}
}
