//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"
)

// mdadm reports the software RAIDs of /proc/mdstat and /sys/block/md*.
type mdadm struct {
	proc procfs.FS
	sys  sysfs.FS
}

func (c mdadm) collect(_ context.Context, _ readings, out *exposition) error {
	arrays, err := c.proc.MDStat()
	if err != nil {
		return fmt.Errorf("read mdstat: %w", absent(err))
	}
	for i := range arrays {
		addArray(&arrays[i], out)
	}
	raids, err := c.sys.Mdraids()
	if err != nil {
		return fmt.Errorf("read md devices: %w", absent(err))
	}
	for _, r := range raids {
		device := label{"device", r.Device}
		if r.Disks != nil {
			out.gauge("node_md_raid_disks", "Disks that the array should have, as sysfs says.", float64(*r.Disks), device)
		}
		out.gauge("node_md_degraded", "Disks that the array lacks.", float64(r.DegradedDisks), device)
	}
	return nil
}

func addArray(m *procfs.MDStat, out *exposition) {
	device := label{"device", m.Name}
	out.gauge("node_md_disks_required", "Disks that the array should have.", float64(m.DisksTotal), device)
	for _, d := range [...]struct {
		state string
		count int64
	}{{"active", m.DisksActive}, {"failed", m.DisksFailed}, {"spare", m.DisksSpare}} {
		out.gauge("node_md_disks", "Disks of the array, by state.", float64(d.count), device, label{"state", d.state})
	}
	for _, s := range [...]struct{ state, activity string }{
		{"active", "active"},
		{"check", "checking"},
		{"inactive", "inactive"},
		{"recovering", "recovering"},
		{"resync", "resyncing"},
	} {
		out.gauge("node_md_state", "1 for the state that the array is in.", truth(m.ActivityState == s.activity),
			device, label{"state", s.state})
	}
	out.gauge("node_md_blocks", "Blocks of the array.", float64(m.BlocksTotal), device)
	out.gauge("node_md_blocks_synced", "Blocks of the array that are in sync.", float64(m.BlocksSynced), device)
}
