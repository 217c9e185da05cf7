//go:build linux

package node

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/procfs/sysfs"
)

// clock reports the system's time and, from /sys/devices/system/clocksource, what the kernel tells time by.
type clock struct {
	sys sysfs.FS
	now func() time.Time
}

func (c clock) collect(_ context.Context, _ readings, out *exposition) error {
	now := c.now()
	zone, offset := now.Zone()
	out.gauge("node_time_seconds", "The system's time, in seconds since 1970.", float64(now.UnixNano())/1e9)
	out.gauge("node_time_zone_offset_seconds", "How far the local time zone is east of UTC, in seconds.",
		float64(offset), label{"time_zone", zone})

	sources, err := c.sys.ClockSources()
	if err != nil {
		return fmt.Errorf("read clock sources: %w", err)
	}
	for i, source := range sources {
		device := label{"device", strconv.Itoa(i)}
		for _, name := range source.Available {
			out.gauge("node_time_clocksource_available_info", "Always 1; a clock source that the kernel could use.",
				1, label{"clocksource", name}, device)
		}
		out.gauge("node_time_clocksource_current_info", "Always 1; the clock source that the kernel uses.",
			1, label{"clocksource", source.Current}, device)
	}
	return nil
}
