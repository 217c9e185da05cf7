package receiver

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of all receivers, by name.
type Metrics struct {
	batches, dropped, damaged, diskErrors *prometheus.CounterVec
	alerts, pending                       *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "narthex_notify_" + name, Help: help}, append([]string{"receiver"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "narthex_notify_" + name, Help: help}, []string{"receiver"})
	}
	m := &Metrics{
		batches:    counter("batches_total", "Deliveries of batches of alerts by notify plugins, by result: delivered, failed (and tried again) or rejected.", "result"),
		dropped:    counter("dropped_total", "Alerts that were not told, by reason: full, expired or rejected.", "reason"),
		damaged:    counter("damaged_groups_total", "Files of kept groups of alerts that were damaged, and dropped."),
		diskErrors: counter("disk_errors_total", "Failed attempts to keep a group of alerts on disk."),
		alerts:     gauge("alerts", "Alerts that the receiver knows of."),
		pending:    gauge("pending_batches", "Batches of alerts that are to be delivered."),
	}
	for _, c := range []prometheus.Collector{m.batches, m.dropped, m.damaged, m.diskErrors, m.alerts, m.pending} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of receivers: %w", err)
		}
	}
	return m, nil
}

// Start makes the series of a receiver, so that its counters begin at zero.
func (m *Metrics) Start(name string) {
	for _, result := range []string{"delivered", "failed", "rejected"} {
		m.batches.WithLabelValues(name, result)
	}
	for _, reason := range []string{"full", "expired", "rejected"} {
		m.dropped.WithLabelValues(name, reason)
	}
	m.damaged.WithLabelValues(name)
	m.diskErrors.WithLabelValues(name)
	m.alerts.WithLabelValues(name)
	m.pending.WithLabelValues(name)
}

// Stop drops the series of a receiver.
func (m *Metrics) Stop(name string) {
	for _, v := range []interface {
		DeletePartialMatch(prometheus.Labels) int
	}{m.batches, m.dropped, m.damaged, m.diskErrors, m.alerts, m.pending} {
		v.DeletePartialMatch(prometheus.Labels{"receiver": name})
	}
}
