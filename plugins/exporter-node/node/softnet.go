//go:build linux

package node

import (
	"context"
	"fmt"
	"strconv"

	"github.com/prometheus/procfs"
)

// softnet reports /proc/net/softnet_stat: how each CPU handles the packets that arrive.
type softnet struct{ proc procfs.FS }

func (c softnet) collect(_ context.Context, _ readings, out *exposition) error {
	cpus, err := c.proc.NetSoftnetStat()
	if err != nil {
		return fmt.Errorf("read softnet_stat: %w", err)
	}
	for _, s := range cpus {
		cpu := label{"cpu", strconv.FormatUint(uint64(s.Index), 10)}
		counter := func(name, help string, value uint32) {
			out.counter("node_softnet_"+name+"_total", help, float64(value), cpu)
		}
		counter("processed", "Packets handled.", s.Processed)
		counter("dropped", "Packets dropped because the backlog was full.", s.Dropped)
		counter("times_squeezed", "How often packets were left when the budget was used up.", s.TimeSqueezed)
		counter("cpu_collision", "How often the lock of a device was taken when transmitting.", s.CPUCollision)
		counter("received_rps", "How often another CPU woke this one to handle packets.", s.ReceivedRps)
		counter("flow_limit_count", "How often a flow reached its limit.", s.FlowLimitCount)
		out.gauge("node_softnet_backlog_len", "Packets in the backlog.", float64(s.SoftnetBacklogLen), cpu)
	}
	return nil
}
