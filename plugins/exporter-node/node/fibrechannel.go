//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/prometheus/procfs/sysfs"
)

// fibrechannel reports the host adapters of /sys/class/fc_host.
type fibrechannel struct{ fs sysfs.FS }

func (c fibrechannel) collect(_ context.Context, _ readings, out *exposition) error {
	hosts, err := c.fs.FibreChannelClass()
	if err != nil {
		return fmt.Errorf("read Fibre Channel hosts: %w", absent(err))
	}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		h := hosts[name]
		host := label{"fc_host", orEmpty(h.Name)}
		out.gauge("node_fibrechannel_info", "Always 1; the labels describe the Fibre Channel host.", 1,
			label{"dev_loss_tmo", orEmpty(h.DevLossTMO)},
			label{"fabric_name", orEmpty(h.FabricName)},
			host,
			label{"port_id", orEmpty(h.PortID)},
			label{"port_name", orEmpty(h.PortName)},
			label{"port_state", orEmpty(h.PortState)},
			label{"port_type", orEmpty(h.PortType)},
			label{"speed", orEmpty(h.Speed)},
			label{"supported_classes", orEmpty(h.SupportedClasses)},
			label{"supported_speeds", orEmpty(h.SupportedSpeeds)},
			label{"symbolic_name", orEmpty(h.SymbolicName)},
		)
		if h.Counters != nil {
			addFibreChannelCounters(h.Counters, host, out)
		}
	}
	return nil
}

// addFibreChannelCounters passes over counters with all bits set, which the firmware does not have.
func addFibreChannelCounters(s *sysfs.FibreChannelCounters, host label, out *exposition) {
	for _, v := range [...]struct {
		name, help string
		value      *uint64
	}{
		{"dumped_frames", "Frames dropped for lack of buffers.", s.DumpedFrames},
		{"error_frames", "Frames received with errors.", s.ErrorFrames},
		{"fcp_packet_aborts", "Packets aborted.", s.FCPPacketAborts},
		{"invalid_crc", "Frames with a wrong checksum.", s.InvalidCRCCount},
		{"invalid_tx_words", "Invalid words sent.", s.InvalidTXWordCount},
		{"link_failure", "Failures of the link.", s.LinkFailureCount},
		{"loss_of_signal", "How often the signal was lost.", s.LossOfSignalCount},
		{"loss_of_sync", "How often synchronization was lost.", s.LossOfSyncCount},
		{"nos", "Not-operational sequences received.", s.NosCount},
		{"rx_frames", "Frames received.", s.RXFrames},
		{"rx_words", "Words received.", s.RXWords},
		{"seconds_since_last_reset", "Seconds since the counters were reset.", s.SecondsSinceLastReset},
		{"tx_frames", "Frames sent.", s.TXFrames},
		{"tx_words", "Words sent.", s.TXWords},
	} {
		if v.value != nil && *v.value != math.MaxUint64 {
			out.counter("node_fibrechannel_"+v.name+"_total", v.help, float64(*v.value), host)
		}
	}
}
