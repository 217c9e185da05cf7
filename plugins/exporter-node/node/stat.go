//go:build linux

package node

import (
	"context"
	"fmt"
)

// stat reports what /proc/stat says about the system as a whole; the CPUs' part belongs to the cpu collector.
type stat struct{ cfg statConfig }

func (c stat) collect(_ context.Context, in readings, out *exposition) error {
	s, err := in.stat()
	if err != nil {
		return fmt.Errorf("read stat: %w", err)
	}
	out.counter("node_intr_total", "Interrupts serviced since boot.", float64(s.IRQTotal))
	out.counter("node_context_switches_total", "Context switches since boot.", float64(s.ContextSwitches))
	out.counter("node_forks_total", "Processes and threads created since boot.", float64(s.ProcessCreated))
	out.gauge("node_boot_time_seconds", "When the system was booted, in seconds since 1970.", float64(s.BootTime))
	out.gauge("node_procs_running", "Processes that run or could run.", float64(s.ProcessesRunning))
	out.gauge("node_procs_blocked", "Processes that wait for I/O.", float64(s.ProcessesBlocked))
	if !c.cfg.Softirq {
		return nil
	}
	for _, v := range []struct {
		vector string
		count  uint64
	}{
		{"hi", s.SoftIRQ.Hi},
		{"timer", s.SoftIRQ.Timer},
		{"net_tx", s.SoftIRQ.NetTx},
		{"net_rx", s.SoftIRQ.NetRx},
		{"block", s.SoftIRQ.Block},
		{"block_iopoll", s.SoftIRQ.BlockIoPoll},
		{"tasklet", s.SoftIRQ.Tasklet},
		{"sched", s.SoftIRQ.Sched},
		{"hrtimer", s.SoftIRQ.Hrtimer},
		{"rcu", s.SoftIRQ.Rcu},
	} {
		out.counter("node_softirqs_total", "Soft interrupts since boot, by vector.",
			float64(v.count), label{"vector", v.vector})
	}
	return nil
}
