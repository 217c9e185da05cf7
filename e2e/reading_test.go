//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
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
