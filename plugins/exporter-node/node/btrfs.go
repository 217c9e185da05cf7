//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs/btrfs"
)

// btrfsStats reports the Btrfs file systems of /sys/fs/btrfs. What the kernel tells about their devices only by ioctl
// is there when the process may ask for it.
type btrfsStats struct {
	fs      btrfs.FS
	mounts  mountTable
	devices func(mountPoint string) (fsid string, devices []btrfsDevice, err error)
}

func newBtrfs(s sources) (*btrfsStats, error) {
	fs, err := btrfs.NewFS(s.cfg.PathSysfs)
	if err != nil {
		return nil, fmt.Errorf("path_sysfs: %w", err)
	}
	types, err := newFilter("btrfs", new("^btrfs$"), nil, "")
	if err != nil {
		return nil, err
	}
	mounts := mountTable{proc: s.proc, rootfs: s.cfg.PathRootfs, types: types}
	return &btrfsStats{fs: fs, mounts: mounts, devices: s.system.btrfsDevices}, nil
}

func (c *btrfsStats) collect(_ context.Context, _ readings, out *exposition) error {
	all, err := c.fs.Stats()
	if err != nil {
		return fmt.Errorf("read Btrfs statistics: %w", err)
	}
	if len(all) == 0 {
		return nil
	}
	devices := c.mountedDevices()
	for _, s := range all {
		addBtrfs(s, out)
		uuid := label{"uuid", s.UUID}
		known, ok := devices[strings.ReplaceAll(s.UUID, "-", "")]
		if !ok {
			for _, name := range slices.Sorted(maps.Keys(s.Devices)) {
				out.gauge(btrfsDeviceSize, btrfsDeviceSizeHelp, float64(s.Devices[name].Size), label{"device", name}, uuid)
			}
			continue
		}
		for _, d := range known {
			addBtrfsDevice(d, uuid, out)
		}
	}
	return nil
}

const (
	btrfsDeviceSize     = "node_btrfs_device_size_bytes"
	btrfsDeviceSizeHelp = "Size of a device of the file system."
)

// mountedDevices asks each mounted Btrfs for its devices, which may be refused.
func (c *btrfsStats) mountedDevices() map[string][]btrfsDevice {
	found := make(map[string][]btrfsDevice)
	mounts, err := c.mounts.read()
	if err != nil {
		return found
	}
	for _, m := range mounts {
		if fsid, devices, err := c.devices(m.path); err == nil {
			found[fsid] = devices
		}
	}
	return found
}

func addBtrfs(s *btrfs.Stats, out *exposition) {
	uuid := label{"uuid", s.UUID}
	out.gauge("node_btrfs_info", "Always 1; the file system's label.", 1, label{"label", s.Label}, uuid)
	out.gauge("node_btrfs_global_rsv_size_bytes", "Size of the global reserve.", float64(s.Allocation.GlobalRsvSize), uuid)
	out.counter("node_btrfs_commits_total", "Commits.", float64(s.CommitStats.Commits), uuid)
	out.counter("node_btrfs_commit_seconds_total", "Seconds spent by all commits.",
		float64(s.CommitStats.TotalCommitMs)/1000, uuid)
	out.gauge("node_btrfs_last_commit_seconds", "Seconds that the last commit took.",
		float64(s.CommitStats.LastCommitMs)/1000, uuid)
	out.gauge("node_btrfs_max_commit_seconds", "Seconds that the longest commit took.",
		float64(s.CommitStats.MaxCommitMs)/1000, uuid)
	for _, g := range [...]struct {
		name  string
		stats *btrfs.AllocationStats
	}{{"data", s.Allocation.Data}, {"metadata", s.Allocation.Metadata}, {"system", s.Allocation.System}} {
		if g.stats == nil {
			continue
		}
		group := label{"block_group_type", g.name}
		out.gauge("node_btrfs_reserved_bytes", "Reserved space of the block groups.", float64(g.stats.ReservedBytes),
			group, uuid)
		for _, layout := range slices.Sorted(maps.Keys(g.stats.Layouts)) {
			mode, usage := label{"mode", layout}, g.stats.Layouts[layout]
			out.gauge("node_btrfs_used_bytes", "Used space of the block groups.", float64(usage.UsedBytes), group, mode, uuid)
			out.gauge("node_btrfs_size_bytes", "Size of the block groups.", float64(usage.TotalBytes), group, mode, uuid)
			out.gauge("node_btrfs_allocation_ratio", "Bytes on disk for a byte of the block groups.", usage.Ratio,
				group, mode, uuid)
		}
	}
}

func addBtrfsDevice(d btrfsDevice, uuid label, out *exposition) {
	id, device := label{"btrfs_dev_uuid", d.uuid}, label{"device", filepath.Base(d.path)}
	out.gauge(btrfsDeviceSize, btrfsDeviceSizeHelp, float64(d.total), id, device, uuid)
	out.gauge("node_btrfs_device_unused_bytes", "Space of the device that is not allocated.", float64(d.total-d.used),
		id, device, uuid)
	for i, kind := range btrfsErrorKinds() {
		out.counter("node_btrfs_device_errors_total", "Errors of the device, by type.", float64(d.errors[i]),
			id, device, label{"type", kind}, uuid)
	}
}

// btrfsErrorKinds are in the order of the kernel's enum btrfs_dev_stat_values.
func btrfsErrorKinds() [5]string {
	return [...]string{"write", "read", "flush", "corruption", "generation"}
}
