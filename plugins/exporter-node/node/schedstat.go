//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"
)

// schedstat reports, from /proc/schedstat, how long tasks ran on each CPU and waited for it.
type schedstat struct{ proc procfs.FS }

func (c schedstat) collect(_ context.Context, _ readings, out *exposition) error {
	s, err := c.proc.Schedstat()
	if err != nil {
		return fmt.Errorf("read schedstat: %w", absent(err))
	}
	for _, cpu := range s.CPUs {
		on := label{"cpu", cpu.CPUNum}
		out.counter("node_schedstat_running_seconds_total", "Seconds in which the CPU ran a task.",
			float64(cpu.RunningNanoseconds)/1e9, on)
		out.counter("node_schedstat_waiting_seconds_total", "Seconds that tasks spent ready to run on the CPU, summed up.",
			float64(cpu.WaitingNanoseconds)/1e9, on)
		out.counter("node_schedstat_timeslices_total", "Time slices that the CPU ran.", float64(cpu.RunTimeslices), on)
	}
	return nil
}
