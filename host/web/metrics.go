package web

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics count requests under upstream's names.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	size     *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prometheus_http_requests_total",
			Help: "HTTP requests by handler and status code.",
		}, []string{"handler", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "prometheus_http_request_duration_seconds",
			Help:    "Time to answer HTTP requests, by handler.",
			Buckets: []float64{.1, .2, .4, 1, 3, 8, 20, 60, 120},
		}, []string{"handler"}),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "prometheus_http_response_size_bytes",
			Help:    "Size of HTTP responses, by handler.",
			Buckets: prometheus.ExponentialBuckets(100, 10, 8),
		}, []string{"handler"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.size} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) instrument(path string, h http.Handler) http.Handler {
	if path == "/{$}" {
		path = "/"
	}
	byHandler := prometheus.Labels{"handler": path}
	return promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(byHandler),
		promhttp.InstrumentHandlerDuration(m.duration.MustCurryWith(byHandler),
			promhttp.InstrumentHandlerResponseSize(m.size.MustCurryWith(byHandler), h)))
}

// instrumentBelow counts the requests below a path by their own paths, with what varies in them replaced.
func (m *metrics) instrumentBelow(path, prefix string, h http.Handler) http.Handler {
	byPath := map[string]http.Handler{}
	for _, p := range []string{
		"/query", "/query_range", "/format_query", "/series", "/labels", "/label/:name/values", "/targets",
		"/targets/metadata", "/scrape_pools", "/metadata", "/plugins", "/status/config", "/status/flags",
		"/status/runtimeinfo", "/status/buildinfo", "/status/walreplay", "/status/self_metrics", "/features", "/notifications",
		"/notifications/live", "/targets/relabel_steps", "/write", "/read", "/*",
	} {
		byPath[p] = m.instrument(path+p, h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := strings.TrimPrefix(r.URL.Path, prefix+path)
		if strings.HasPrefix(p, "/label/") {
			p = "/label/:name/values"
		}
		if handler, ok := byPath[p]; ok {
			handler.ServeHTTP(w, r)
			return
		}
		byPath["/*"].ServeHTTP(w, r)
	})
}
