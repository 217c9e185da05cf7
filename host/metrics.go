package host

import (
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// PrometheusVersion is the release whose configuration, API and formats this server speaks. Clients derive from it
// what they may ask.
const PrometheusVersion = "3.14.0"

// metrics are the host's own.
type metrics struct {
	reloadSuccessful, reloadSuccess, ready prometheus.Gauge
	exchangeSuccessful                     prometheus.Gauge
}

func (h *Host) makeRegistry() error {
	h.registry = prometheus.NewRegistry()
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	h.metrics = &metrics{
		reloadSuccessful: gauge("prometheus_config_last_reload_successful", "Whether the last configuration reload attempt was successful."),
		reloadSuccess:    gauge("prometheus_config_last_reload_success_timestamp_seconds", "Timestamp of the last successful configuration reload."),
		ready:            gauge("prometheus_ready", "Whether the server has started and can be queried."),
		exchangeSuccessful: gauge("narthex_plugin_last_exchange_successful",
			"Whether the plugins whose files changed last were put in force; with --plugins.watch."),
	}
	b := h.opts.Build
	h.metrics.exchangeSuccessful.Set(1)
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		h.metrics.reloadSuccessful, h.metrics.reloadSuccess, h.metrics.ready,
		h.metrics.exchangeSuccessful,
		buildInfo("prometheus_build_info", "The Prometheus release that this server is compatible with, and how it was built.", PrometheusVersion, b),
		buildInfo("narthex_build_info", "The release of this server, and how it was built.", b.Version, b),
	} {
		if err := h.registry.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func buildInfo(name, help, version string, b Build) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: name, Help: help,
		ConstLabels: prometheus.Labels{
			"version": version, "revision": b.Revision, "branch": "", "goversion": b.GoVersion,
			"goos": runtime.GOOS, "goarch": runtime.GOARCH, "tags": "",
		},
	}, func() float64 { return 1 })
}
