package query

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of all remotes.
type metrics struct {
	queries  *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
	duration *prometheus.HistogramVec
	known    map[remoteKey]bool
}

// remoteKey is what the metrics of a remote are told apart by.
type remoteKey struct{ name, url string }

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	remote := []string{"remote_name", "url"}
	m := &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "prometheus_remote_read_client_queries_total", Help: "The total number of remote read queries.",
		}, append(remote, "response_type", "code")),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "prometheus_remote_read_client_queries", Help: "The number of in-flight remote read queries.",
		}, remote),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                            "prometheus_remote_read_client_request_duration_seconds",
			Help:                            "How long remote read requests take, up to the head of the answer if that is streamed.",
			Buckets:                         append(prometheus.DefBuckets[:len(prometheus.DefBuckets):len(prometheus.DefBuckets)], 25, 60),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, append(remote, "response_type")),
	}
	for _, c := range []prometheus.Collector{m.queries, m.inFlight, m.duration} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of remote read: %w", err)
		}
	}
	return m, nil
}

// keep drops the metrics of remotes that there are no more. It is for one goroutine at a time.
func (m *metrics) keep(remotes []*remote) {
	now := map[remoteKey]bool{}
	for _, r := range remotes {
		now[remoteKey{r.name, r.url}] = true
	}
	for k := range m.known {
		if !now[k] {
			gone := prometheus.Labels{"remote_name": k.name, "url": k.url}
			m.queries.DeletePartialMatch(gone)
			m.inFlight.DeletePartialMatch(gone)
			m.duration.DeletePartialMatch(gone)
		}
	}
	m.known = now
}

// remoteMetrics are those of one remote.
type remoteMetrics struct {
	all  *metrics
	name string
	url  string
}

// begin makes the gauge of the remote, so that it is there before the first query.
func (m *remoteMetrics) begin() { m.inFlight() }

func (m *remoteMetrics) inFlight() prometheus.Gauge {
	return m.all.inFlight.WithLabelValues(m.name, m.url)
}

// answered counts an answer. kind is sampled, chunked, unsupported or error.
func (m *remoteMetrics) answered(kind, code string) {
	m.all.queries.WithLabelValues(m.name, m.url, kind, code).Inc()
}

func (m *remoteMetrics) took(kind string, d time.Duration) {
	m.all.duration.WithLabelValues(m.name, m.url, kind).Observe(d.Seconds())
}

// statusCode formats a status.
func statusCode(code int) string { return strconv.Itoa(code) }
