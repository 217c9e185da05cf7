//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs/blockdevice"
)

// dmMultipath reports the multipath devices of the device mapper and the state of their paths.
type dmMultipath struct{ fs blockdevice.FS }

func newDMMultipath(s sources) (dmMultipath, error) {
	fs, err := blockdevice.NewFS(s.cfg.PathProcfs, s.cfg.PathSysfs)
	return dmMultipath{fs}, err
}

func (c dmMultipath) collect(_ context.Context, _ readings, out *exposition) error {
	devices, err := c.fs.DMMultipathDevices()
	if err != nil {
		return fmt.Errorf("list multipath devices: %w", absent(err))
	}
	for _, d := range devices {
		device, sysfsName := label{"device", d.Name}, label{"sysfs_name", d.SysfsName}
		active := 0
		for _, p := range d.Paths {
			if p.State == "running" || p.State == "live" { // As SCSI and NVMe call it.
				active++
			}
			out.gauge("node_dmmultipath_path_state", "Always 1; the state of a path of the multipath device.", 1,
				device, label{"path", p.Device}, label{"state", p.State})
		}
		out.gauge("node_dmmultipath_device_info", "Always 1; the labels describe the multipath device.", 1,
			device, sysfsName, label{"uuid", d.UUID})
		gauge := func(name, help string, value float64) {
			out.gauge("node_dmmultipath_device_"+name, help, value, device, sysfsName)
		}
		gauge("active", "1 if the multipath device is active, 0 if it is suspended.", truth(!d.Suspended))
		gauge("size_bytes", "Size of the multipath device.", float64(d.SizeBytes))
		gauge("paths", "Paths of the multipath device.", float64(len(d.Paths)))
		gauge("paths_active", "Paths of the multipath device that work.", float64(active))
		gauge("paths_failed", "Paths of the multipath device that do not work.", float64(len(d.Paths)-active))
	}
	return nil
}
