package head

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/tsdb/chunk"
)

// metrics have the names of upstream's.
type metrics struct {
	reg        prometheus.Registerer
	collectors []prometheus.Collector

	floats, histograms                     kindMetrics
	seriesCreated, seriesRemoved, notFound prometheus.Counter
	chunksCreated, chunksRemoved           prometheus.Counter
	truncations, truncationsFailed         prometheus.Counter
	mapped, mapCorruptions                 prometheus.Counter
	corruptions, appendersCreated          prometheus.Counter
	unknownRefs, lateUnknownRefs           *prometheus.CounterVec
	replayDuration                         prometheus.Gauge
	gc, walTruncation                      prometheus.Summary
	lateDelta                              prometheus.Histogram
}

// kindMetrics are counted for floats and for histograms.
type kindMetrics struct{ appended, lateAppended, outOfOrder, outOfBounds, tooOld prometheus.Counter }

// of returns the metrics for a sample: those of histograms if it is one.
func (m *metrics) of(h chunk.Native) *kindMetrics {
	if h != (chunk.Native{}) {
		return &m.histograms
	}
	return &m.floats
}

func newMetrics(h *Head) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "prometheus_tsdb_" + name, Help: help})
		m.collectors = append(m.collectors, c)
		return c
	}
	typed := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "prometheus_tsdb_" + name, Help: help}, []string{"type"})
		m.collectors = append(m.collectors, c)
		return c
	}
	appended := typed("head_samples_appended_total", "Total number of appended samples.")
	outOfOrder := typed("out_of_order_samples_total", "Total number of out of order samples ingestion failed attempts due to out of order being disabled.")
	outOfBounds := typed("out_of_bound_samples_total", "Total number of out of bound samples ingestion failed attempts with out of order support disabled.")
	late := typed("head_out_of_order_samples_appended_total", "Total number of appended out of order samples.")
	tooOld := typed("too_old_samples_total", "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.")
	kind := func(name string) kindMetrics {
		return kindMetrics{
			appended: appended.WithLabelValues(name), lateAppended: late.WithLabelValues(name),
			outOfOrder: outOfOrder.WithLabelValues(name), outOfBounds: outOfBounds.WithLabelValues(name), tooOld: tooOld.WithLabelValues(name),
		}
	}
	m.lateDelta = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "prometheus_tsdb_sample_ooo_delta",
		Help:    "Delta in seconds by which a sample is considered out of order (reported regardless of OOO time window and whether sample is accepted or not).",
		Buckets: []float64{600, 1800, 3600, 7200, 10800, 21600, 43200},
	})
	m.collectors = append(m.collectors, m.lateDelta)
	m.floats, m.histograms = kind("float"), kind("histogram")
	m.unknownRefs = typed("wal_replay_unknown_refs_total", "Total number of unknown series references encountered during WAL replay.")
	m.lateUnknownRefs = typed("wbl_replay_unknown_refs_total", "Total number of unknown series references encountered during WBL replay.")
	// There are no snapshots of memory to be read.
	counter("snapshot_replay_error_total", "Total number snapshot replays that failed.")
	m.seriesCreated = counter("head_series_created_total", "Total number of series created in the head")
	m.seriesRemoved = counter("head_series_removed_total", "Total number of series removed in the head")
	m.notFound = counter("head_series_not_found_total", "Total number of requests for series that were not found.")
	m.chunksCreated = counter("head_chunks_created_total", "Total number of chunks created in the head")
	m.chunksRemoved = counter("head_chunks_removed_total", "Total number of chunks removed in the head")
	m.truncations = counter("head_truncations_total", "Total number of head truncations attempted.")
	m.truncationsFailed = counter("head_truncations_failed_total", "Total number of head truncations that failed.")
	m.mapped = counter("mmap_chunks_total", "Total number of chunks that were memory-mapped.")
	m.mapCorruptions = counter("mmap_chunk_corruptions_total", "Total number of memory-mapped chunk corruptions.")
	m.corruptions = counter("wal_corruptions_total", "Total number of WAL corruptions.")
	m.appendersCreated = counter("head_appenders_created_total", "Total number of appender transactions created.")
	replay := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "prometheus_tsdb_data_replay_duration_seconds", Help: "Time taken to replay the data on disk.",
	}, []string{"type"})
	m.replayDuration = replay.WithLabelValues("wal")
	m.gc = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "prometheus_tsdb_head_gc_duration_seconds", Help: "Runtime of garbage collection in the head block.",
	})
	m.walTruncation = prometheus.NewSummary(prometheus.SummaryOpts{
		Name: "prometheus_tsdb_wal_truncate_duration_seconds", Help: "Duration of WAL truncation.",
	})
	m.collectors = append(m.collectors, replay, m.gc, m.walTruncation)
	m.addGauges(h)
	m.addExemplars(&h.exemplars, counter)
	return m
}

func (m *metrics) addExemplars(r *exemplarRing, counter func(name, help string) prometheus.Counter) {
	r.appended = counter("exemplar_exemplars_appended_total", "Total number of appended exemplars.")
	r.outOfOrder = counter("exemplar_out_of_order_exemplars_total", "Total number of out of order exemplar ingestion failed attempts.")
	gauge := func(name, help string, f func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "prometheus_tsdb_exemplar_" + name, Help: help}, func() float64 {
			r.mu.RLock()
			defer r.mu.RUnlock()
			return f()
		}))
	}
	gauge("exemplars_in_storage", "Number of exemplars currently in circular storage.", func() float64 { return float64(len(r.all)) })
	gauge("series_with_exemplars_in_storage", "Number of series with exemplars currently in circular storage.", func() float64 { return float64(len(r.series)) })
	gauge("max_exemplars", "Total number of exemplars the exemplar storage can store, resizeable.", func() float64 { return float64(r.size) })
	gauge("last_exemplars_timestamp_seconds", "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what time"+
		" range the current exemplar buffer limit allows. This usually means the last timestamp"+
		" for all exemplars for a typical setup. This is not true though if one of the series timestamp is in future compared to rest series.", func() float64 {
		if len(r.all) == 0 {
			return 0
		}
		return float64(r.all[r.next].T) / 1000
	})
}

func (m *metrics) addGauges(h *Head) {
	gauge := func(name, help string, f func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "prometheus_tsdb_" + name, Help: help}, f))
	}
	gauge("head_series", "Total number of series in the head block.", func() float64 { return float64(h.Stats().Series) })
	m.collectors = append(m.collectors, newSurveyor(h))
	gauge("head_chunks", "Total number of chunks in the head block.", func() float64 { return float64(h.chunks.Load()) })
	gauge("head_chunks_storage_size_bytes", "Size of the chunks_head directory.", func() float64 { return float64(h.ChunkFilesSize()) })
	gauge("head_active_appenders", "Number of currently active appender transactions", func() float64 { return float64(h.openAppenders.Load()) })
	// Times that are not set yet are zero.
	millis := func(t int64) float64 {
		if t == math.MaxInt64 || t == math.MinInt64 {
			return 0
		}
		return float64(t)
	}
	gauge("head_min_time", "Minimum time bound of the head block. The unit is decided by the library consumer.", func() float64 { return millis(h.minTime.Load()) })
	gauge("head_max_time", "Maximum timestamp of the head block. The unit is decided by the library consumer.", func() float64 { return millis(h.maxTime.Load()) })
	gauge("head_min_time_seconds", "Minimum time bound of the head block.", func() float64 { return millis(h.minTime.Load()) / 1000 })
	gauge("head_max_time_seconds", "Maximum timestamp of the head block.", func() float64 { return millis(h.maxTime.Load()) / 1000 })
	gauge("isolation_high_watermark", "The highest TSDB append ID that has been given out.", func() float64 {
		h.snapshots.mu.Lock()
		defer h.snapshots.mu.Unlock()
		return float64(h.snapshots.seq)
	})
	gauge("isolation_low_watermark", "The lowest TSDB append ID that is still referenced.", func() float64 {
		h.snapshots.mu.Lock()
		defer h.snapshots.mu.Unlock()
		if seq, ok := h.snapshots.oldest(); ok {
			return float64(seq)
		}
		return float64(h.snapshots.seq)
	})
}

func (m *metrics) register(reg prometheus.Registerer) {
	if reg != nil {
		m.reg = reg
		reg.MustRegister(m.collectors...)
	}
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.collectors {
		m.reg.Unregister(c)
	}
}

// surveyor collects what one walk over all series tells.
type surveyor struct {
	h                       *Head
	stale, natives, buckets *prometheus.Desc
}

func newSurveyor(h *Head) *surveyor {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("prometheus_tsdb_head_"+name, help, nil, nil)
	}
	return &surveyor{
		h:       h,
		stale:   desc("stale_series", "Total number of stale series in the head block."),
		natives: desc("native_histogram_series", "Number of series whose most recent in-order sample is a native histogram."),
		buckets: desc("native_histogram_buckets", "Number of positive and negative bucket entries in the most recent in-order native histogram sample of each series, summed across series."),
	}
}

// Describe implements [prometheus.Collector].
func (s *surveyor) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.stale
	ch <- s.natives
	ch <- s.buckets
}

// Collect implements [prometheus.Collector].
func (s *surveyor) Collect(ch chan<- prometheus.Metric) {
	found := s.h.survey()
	ch <- prometheus.MustNewConstMetric(s.stale, prometheus.GaugeValue, float64(found.stale))
	ch <- prometheus.MustNewConstMetric(s.natives, prometheus.GaugeValue, float64(found.natives))
	ch <- prometheus.MustNewConstMetric(s.buckets, prometheus.GaugeValue, float64(found.buckets))
}
