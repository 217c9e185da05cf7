//go:build linux

package node

import (
	"context"
	"fmt"
	"strconv"

	"github.com/prometheus/procfs/sysfs"
)

// rapl reports the energy that the zones of /sys/class/powercap used. Most kernels let only root read it.
type rapl struct {
	fs        sysfs.FS
	zoneLabel bool
}

func (c rapl) collect(_ context.Context, _ readings, out *exposition) error {
	zones, err := sysfs.GetRaplZones(c.fs)
	if err != nil {
		return fmt.Errorf("list energy zones: %w", absent(err))
	}
	for _, z := range zones {
		microjoules, err := z.GetEnergyMicrojoules()
		if err != nil {
			return fmt.Errorf("read energy of %s: %w", z.Name, absent(err))
		}
		joules, labels := float64(microjoules)/1e6, []label{{"index", strconv.Itoa(z.Index)}, {"path", z.Path}}
		if c.zoneLabel {
			out.counter("node_rapl_joules_total", "Joules that the zone used.", joules, append(labels, label{"rapl_zone", z.Name})...)
		} else {
			out.counter("node_rapl_"+sanitized(z.Name)+"_joules_total", "Joules that zones named "+z.Name+" used.", joules,
				labels...)
		}
	}
	return nil
}
