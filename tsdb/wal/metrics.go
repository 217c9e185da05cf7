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

func newMetrics(l *Log, reg prometheus.Registerer) *metrics {
	m := &metrics{reg: reg}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "prometheus_tsdb_" + name, Help: help})
		m.collectors = append(m.collectors, c)
		return c
	}
	m.pageFlushes = counter("wal_page_flushes_total", "Total number of page flushes.")
	m.completedPages = counter("wal_completed_pages_total", "Total number of completed pages.")
	m.partWrites = counter("wal_record_part_writes_total", "Total number of record parts written before flushing.")
	m.partBytes = counter("wal_record_parts_bytes_written_total", "Total number of record part bytes written before flushing, including CRC and compression headers.")
	m.truncations = counter("wal_truncations_total", "Total number of write log truncations attempted.")
	m.truncationsFailed = counter("wal_truncations_failed_total", "Total number of write log truncations that failed.")
	m.writesFailed = counter("wal_writes_failed_total", "Total number of write log writes that failed.")
	m.checkpoints = counter("checkpoint_creations_total", "Total number of checkpoint creations attempted.")
	m.checkpointsFailed = counter("checkpoint_creations_failed_total", "Total number of checkpoint creations that failed.")
	m.checkpointDeletions = counter("checkpoint_deletions_total", "Total number of checkpoint deletions attempted.")
	m.checkpointDeletionsFailed = counter("checkpoint_deletions_failed_total", "Total number of checkpoint deletions that failed.")
	m.fsync = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "prometheus_tsdb_wal_fsync_duration_seconds", Help: "Duration of write log fsync.",
		Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
	})
	m.savedBytes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "prometheus_tsdb_wal_record_bytes_saved_total", Help: "Total number of bytes saved by the optional record compression.",
	}, []string{"compression"})
	m.segmentCurrent = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "prometheus_tsdb_wal_segment_current", Help: "Write log segment index that TSDB is currently writing to.",
	})
	size := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "prometheus_tsdb_wal_storage_size_bytes", Help: "Size of the write log directory.",
	}, func() float64 {
		n, err := l.Size()
		if err != nil {
			return math.NaN()
		}
		return float64(n)
	})
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
