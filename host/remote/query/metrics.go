package query

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of all remotes.
type metrics struct {
	queries  *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
	duration *prometheus.HistogramVec
}

// remoteKey is what the metrics of a remote are told apart by.
type remoteKey struct{ name, url string }

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prometheus_remote_read_client_queries_total", Help: "The total number of remote read queries.",
		}, []string{"remote_name", "url", "response_type", "code"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "prometheus_remote_read_client_queries", Help: "The number of in-flight remote read queries.",
		}, []string{"remote_name", "url"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                            "prometheus_remote_read_client_request_duration_seconds",
			Help:                            "How long remote read requests take, up to the head of the answer if that is streamed.",
			Buckets:                         append(slices.Clip(prometheus.DefBuckets), 25, 60),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"remote_name", "url", "response_type"}),
	}
	for _, c := range []prometheus.Collector{m.queries, m.inFlight, m.duration} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of remote read: %w", err)
		}
	}
	return m, nil
}

// exchange makes the metrics of the remotes that there are from now on, and drops those of the others. It is for one goroutine at
// a time.
func (m *metrics) exchange(old, now []*remote) {
	known := map[remoteKey]bool{}
	for _, r := range now {
		known[r.key()] = true
		r.inFlight = m.inFlight.WithLabelValues(r.name, r.url)
	}
	for _, r := range old {
		if known[r.key()] {
			continue
		}
		r.gone.Store(true)
		gone := prometheus.Labels{"remote_name": r.name, "url": r.url}
		m.queries.DeletePartialMatch(gone)
		m.inFlight.DeletePartialMatch(gone)
		m.duration.DeletePartialMatch(gone)
	}
}

// The kinds of answers.
const (
	kindSampled     = "sampled"
	kindChunked     = "chunked"
	kindUnsupported = "unsupported"
	kindError       = "error"
)

// answered counts an answer.
func (r *remote) answered(kind, code string) {
	if !r.gone.Load() {
		r.storage.metrics.queries.WithLabelValues(r.name, r.url, kind, code).Inc()
	}
}

// took notes how long it took until an answer began.
func (r *remote) took(kind string, d time.Duration) {
	if !r.gone.Load() {
		r.storage.metrics.duration.WithLabelValues(r.name, r.url, kind).Observe(d.Seconds())
	}
}

// statusCode formats a status.
func statusCode(code int) string { return strconv.Itoa(code) }
