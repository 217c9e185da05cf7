//go:build linux

package node

import (
	"context"
	"fmt"
	"strconv"

	"github.com/prometheus/procfs/blockdevice"
)

const defaultDiskExclude = `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`

// The kernel counts sectors of 512 bytes whatever the device's own are, and time in milliseconds.
const (
	sectorBytes    = 512
	ticksPerSecond = 1000
)

// diskstats reports /proc/diskstats, and what udev knows about the devices.
type diskstats struct {
	fs     blockdevice.FS
	filter filter
	udev   udevDB
}

func newDiskstats(cfg config) (*diskstats, error) {
	filter, err := newFilter("diskstats.device", cfg.Diskstats.DeviceInclude, cfg.Diskstats.DeviceExclude,
		defaultDiskExclude)
	if err != nil {
		return nil, err
	}
	fs, err := blockdevice.NewFS(cfg.PathProcfs, cfg.PathSysfs)
	if err != nil {
		return nil, fmt.Errorf("path_procfs, path_sysfs: %w", err)
	}
	return &diskstats{fs: fs, filter: filter, udev: newUdevDB(cfg.PathUdevData)}, nil
}

func (c *diskstats) collect(_ context.Context, _ readings, out *exposition) error {
	disks, err := c.fs.ProcDiskstats()
	if err != nil {
		return fmt.Errorf("read diskstats: %w", err)
	}
	for _, d := range disks {
		if !c.filter.keeps(d.DeviceName) {
			continue
		}
		device := label{"device", d.DeviceName}
		properties := c.udev.properties(d.MajorNumber, d.MinorNumber)
		c.addInfo(d, properties, out)
		addDiskCounters(d, device, out)
		addUdevInfo(properties, device, out)
	}
	return nil
}

func (c *diskstats) addInfo(d blockdevice.Diskstats, udev map[string]string, out *exposition) {
	// A device without a queue, or of an unknown kind, passes as one that does not rotate.
	rotational := "0"
	if v, err := c.fs.SysBlockDeviceRotational(d.DeviceName); err == nil && v == 1 {
		rotational = "1"
	}
	out.gauge("node_disk_info", "Always 1; the labels describe the block device.", 1,
		label{"device", d.DeviceName},
		label{"major", strconv.FormatUint(uint64(d.MajorNumber), 10)},
		label{"minor", strconv.FormatUint(uint64(d.MinorNumber), 10)},
		label{"model", udev["ID_MODEL"]},
		label{"path", udev["ID_PATH"]},
		label{"revision", udev["ID_REVISION"]},
		label{"rotational", rotational},
		label{"serial", serialNumber(udev)},
		label{"wwn", udev["ID_WWN"]},
	)
}

// addDiskCounters reports as many statistics as the kernel has: discards came with 4.18, flushes with 5.5.
func addDiskCounters(d blockdevice.Diskstats, device label, out *exposition) {
	const identity = 3 // Major, minor and name stand before the statistics and are counted with them.
	for i, s := range [...]struct {
		name, help string
		value      float64
	}{
		{"node_disk_reads_completed_total", "Reads completed.", float64(d.ReadIOs)},
		{"node_disk_reads_merged_total", "Reads merged with a neighbour.", float64(d.ReadMerges)},
		{"node_disk_read_bytes_total", "Bytes read.", float64(d.ReadSectors) * sectorBytes},
		{"node_disk_read_time_seconds_total", "Seconds spent by all reads.", float64(d.ReadTicks) / ticksPerSecond},
		{"node_disk_writes_completed_total", "Writes completed.", float64(d.WriteIOs)},
		{"node_disk_writes_merged_total", "Writes merged with a neighbour.", float64(d.WriteMerges)},
		{"node_disk_written_bytes_total", "Bytes written.", float64(d.WriteSectors) * sectorBytes},
		{"node_disk_write_time_seconds_total", "Seconds spent by all writes.", float64(d.WriteTicks) / ticksPerSecond},
		{"node_disk_io_now", "Requests in flight.", float64(d.IOsInProgress)},
		{
			"node_disk_io_time_seconds_total", "Seconds in which requests were in flight.",
			float64(d.IOsTotalTicks) / ticksPerSecond,
		},
		{
			"node_disk_io_time_weighted_seconds_total", "Seconds in which requests were in flight, times their number.",
			float64(d.WeightedIOTicks) / ticksPerSecond,
		},
		{"node_disk_discards_completed_total", "Discards completed.", float64(d.DiscardIOs)},
		{"node_disk_discards_merged_total", "Discards merged with a neighbour.", float64(d.DiscardMerges)},
		{"node_disk_discarded_sectors_total", "Sectors discarded.", float64(d.DiscardSectors)},
		{
			"node_disk_discard_time_seconds_total", "Seconds spent by all discards.",
			float64(d.DiscardTicks) / ticksPerSecond,
		},
		{"node_disk_flush_requests_total", "Flushes completed.", float64(d.FlushRequestsCompleted)},
		{
			"node_disk_flush_requests_time_seconds_total", "Seconds spent by all flushes.",
			float64(d.TimeSpentFlushing) / ticksPerSecond,
		},
	} {
		if i+identity >= d.IoStatsCount {
			return
		}
		if s.name == "node_disk_io_now" {
			out.gauge(s.name, s.help, s.value, device)
		} else {
			out.counter(s.name, s.help, s.value, device)
		}
	}
}
