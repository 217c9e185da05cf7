package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestStatusAndSizeAreCounted by the path of the handler.
func TestStatusAndSizeAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := newMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(h http.HandlerFunc) *httptest.ResponseRecorder {
		t.Helper()
		rec := httptest.NewRecorder()
		m.instrument("/x", h).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/x", nil))
		return rec
	}
	ask(func(http.ResponseWriter, *http.Request) {})
	ask(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "missing")
	})
	flushed := ask(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "some")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	})
	if !flushed.Flushed {
		t.Error("nothing is sent before the end")
	}
	want := `# HELP prometheus_http_requests_total HTTP requests by handler and status code.
# TYPE prometheus_http_requests_total counter
prometheus_http_requests_total{code="200",handler="/x"} 2
prometheus_http_requests_total{code="404",handler="/x"} 1
# HELP prometheus_http_response_size_bytes Size of HTTP responses, by handler.
# TYPE prometheus_http_response_size_bytes histogram
prometheus_http_response_size_bytes_bucket{handler="/x",le="100"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="1000"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="10000"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="100000"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="1e+06"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="1e+07"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="1e+08"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="1e+09"} 3
prometheus_http_response_size_bytes_bucket{handler="/x",le="+Inf"} 3
prometheus_http_response_size_bytes_sum{handler="/x"} 11
prometheus_http_response_size_bytes_count{handler="/x"} 3
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "prometheus_http_requests_total", "prometheus_http_response_size_bytes"); err != nil {
		t.Error(err)
	}
}

// BenchmarkInstrument is what counting adds to a request.
func BenchmarkInstrument(b *testing.B) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	h := m.instrument("/x", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }))
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil)
	b.ReportAllocs()
	for b.Loop() {
		w.Body.Reset()
		h.ServeHTTP(w, r)
	}
}
