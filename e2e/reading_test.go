//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPrometheusReads has Prometheus federate from the server and query it by remote read: it gets the same values.
func TestPrometheusReads(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	ours := start(t, options{config: "global: {external_labels: {region: eu}}\n" + h.job("/narthex")})
	h.tell(ours.client, "/narthex")
	address := strings.TrimPrefix(ours.base, "http://")
	// With the same external labels it asks for series of them, and takes them off what it gets.
	theirs := startPrometheus(t, fmt.Sprintf("global: {external_labels: {region: eu}}\nremote_read: [{url: '%s/api/v1/read', read_recent: true}]\nscrape_configs:\n"+
		"  - {job_name: federate, honor_labels: true, metrics_path: /federate, scrape_interval: 500ms, scrape_timeout: 500ms,\n"+
		"     params: {'match[]': ['{__name__=\"up\"}']}, static_configs: [{targets: ['%s']}]}\n", ours.base, address), t.TempDir())
	for _, query := range equalQueries {
		if strings.Contains(query, "up") || strings.Contains(query, "nowhere") || strings.Contains(query, "absent") {
			continue // What Prometheus has of these itself is another thing.
		}
		form := url.Values{"query": {query}, "start": {seconds(h.start.Add(17 * time.Second))}, "end": {seconds(h.end().Add(7 * time.Second))}, "step": {"45"}}
		if err := differ(ours.client, theirs.client, request{"/query_range", form}, true); err != nil {
			t.Error(err)
		}
	}
	theirs.await(20*time.Second, `count_over_time(up{job="history",region="eu"}[1m]) > 2`)
	if n, _ := ours.metric("prometheus_http_requests_total", `code="200",handler="/api/v1/read"`); n < 10 {
		t.Errorf("%v remote reads were answered", n)
	}
	if status, body := ours.do(http.MethodGet, "/federate", url.Values{"match[]": {"-"}}); status != 400 {
		t.Errorf("%d %s", status, body)
	}
}

// TestReadingFromPrometheus has a server without samples of its own read all from Prometheus: both give the same answers. When
// Prometheus is gone, queries say so and go on.
func TestReadingFromPrometheus(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	theirs := startPrometheus(t, "global: {external_labels: {region: eu}}\n"+h.job("/prometheus"), t.TempDir())
	h.tell(theirs.client, "/prometheus")
	config := fmt.Sprintf("global: {external_labels: {region: eu}, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"+
		"remote_read: [{url: '%s/api/v1/read', name: prometheus, remote_timeout: 10s, headers: {X-Test: a}}]\n", theirs.base)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), "groups: [{name: g, rules: [{record: moments, expr: 'count(last_over_time(e2e_moment[1h]))'}]}]\n")
	ours := start(t, options{config: config, dir: dir})
	for _, query := range equalQueries {
		form := url.Values{"query": {query}, "start": {seconds(h.start.Add(17 * time.Second))}, "end": {seconds(h.end().Add(7 * time.Second))}, "step": {"45"}}
		if err := differ(ours.client, theirs.client, request{"/query_range", form}, true); err != nil {
			t.Error(err)
		}
		form = url.Values{"query": {query}, "time": {seconds(h.start.Add(26*time.Minute + 7*time.Second))}}
		if err := differ(ours.client, theirs.client, request{"/query", form}, true); err != nil {
			t.Error(err)
		}
	}
	form := url.Values{"match[]": {`{__name__=~"e2e_.*"}`}, "start": {seconds(h.start)}, "end": {seconds(h.end())}}
	if err := differ(ours.client, theirs.client, request{"/series", form}, true); err != nil {
		t.Error(err)
	}
	if _, e := ours.ask(http.MethodGet, "/labels", nil); !slices.Equal(e.Warnings, []string{"not implemented"}) {
		t.Errorf("names of labels come with warnings %q", e.Warnings)
	}
	ours.await(10*time.Second, `moments == 1`)
	if n, _ := ours.metric("prometheus_remote_read_client_queries_total", `code="200",remote_name="prometheus",response_type="chunked"`); n < 10 {
		t.Errorf("%v queries were answered", n)
	}

	theirs.stop()
	status, e := ours.ask(http.MethodGet, "/query", url.Values{"query": {"e2e_moment or moments"}})
	if status != http.StatusOK || len(e.Warnings) != 1 || !strings.HasPrefix(e.Warnings[0], "remote_read: error sending request: ") || !strings.Contains(string(e.Data), "moments") {
		t.Errorf("without Prometheus: %d, warnings %q, %s", status, e.Warnings, e.Data)
	}
	ours.wantReload("rule_files: [rules.yml]\n")
	if _, e := ours.ask(http.MethodGet, "/query", url.Values{"query": {"moments"}}); len(e.Warnings) != 0 {
		t.Errorf("without remote_read: warnings %q", e.Warnings)
	}
	if _, found := ours.metric("prometheus_remote_read_client_queries_total", ""); found {
		t.Error("metrics of a server that is not read from any more are left")
	}
}
