package tsdb

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// metrics have the names of upstream's.
type metrics struct {
	reg        prometheus.Registerer
	collectors []prometheus.Collector
	replay     []prometheus.Collector

	reloads, reloadsFailed                               prometheus.Counter
	timeRetentions, sizeRetentions                       prometheus.Counter
	compactions, compactionsFailed, compactionsTriggered prometheus.Counter
	compactionsSkipped, staleTriggered, staleFailed      prometheus.Counter
	staleDuration                                        prometheus.Histogram
	queryDamage                                          prometheus.Counter
	verticalCompactions                                  prometheus.Counter
	compactionDuration, tombstoneCleanup                 prometheus.Histogram
	chunkBytes, chunkSamples, chunkRange                 prometheus.Histogram
	populating                                           prometheus.Gauge
}

func newMetrics(db *DB) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "prometheus_tsdb_" + name, Help: help})
		m.collectors = append(m.collectors, c)
		return c
	}
	gauge := func(name, help string, f func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "prometheus_tsdb_" + name, Help: help}, f))
	}
	m.reloads = counter("reloads_total", "Number of times the database reloaded block data from disk.")
	m.reloadsFailed = counter("reloads_failures_total", "Number of times the database failed to reloadBlocks block data from disk.")
	m.timeRetentions = counter("time_retentions_total", "The number of times that blocks were deleted because the maximum time limit was exceeded.")
	m.sizeRetentions = counter("size_retentions_total", "The number of times that blocks were deleted because the maximum number of bytes was exceeded.")
	m.compactions = counter("compactions_total", "Total number of compactions that were executed for the partition.")
	m.compactionsFailed = counter("compactions_failed_total", "Total number of compactions that failed for the partition.")
	m.compactionsTriggered = counter("compactions_triggered_total", "Total number of triggered compactions for the partition.")
	m.compactionsSkipped = counter("compactions_skipped_total", "Total number of skipped compactions due to disabled auto compaction.")
	m.verticalCompactions = counter("vertical_compactions_total", "Total number of compactions done on overlapping blocks.")
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "prometheus_tsdb_" + name, Help: help, Buckets: buckets})
		m.collectors = append(m.collectors, h)
		return h
	}
	m.compactionDuration = histogram("compaction_duration_seconds", "Duration of compaction runs", prometheus.ExponentialBuckets(1, 2, 14))
	m.staleTriggered = counter("stale_series_compactions_triggered_total", "Total number of triggered stale series compactions.")
	m.staleFailed = counter("stale_series_compactions_failed_total", "Total number of stale series compactions that failed.")
	m.staleDuration = histogram("stale_series_compaction_duration_seconds", "Duration of stale series compaction runs.", prometheus.ExponentialBuckets(1, 2, 14))
	m.queryDamage = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "narthex_tsdb_block_corruptions_total", Help: "How often queries came across damage in blocks.",
	})
	m.collectors = append(m.collectors, m.queryDamage, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "narthex_tsdb_blocks_left_out", Help: "Number of blocks in the data directory that cannot be opened.",
	}, func() float64 { return float64(db.leftOut.Load()) }))
	// What upstream counts for other programs that use it as a library stays zero here, as it does in Prometheus.
	counter("selected_series_compactions_triggered_total", "Total number of compactions triggered for an explicit caller-provided list of series references.")
	counter("selected_series_compactions_failed_total", "Total number of compactions triggered for an explicit caller-provided list of series references that failed.")
	histogram("selected_series_compaction_duration_seconds", "Duration of compactions triggered for an explicit caller-provided list of series references.", prometheus.ExponentialBuckets(1, 2, 14))
	m.tombstoneCleanup = histogram("tombstone_cleanup_seconds", "The time taken to recompact blocks to remove tombstones.", prometheus.DefBuckets)
	m.chunkBytes = histogram("compaction_chunk_size_bytes", "Final size of chunks on their first compaction", prometheus.ExponentialBuckets(32, 1.5, 12))
	m.chunkSamples = histogram("compaction_chunk_samples", "Final number of samples on their first compaction", prometheus.ExponentialBuckets(4, 1.5, 12))
	m.chunkRange = histogram("compaction_chunk_range_seconds", "Final time range of chunks on their first compaction", prometheus.ExponentialBuckets(100, 4, 10))
	m.populating = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "prometheus_tsdb_compaction_populating_block", Help: "Set to 1 when a block is currently being written to the disk.",
	})
	m.collectors = append(m.collectors, m.populating)
	gauge("blocks_loaded", "Number of currently loaded data blocks", func() float64 { return float64(len(db.currentBlocks())) })
	gauge("storage_blocks_bytes", "The number of bytes that are currently used for local storage by all blocks.", func() float64 {
		var sum int64
		for _, b := range db.currentBlocks() {
			sum += b.Size()
		}
		return float64(sum)
	})
	lowest := func() float64 {
		mint, ok := db.MinTime()
		if !ok {
			return 0
		}
		return float64(mint)
	}
	gauge("lowest_timestamp", "Lowest timestamp value stored in the database. The unit is decided by the library consumer.", lowest)
	gauge("lowest_timestamp_seconds", "Lowest timestamp value stored in the database.", func() float64 { return lowest() / 1000 })
	gauge("symbol_table_size_bytes", "Size of symbol table in memory for loaded blocks", func() float64 {
		sum := 0
		for _, b := range db.currentBlocks() {
			sum += b.Index().SymbolTableSize()
		}
		return float64(sum)
	})
	gauge("retention_limit_bytes", "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled", func() float64 {
		return float64(db.currentRetention().SizeBytes)
	})
	gauge("retention_limit_percentage", "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled", func() float64 {
		return db.currentRetention().Percentage
	})
	gauge("retention_limit_seconds", "How long to retain samples in storage.", func() float64 { return db.currentRetention().Time.Seconds() })
	gauge("clean_start", "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean", func() float64 {
		switch {
		case db.opts.NoLockfile:
			return -1
		case db.lock.clean:
			return 1
		}
		return 0
	})
	return m
}

// observeChunks notes the chunks of a series that come from the head into a block.
func (m *metrics) observeChunks(chunks []block.Chunk) {
	for _, c := range chunks {
		m.chunkBytes.Observe(float64(len(c.Data)))
		m.chunkRange.Observe(float64(c.MaxTime-c.MinTime) / 1000)
		if n, err := chunk.Samples(c.Encoding, c.Data); err == nil {
			m.chunkSamples.Observe(float64(n))
		}
	}
}

// replayGauges tell how far reading the log has come.
func replayGauges(p *ReplayProgress) []prometheus.Collector {
	gauge := func(name, help string, f func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "narthex_tsdb_wal_replay_" + name, Help: help}, func() float64 { return float64(f()) })
	}
	return []prometheus.Collector{
		gauge("segments", "Number of segments of the write-ahead log that were to be read at the start.", func() int64 { all, _ := p.segments(); return all }),
		gauge("segments_read", "Number of segments of the write-ahead log that the start has read.", func() int64 { _, read := p.segments(); return read }),
	}
}

// registerReplay registers what is of interest while the storage opens, register the rest.
func (m *metrics) registerReplay(reg prometheus.Registerer, p *ReplayProgress) {
	if reg != nil {
		m.reg, m.replay = reg, replayGauges(p)
		reg.MustRegister(m.replay...)
	}
}

func (m *metrics) register() {
	if m.reg != nil {
		m.reg.MustRegister(m.collectors...)
	}
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range slices.Concat(m.replay, m.collectors) {
		m.reg.Unregister(c)
	}
}
