//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/prometheus/procfs"
)

// udpQueues sums up the queues of all UDP sockets in /proc/net/udp and udp6.
type udpQueues struct{ proc procfs.FS }

func (c udpQueues) collect(_ context.Context, _ readings, out *exposition) error {
	found := false
	add := func(rx, tx uint64, err error, ip string) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read UDP sockets of IP%s: %w", ip, err)
		}
		found = true
		const name, help = "node_udp_queues", "Bytes in the queues of all UDP sockets."
		out.gauge(name, help, float64(tx), label{"ip", ip}, label{"queue", "tx"})
		out.gauge(name, help, float64(rx), label{"ip", ip}, label{"queue", "rx"})
		return nil
	}
	var v4, v6 procfs.NetUDPSummary
	s4, err := c.proc.NetUDPSummary()
	if err == nil {
		v4 = *s4
	}
	if err := add(v4.RxQueueLength, v4.TxQueueLength, err, "v4"); err != nil {
		return err
	}
	s6, err := c.proc.NetUDP6Summary()
	if err == nil {
		v6 = *s6
	}
	if err := add(v6.RxQueueLength, v6.TxQueueLength, err, "v6"); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: the kernel has no /proc/net/udp", errNoData)
	}
	return nil
}
