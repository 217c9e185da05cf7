package host

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// shuffledTarget serves an exemplar, and timestamps that jump back by ten minutes in every other scrape.
func shuffledTarget(t *testing.T) string {
	t.Helper()
	var scrapes atomic.Int64
	begin := time.Now().Add(-time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		at := begin.Add(time.Duration(n) * 10 * time.Millisecond)
		if n%2 == 1 {
			at = at.Add(-10 * time.Minute)
		}
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
		fmt.Fprintf(w, "# TYPE jumps counter\njumps_total %d %.3f # {trace_id=\"t%d\"} 1\n# EOF\n", n, float64(at.UnixMilli())/1000, n)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// TestStorageFollowsTheConfiguration changes the out-of-order window and the number of exemplars by reloads.
func TestStorageFollowsTheConfiguration(t *testing.T) {
	jobs := "scrape_configs:\n" + job("one", shuffledTarget(t))
	s := start(t, jobs)
	s.host.opts.Exemplars = true // As --enable-feature=exemplar-storage; the next reload reads it.
	s.eventually("/api/v1/query?query=jumps_total", `"job":"one"`)
	s.eventually("/metrics", `prometheus_tsdb_head_out_of_order_samples_appended_total{type="float"} 0`)
	if _, body := s.do(http.MethodGet, "/api/v1/query_exemplars?query=jumps_total"); body != `{"status":"success","data":[]}` {
		t.Errorf("exemplars without the feature: %s", body)
	}
	reload := func(storage string) {
		t.Helper()
		s.write(jobs + storage)
		if status, body := s.do(http.MethodPost, "/-/reload"); status != http.StatusOK {
			t.Fatalf("reload answers %d %s", status, body)
		}
	}
	reload("storage:\n  tsdb: {out_of_order_time_window: 1h}\n  exemplars: {max_exemplars: 7}\n")
	s.eventually("/metrics", "prometheus_tsdb_exemplar_max_exemplars 7")
	s.eventually("/api/v1/query_exemplars?query=rate(jumps_total[1m])", `"labels":{"trace_id":"t`)
	s.eventually("/api/v1/query?query="+`count_over_time(jumps_total[5m]%20offset%2010m)%3E3`, `"job":"one"`)
	s.eventually("/metrics", "prometheus_tsdb_exemplar_exemplars_in_storage 7")
	reload("storage:\n  exemplars: {max_exemplars: 0}\n")
	s.eventually("/metrics", "prometheus_tsdb_exemplar_max_exemplars 0")
	s.eventually("/api/v1/query_exemplars?query=jumps_total", `"data":[]`)
	s.eventually("/api/v1/query?query="+`count_over_time(jumps_total[5m]%20offset%2010m)%3E3`, `"job":"one"`)
}
