//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// pressure reports the stall times of /proc/pressure, which is there since Linux 4.20 (irq: 6.1) unless psi=0 turns
// it off.
type pressure struct{ proc procfs.FS }

func (c pressure) collect(_ context.Context, _ readings, out *exposition) error {
	found := false
	for _, resource := range [...]struct {
		name          string
		some, full    bool
		waits, stalls string
	}{
		{name: "cpu", some: true, waits: "Seconds in which a task waited for a CPU."},
		{
			name: "io", some: true, full: true,
			waits: "Seconds in which a task waited for I/O.", stalls: "Seconds in which all tasks waited for I/O.",
		},
		{
			name: "memory", some: true, full: true,
			waits: "Seconds in which a task waited for memory.", stalls: "Seconds in which all tasks waited for memory.",
		},
		{name: "irq", full: true, stalls: "Seconds in which interrupts kept all tasks from running."},
	} {
		stats, err := c.proc.PSIStatsForResource(resource.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, unix.ENOTSUP):
			return fmt.Errorf("%w: psi=1 on the kernel's command line turns pressure on: %w", errNoData, err)
		case err != nil:
			return fmt.Errorf("read pressure: %w", err)
		case resource.some && stats.Some == nil, resource.full && stats.Full == nil:
			return fmt.Errorf("%w: pressure/%s is incomplete", errNoData, resource.name)
		}
		found = true
		if resource.some {
			out.counter("node_pressure_"+resource.name+"_waiting_seconds_total", resource.waits,
				float64(stats.Some.Total)/1e6)
		}
		if resource.full {
			out.counter("node_pressure_"+resource.name+"_stalled_seconds_total", resource.stalls,
				float64(stats.Full.Total)/1e6)
		}
	}
	if !found {
		return fmt.Errorf("%w: the kernel has no /proc/pressure", errNoData)
	}
	return nil
}
