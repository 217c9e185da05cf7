package wal

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics have the names of upstream's.
type metrics struct {
	reg        prometheus.Registerer
	collectors []prometheus.Collector

	fsync                                              prometheus.Summary
	pageFlushes, completedPages, partWrites, partBytes prometheus.Counter
	truncations, truncationsFailed, writesFailed       prometheus.Counter
	checkpoints, checkpointsFailed                     prometheus.Counter
	checkpointDeletions, checkpointDeletionsFailed     prometheus.Counter
	savedBytes                                         *prometheus.CounterVec
	segmentCurrent                                     prometheus.Gauge
}

func newMetrics(l *Log, reg prometheus.Registerer, outOfOrder bool) *metrics {
	m := &metrics{reg: reg}
	log := "wal_"
	if outOfOrder {
		log = "out_of_order_wbl_"
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "prometheus_tsdb_" + name, Help: help})
		m.collectors = append(m.collectors, c)
		return c
	}
	m.pageFlushes = counter(log+"page_flushes_total", "Total number of page flushes.")
	m.completedPages = counter(log+"completed_pages_total", "Total number of completed pages.")
	m.partWrites = counter(log+"record_part_writes_total", "Total number of record parts written before flushing.")
	m.partBytes = counter(log+"record_parts_bytes_written_total", "Total number of record part bytes written before flushing, including CRC and compression headers.")
	m.truncations = counter(log+"truncations_total", "Total number of write log truncations attempted.")
	m.truncationsFailed = counter(log+"truncations_failed_total", "Total number of write log truncations that failed.")
	m.writesFailed = counter(log+"writes_failed_total", "Total number of write log writes that failed.")
	m.fsync = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "prometheus_tsdb_" + log + "fsync_duration_seconds", Help: "Duration of write log fsync.",
		Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
	})
	m.savedBytes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "prometheus_tsdb_" + log + "record_bytes_saved_total", Help: "Total number of bytes saved by the optional record compression.",
	}, []string{"compression"})
	m.segmentCurrent = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "prometheus_tsdb_" + log + "segment_current", Help: "Write log segment index that TSDB is currently writing to.",
	})
	size := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "prometheus_tsdb_" + log + "storage_size_bytes", Help: "Size of the write log directory.",
	}, func() float64 {
		n, err := l.Size()
		if err != nil {
			return math.NaN()
		}
		return float64(n)
	})
	registered := len(m.collectors)
	m.checkpoints = counter("checkpoint_creations_total", "Total number of checkpoint creations attempted.")
	m.checkpointsFailed = counter("checkpoint_creations_failed_total", "Total number of checkpoint creations that failed.")
	m.checkpointDeletions = counter("checkpoint_deletions_total", "Total number of checkpoint deletions attempted.")
	m.checkpointDeletionsFailed = counter("checkpoint_deletions_failed_total", "Total number of checkpoint deletions that failed.")
	if outOfOrder {
		m.collectors = m.collectors[:registered] // It never has checkpoints.
	}
	m.collectors = append(m.collectors, m.fsync, m.savedBytes, m.segmentCurrent, size)
	if reg != nil {
		reg.MustRegister(m.collectors...)
	}
	return m
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.collectors {
		m.reg.Unregister(c)
	}
}
