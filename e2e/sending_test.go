//go:build e2e && linux

package e2e

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// TestSendsToPrometheus has the server scrape a program with all kinds of metrics and write what it gets to Prometheus, which
// then answers what the server answers, from samples to the end of series.
func TestSendsToPrometheus(t *testing.T) {
	t.Parallel()
	other := startPrometheus(t, "global: {}", filepath.Join(t.TempDir(), "data"),
		"--web.enable-remote-write-receiver", "--enable-feature=native-histograms,exemplar-storage")
	target, stopped := richTarget(t)
	s := start(t, options{
		config: "global: {scrape_interval: 200ms, external_labels: {from: narthex}}\nremote_write: [{url: " + other.base + "/api/v1/write, send_exemplars: true, send_native_histograms: true,\n" +
			"  write_relabel_configs: [{source_labels: [__name__], regex: go_.*, action: drop}], queue_config: {batch_send_deadline: 100ms}, metadata_config: {send_interval: 1s}}]\n" +
			"scrape_configs:\n  - {job_name: rich, scrape_timeout: 200ms, scrape_native_histograms: true, static_configs: [{targets: ['" + target + "']}]}\n",
		args: []string{"--enable-feature=exemplar-storage"},
	})
	other.await(30*time.Second, `count_over_time(up{job="rich", from="narthex"}[1m]) > 10`)
	other.await(10*time.Second, `histogram_count(rich_native_seconds{job="rich"}) == 3`)
	other.await(10*time.Second, `rich_requests_total{job="rich"} == 7`)
	if found := other.query(`{__name__=~"go_.*"}`); len(found) != 0 {
		t.Errorf("dropped series are there: %v", found)
	}
	eventually(t, 10*time.Second, "the exemplar is there", func() error {
		var found []struct {
			Exemplars []struct{ Labels map[string]string }
		}
		other.get("/query_exemplars", url.Values{"query": {"rich_requests_total"}, "start": {"0"}, "end": {"9999999999"}}, &found)
		if len(found) == 0 || found[0].Exemplars[0].Labels["trace_id"] != "abc" {
			return errors.New("it is not")
		}
		return nil
	})
	stopped.Store(true)
	s.await(20*time.Second, `up{job="rich"} == 0`)
	other.await(20*time.Second, `up{job="rich"} == 0`)
	other.await(20*time.Second, `absent(rich_requests_total)`)
	other.await(20*time.Second, `absent(rich_native_seconds)`)
	s.await(20*time.Second, `absent(rich_native_seconds)`)
	_, body := s.do(http.MethodGet, "/metrics", nil)
	for _, line := range []string{"prometheus_remote_storage_samples_failed_total{", "prometheus_remote_storage_histograms_failed_total{", "prometheus_remote_storage_exemplars_failed_total{", "prometheus_remote_storage_metadata_failed_total{"} {
		_, rest, found := strings.Cut(body, "\n"+line)
		rest, _, _ = strings.Cut(rest, "\n")
		if !found || !strings.HasSuffix(rest, " 0") {
			t.Errorf("%s…: %s", line, rest)
		}
	}
	s.stop()
}

// richTarget is a program with a counter that has an exemplar and a native histogram. It answers no more once stopped is true.
func richTarget(t *testing.T) (address string, stopped *atomic.Bool) {
	t.Helper()
	reg := prometheus.NewRegistry()
	requests := prometheus.NewCounter(prometheus.CounterOpts{Name: "rich_requests_total", Help: "Requests."})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "rich_native_seconds", Help: "Seconds.", NativeHistogramBucketFactor: 1.1})
	reg.MustRegister(requests, native, collectors.NewGoCollector())
	requests.(prometheus.ExemplarAdder).AddWithExemplar(7, prometheus.Labels{"trace_id": "abc"})
	for _, v := range []float64{0.1, 1, 100} {
		native.Observe(v)
	}
	stopped = &atomic.Bool{}
	h := promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stopped.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), stopped
}
