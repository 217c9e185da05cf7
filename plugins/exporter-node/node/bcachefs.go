//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/procfs/bcachefs"
)

// bcachefsStats reports the bcachefs file systems of /sys/fs/bcachefs.
type bcachefsStats struct{ fs bcachefs.FS }

func newBcachefs(s sources) (bcachefsStats, error) {
	fs, err := bcachefs.NewFS(s.cfg.PathSysfs)
	return bcachefsStats{fs}, err
}

func (c bcachefsStats) collect(_ context.Context, _ readings, out *exposition) error {
	all, err := c.fs.Stats()
	if err != nil {
		return fmt.Errorf("read bcachefs statistics: %w", absent(err))
	}
	if len(all) == 0 {
		return fmt.Errorf("%w: no bcachefs is mounted", errNoData)
	}
	for _, s := range all {
		uuid := label{"uuid", s.UUID}
		out.gauge("node_bcachefs_info", "Always 1 for a mounted bcachefs.", 1, uuid)
		out.gauge("node_bcachefs_btree_cache_size_bytes", "Memory of the trees' cache.", float64(s.BtreeCacheSizeBytes), uuid)
		addBcachefsMaps(s, uuid, out)
		for _, name := range slices.Sorted(maps.Keys(s.Devices)) {
			if d := s.Devices[name]; d != nil {
				addBcachefsDevice(d, label{"device", name}, uuid, out)
			}
		}
	}
	return nil
}

func addBcachefsMaps(s *bcachefs.Stats, uuid label, out *exposition) {
	for _, name := range slices.Sorted(maps.Keys(s.Compression)) {
		algorithm, v := label{"algorithm", name}, s.Compression[name]
		out.gauge("node_bcachefs_compression_compressed_bytes", "Compressed size, by algorithm.",
			float64(v.CompressedBytes), algorithm, uuid)
		out.gauge("node_bcachefs_compression_uncompressed_bytes", "Size before compression, by algorithm.",
			float64(v.UncompressedBytes), algorithm, uuid)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Errors)) {
		out.counter("node_bcachefs_errors_total", "Errors, by type.", float64(s.Errors[name].Count),
			label{"error_type", name}, uuid)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		out.counter("node_bcachefs_"+sanitized(name)+"_total", "Counter "+name+" since the file system was made.",
			float64(s.Counters[name].SinceFilesystemCreation), uuid)
	}
	for _, name := range slices.Sorted(maps.Keys(s.BtreeWrites)) {
		kind, v := label{"type", name}, s.BtreeWrites[name]
		out.counter("node_bcachefs_btree_writes_total", "Writes of trees, by type.", float64(v.Count), kind, uuid)
		out.gauge("node_bcachefs_btree_write_average_size_bytes", "Average size of writes of trees, by type.",
			float64(v.SizeBytes), kind, uuid)
	}
}

func addBcachefsDevice(d *bcachefs.DeviceStats, device, uuid label, out *exposition) {
	out.gauge("node_bcachefs_device_info", "Always 1; the labels describe the device.", 1,
		device, label{"label", d.Label}, label{"state", d.State}, uuid)
	out.gauge("node_bcachefs_device_bucket_size_bytes", "Size of the device's buckets.", float64(d.BucketSizeBytes),
		device, uuid)
	out.gauge("node_bcachefs_device_buckets", "Buckets of the device.", float64(d.Buckets), device, uuid)
	out.gauge("node_bcachefs_device_durability", "How many copies one on the device counts for.", float64(d.Durability),
		device, uuid)
	for _, operation := range slices.Sorted(maps.Keys(d.IODone)) {
		types := d.IODone[operation]
		for _, data := range slices.Sorted(maps.Keys(types)) {
			out.counter("node_bcachefs_device_io_done_bytes_total", "Bytes moved, by operation and type of data.",
				float64(types[data]), label{"data_type", data}, device, label{"operation", operation}, uuid)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.IOErrors)) {
		out.counter("node_bcachefs_device_io_errors_total", "Errors of the device, by type.", float64(d.IOErrors[name]),
			device, label{"type", name}, uuid)
	}
}
