package discovery

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	targets    *prometheus.GaugeVec
	lastUpdate *prometheus.GaugeVec
	failures   *prometheus.CounterVec
	failed     prometheus.Gauge
	received   prometheus.Counter
	delayed    prometheus.Counter
	sent       prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, name string) (*metrics, error) {
	gauge := func(metric, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: metric, Help: help, ConstLabels: prometheus.Labels{"name": name}}
	}
	counter := func(metric, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts(gauge(metric, help))
	}
	m := &metrics{
		targets: prometheus.NewGaugeVec(gauge("prometheus_sd_discovered_targets",
			"Current number of discovered targets."), []string{"config"}),
		lastUpdate: prometheus.NewGaugeVec(gauge("prometheus_sd_last_update_timestamp_seconds",
			"Timestamp of the last update sent to the SD consumers."), []string{"config"}),
		failures: prometheus.NewCounterVec(counter("prometheus_sd_refresh_failures_total",
			"Number of refresh failures for the given SD mechanism."), []string{"mechanism", "config"}),
		failed: prometheus.NewGauge(gauge("prometheus_sd_failed_configs",
			"Current number of service discovery configurations that failed to load.")),
		received: prometheus.NewCounter(counter("prometheus_sd_received_updates_total",
			"Total number of update events received from the SD providers.")),
		delayed: prometheus.NewCounter(counter("prometheus_sd_updates_delayed_total",
			"Total number of update events that couldn't be sent immediately.")),
		sent: prometheus.NewCounter(counter("prometheus_sd_updates_total",
			"Total number of update events sent to the SD consumers.")),
	}
	for _, c := range []prometheus.Collector{m.targets, m.lastUpdate, m.failures, m.failed, m.received, m.delayed, m.sent} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register discovery metrics: %w", err)
		}
	}
	return m, nil
}
