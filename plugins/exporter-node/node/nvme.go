//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/procfs/sysfs"
)

// nvme reports the NVMe controllers of /sys/class/nvme and their namespaces.
type nvme struct{ fs sysfs.FS }

func (c nvme) collect(_ context.Context, _ readings, out *exposition) error {
	devices, err := c.fs.NVMeClass()
	if err != nil {
		return fmt.Errorf("read NVMe devices: %w", absent(err))
	}
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		d := devices[name]
		device := label{"device", d.Name}
		out.gauge("node_nvme_info", "Always 1; the labels describe the NVMe controller.", 1,
			label{"cntlid", d.ControllerID},
			device,
			label{"firmware_revision", d.FirmwareRevision},
			label{"model", d.Model},
			label{"serial", d.Serial},
			label{"state", d.State},
		)
		for _, n := range d.Namespaces {
			nsid := label{"nsid", n.ID}
			out.gauge("node_nvme_namespace_info", "Always 1; the state of the NVMe namespace.", 1,
				label{"ana_state", n.ANAState}, device, nsid)
			out.gauge("node_nvme_namespace_capacity_bytes", "Capacity of the NVMe namespace.", float64(n.CapacityBytes),
				device, nsid)
			out.gauge("node_nvme_namespace_size_bytes", "Size of the NVMe namespace.", float64(n.SizeBytes), device, nsid)
			if used, err := n.UsedBlocks(); err == nil && used != nil {
				out.gauge("node_nvme_namespace_used_bytes", "Used space of the NVMe namespace.",
					float64(*used*n.LogicalBlockSize), device, nsid)
			}
			out.gauge("node_nvme_namespace_logical_block_size_bytes", "Size of the NVMe namespace's blocks.",
				float64(n.LogicalBlockSize), device, nsid)
		}
	}
	return nil
}
