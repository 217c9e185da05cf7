package notify

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of all senders, by the URL of the Alertmanager.
type metrics struct {
	latencySummary                    *prometheus.SummaryVec
	latencyHistogram                  *prometheus.HistogramVec
	errors, sent, dropped, superseded *prometheus.CounterVec

	mu sync.Mutex
	// users counts the senders of each URL: an Alertmanager may be found twice, or return while its last sender ends.
	users map[string]int
}

func newMetrics(reg prometheus.Registerer, m *Manager) (*metrics, error) {
	label := []string{"alertmanager"}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, label)
	}
	out := &metrics{
		latencySummary: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "prometheus_notifications_latency_seconds", Help: "Latency quantiles for sending alert notifications.",
			Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
		}, label),
		latencyHistogram: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "prometheus_notifications_latency_histogram_seconds", Help: "Latency histogram for sending alert notifications.",
			Buckets:                         []float64{.01, .1, 1, 10},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, label),
		errors:     counter("prometheus_notifications_errors_total", "Total number of sent alerts affected by errors."),
		sent:       counter("prometheus_notifications_sent_total", "Total number of alerts sent."),
		dropped:    counter("prometheus_notifications_dropped_total", "Total number of alerts dropped due to errors when sending to Alertmanager."),
		superseded: counter("narthex_notifications_superseded_total", "Alerts that were not sent because a newer state of the same alert was waiting."),
		users:      map[string]int{},
	}
	capacity := prometheus.NewGauge(prometheus.GaugeOpts{Name: "prometheus_notifications_queue_capacity", Help: "The capacity of the alert notifications queue."})
	capacity.Set(float64(m.opts.QueueCapacity))
	discovered := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "prometheus_notifications_alertmanagers_discovered", Help: "The number of alertmanagers discovered and active.",
	}, func() float64 { return float64(len(m.Alertmanagers())) })
	length := &lengthCollector{m: m, desc: prometheus.NewDesc(
		"prometheus_notifications_queue_length", "The number of alert notifications in the queue.", label, nil)}
	for _, c := range []prometheus.Collector{
		out.latencySummary, out.latencyHistogram, out.errors, out.sent, out.dropped, out.superseded, capacity, discovered, length,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register notification metrics: %w", err)
		}
	}
	return out, nil
}

// acquire makes the series of an Alertmanager, so that its counters begin at zero.
func (m *metrics) acquire(url string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.users[url]++
	for _, v := range []*prometheus.CounterVec{m.errors, m.sent, m.dropped, m.superseded} {
		v.WithLabelValues(url)
	}
}

// release drops the series when the last sender of an Alertmanager has ended.
func (m *metrics) release(url string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users[url]--; m.users[url] > 0 {
		return
	}
	delete(m.users, url)
	for _, v := range []interface{ DeleteLabelValues(...string) bool }{
		m.latencySummary, m.latencyHistogram, m.errors, m.sent, m.dropped, m.superseded,
	} {
		v.DeleteLabelValues(url)
	}
}

// lengthCollector reads the lengths of the queues when it is asked.
type lengthCollector struct {
	m    *Manager
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *lengthCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *lengthCollector) Collect(ch chan<- prometheus.Metric) {
	lengths := map[string]int{}
	c.m.eachSender(func(s *sender) { lengths[s.url] += s.queue.len() })
	for url, n := range lengths {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), url)
	}
}
