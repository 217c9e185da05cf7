//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"
)

// loadavg reads /proc/loadavg.
type loadavg struct{ proc procfs.FS }

func (c loadavg) collect(_ context.Context, _ readings, out *exposition) error {
	load, err := c.proc.LoadAvg()
	if err != nil {
		return fmt.Errorf("read loadavg: %w", err)
	}
	out.gauge("node_load1", "Load average over 1 minute.", load.Load1)
	out.gauge("node_load5", "Load average over 5 minutes.", load.Load5)
	out.gauge("node_load15", "Load average over 15 minutes.", load.Load15)
	return nil
}
