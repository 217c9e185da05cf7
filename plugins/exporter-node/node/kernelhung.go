//go:build linux

package node

import (
	"context"
	"fmt"

	"github.com/prometheus/procfs"
)

// kernelHung reports how many tasks the kernel has found hanging, which it counts since Linux 6.13.
type kernelHung struct{ proc procfs.FS }

func (c kernelHung) collect(_ context.Context, _ readings, out *exposition) error {
	h, err := c.proc.KernelHung()
	if err != nil {
		return fmt.Errorf("read hung_task_detect_count: %w", absent(err))
	}
	out.counter("node_kernel_hung_tasks_total", "Tasks found hanging since boot.", float64(*h.HungTaskDetectCount))
	return nil
}
