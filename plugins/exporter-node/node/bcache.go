//go:build linux

package node

import (
	"context"
	"fmt"

	bcachefs "github.com/prometheus/procfs/bcache"
)

// bcache reports the block caches of /sys/fs/bcache.
type bcache struct {
	fs       bcachefs.FS
	priority bool
}

func newBcache(s sources) (bcache, error) {
	fs, err := bcachefs.NewFS(s.cfg.PathSysfs)
	return bcache{fs, s.cfg.Bcache.PriorityStats}, err
}

func (c bcache) collect(_ context.Context, _ readings, out *exposition) error {
	read := c.fs.StatsWithoutPriority
	if c.priority {
		read = c.fs.Stats
	}
	all, err := read()
	if err != nil {
		return fmt.Errorf("read bcache statistics: %w", err)
	}
	for _, s := range all {
		uuid := label{"uuid", s.Name}
		addBcache(&s.Bcache, uuid, out)
		for i := range s.Bdevs {
			addBackingDevice(&s.Bdevs[i], uuid, out)
		}
		for i := range s.Caches {
			c.addCacheDevice(&s.Caches[i], uuid, out)
		}
	}
	return nil
}

func addBcache(s *bcachefs.BcacheStats, uuid label, out *exposition) {
	gauge := func(name, help string, value float64) { out.gauge("node_bcache_"+name, help, value, uuid) }
	gauge("average_key_size_sectors", "Average size of the data of a key.", float64(s.AverageKeySize))
	gauge("btree_cache_size_bytes", "Memory of the tree's cache.", float64(s.BtreeCacheSize))
	gauge("cache_available_percent", "Share of the cache that has no dirty data.", float64(s.CacheAvailablePercent))
	gauge("congested", "How congested the cache is.", float64(s.Congested))
	gauge("root_usage_percent", "How full the tree's root is.", float64(s.RootUsagePercent))
	gauge("tree_depth", "Depth of the tree.", float64(s.TreeDepth))
	gauge("active_journal_entries", "Entries of the journal that are newer than the index.",
		float64(s.Internal.ActiveJournalEntries))
	gauge("btree_nodes", "Nodes of the tree.", float64(s.Internal.BtreeNodes))
	// The kernel's number is in microseconds; node_exporter takes it for nanoseconds, and dashboards know it so.
	gauge("btree_read_average_duration_seconds", "Average time to read from the tree, in thousands of seconds.",
		float64(s.Internal.BtreeReadAverageDurationMicroSeconds)/1e9)
	out.counter("node_bcache_cache_read_races_total", "Reads that found their data gone from the cache.",
		float64(s.Internal.CacheReadRaces), uuid)
}

func addBackingDevice(s *bcachefs.BdevStats, uuid label, out *exposition) {
	labels := []label{{"backing_device", s.Name}, uuid}
	gauge := func(name, help string, value float64) { out.gauge("node_bcache_"+name, help, value, labels...) }
	gauge("dirty_data_bytes", "Dirty data of the backing device in the cache.", float64(s.DirtyData))
	gauge("dirty_target_bytes", "Dirty data that the backing device should have.", float64(s.WritebackRateDebug.Target))
	gauge("writeback_rate", "Bytes a second that are written back.", float64(s.WritebackRateDebug.Rate))
	gauge("writeback_rate_proportional_term", "The rate's proportional part.", float64(s.WritebackRateDebug.Proportional))
	gauge("writeback_rate_integral_term", "The rate's integral part.", float64(s.WritebackRateDebug.Integral))
	gauge("writeback_change", "The rate's last change.", float64(s.WritebackRateDebug.Change))

	counter := func(name, help string, value uint64) {
		out.counter("node_bcache_"+name+"_total", help, float64(value), labels...)
	}
	counter("bypassed_bytes", "Bytes read and written past the cache.", s.Total.Bypassed)
	counter("cache_hits", "Requests that the cache answered.", s.Total.CacheHits)
	counter("cache_misses", "Requests that the cache could not answer.", s.Total.CacheMisses)
	counter("cache_bypass_hits", "Requests meant to go past the cache whose data it had.", s.Total.CacheBypassHits)
	counter("cache_bypass_misses", "Requests that went past the cache.", s.Total.CacheBypassMisses)
	counter("cache_miss_collisions", "Misses whose data was in the cache by the time it was read.",
		s.Total.CacheMissCollisions)
	if s.Total.CacheReadaheads != 0 { // New kernels do not have it.
		counter("cache_readaheads", "Reads ahead.", s.Total.CacheReadaheads)
	}
}

func (c bcache) addCacheDevice(s *bcachefs.CacheStats, uuid label, out *exposition) {
	labels := []label{{"cache_device", s.Name}, uuid}
	out.gauge("node_bcache_io_errors", "Errors of the cache device; old ones fade out.", float64(s.IOErrors), labels...)
	out.counter("node_bcache_metadata_written_bytes_total", "Bytes of metadata written to the cache device.",
		float64(s.MetadataWritten), labels...)
	out.counter("node_bcache_written_bytes_total", "Bytes of data written to the cache device.", float64(s.Written),
		labels...)
	if c.priority {
		out.gauge("node_bcache_priority_stats_unused_percent", "Share of the cache device that is empty.",
			float64(s.Priority.UnusedPercent), labels...)
		out.gauge("node_bcache_priority_stats_metadata_percent", "Share of the cache device that metadata takes.",
			float64(s.Priority.MetadataPercent), labels...)
	}
}
