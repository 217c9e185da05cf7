//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs/sysfs"
	"golang.org/x/sys/unix"
)

// thermalZone reports the temperatures and cooling devices of /sys/class/thermal.
type thermalZone struct{ fs sysfs.FS }

func (c thermalZone) collect(_ context.Context, _ readings, out *exposition) error {
	zones, err := c.fs.ClassThermalZoneStats()
	if err != nil {
		if errors.Is(err, fs.ErrInvalid) || errors.Is(err, unix.EINVAL) { // A sensor that is switched off.
			return fmt.Errorf("%w: read thermal zones: %w", errNoData, err)
		}
		return fmt.Errorf("read thermal zones: %w", absent(err))
	}
	for _, z := range zones {
		out.gauge("node_thermal_zone_temp", "Temperature of the zone in degrees Celsius.", float64(z.Temp)/1000,
			label{"type", z.Type}, label{"zone", z.Name})
	}
	devices, err := c.fs.ClassCoolingDeviceStats()
	if err != nil {
		return fmt.Errorf("read cooling devices: %w", err)
	}
	for _, d := range devices {
		labels := []label{{"name", d.Name}, {"type", d.Type}}
		out.gauge("node_cooling_device_cur_state", "How much the device cools now.", float64(d.CurState), labels...)
		out.gauge("node_cooling_device_max_state", "How much the device can cool.", float64(d.MaxState), labels...)
	}
	return nil
}
