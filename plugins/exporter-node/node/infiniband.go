//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/procfs/sysfs"
)

// infiniband reports the adapters and ports of /sys/class/infiniband.
type infiniband struct {
	fs     sysfs.FS
	filter filter
}

func newInfiniband(s sources) (infiniband, error) {
	cfg := s.cfg.Infiniband
	filter, err := newFilter("infiniband.device", cfg.DeviceInclude, cfg.DeviceExclude, "")
	return infiniband{s.sysfs, filter}, err
}

func (c infiniband) collect(_ context.Context, _ readings, out *exposition) error {
	devices, err := c.fs.InfiniBandClass()
	if err != nil {
		return fmt.Errorf("read InfiniBand devices: %w", absent(err))
	}
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		d := devices[name]
		if !c.filter.keeps(d.Name) {
			continue
		}
		out.gauge("node_infiniband_info", "Always 1; the labels describe the InfiniBand device.", 1,
			label{"board_id", d.BoardID},
			label{"device", d.Name},
			label{"firmware_version", d.FirmwareVersion},
			label{"hca_type", d.HCAType},
		)
		for _, number := range slices.Sorted(maps.Keys(d.Ports)) {
			port := d.Ports[number]
			addInfinibandPort(&port, out)
		}
	}
	return nil
}

func addInfinibandPort(p *sysfs.InfiniBandPort, out *exposition) {
	labels := []label{{"device", p.Name}, {"port", strconv.FormatUint(uint64(p.Port), 10)}}
	out.gauge("node_infiniband_state_id",
		"The port's state: 0 no change, 1 down, 2 init, 3 armed, 4 active, 5 deferred.", float64(p.StateID), labels...)
	out.gauge("node_infiniband_physical_state_id", "The port's physical state: 0 no change, 1 sleep, 2 polling, "+
		"3 disabled, 4 shift, 5 link up, 6 error recovery, 7 test.", float64(p.PhysStateID), labels...)
	out.gauge("node_infiniband_rate_bytes_per_second", "The highest rate of the port.", float64(p.Rate), labels...)
	if p.HwCounters.Lifespan != nil {
		out.gauge("node_infiniband_lifespan_seconds", "How often the hardware's counters are read.",
			float64(*p.HwCounters.Lifespan/1000), labels...)
	}
	for _, list := range [...][]infinibandCounter{infinibandCounters(&p.Counters), infinibandHwCounters(&p.HwCounters)} {
		for _, c := range list {
			if c.value != nil {
				out.counter("node_infiniband_"+c.name+"_total", "Counter "+c.name+" of the port.", float64(*c.value), labels...)
			}
		}
	}
}

type infinibandCounter struct {
	name  string
	value *uint64
}

func infinibandCounters(s *sysfs.InfiniBandCounters) []infinibandCounter {
	return []infinibandCounter{
		{"excessive_buffer_overrun_errors", s.ExcessiveBufferOverrunErrors},
		{"legacy_data_received_bytes", s.LegacyPortRcvData64},
		{"legacy_data_transmitted_bytes", s.LegacyPortXmitData64},
		{"legacy_multicast_packets_received", s.LegacyPortMulticastRcvPackets},
		{"legacy_multicast_packets_transmitted", s.LegacyPortMulticastXmitPackets},
		{"legacy_packets_received", s.LegacyPortRcvPackets64},
		{"legacy_packets_transmitted", s.LegacyPortXmitPackets64},
		{"legacy_unicast_packets_received", s.LegacyPortUnicastRcvPackets},
		{"legacy_unicast_packets_transmitted", s.LegacyPortUnicastXmitPackets},
		{"link_downed", s.LinkDowned},
		{"link_error_recovery", s.LinkErrorRecovery},
		{"local_link_integrity_errors", s.LocalLinkIntegrityErrors},
		{"multicast_packets_received", s.MulticastRcvPackets},
		{"multicast_packets_transmitted", s.MulticastXmitPackets},
		{"port_constraint_errors_received", s.PortRcvConstraintErrors},
		{"port_constraint_errors_transmitted", s.PortXmitConstraintErrors},
		{"port_data_received_bytes", s.PortRcvData},
		{"port_data_transmitted_bytes", s.PortXmitData},
		{"port_discards_received", s.PortRcvDiscards},
		{"port_discards_transmitted", s.PortXmitDiscards},
		{"port_errors_received", s.PortRcvErrors},
		{"port_packets_received", s.PortRcvPackets},
		{"port_packets_transmitted", s.PortXmitPackets},
		{"port_receive_remote_physical_errors", s.PortRcvRemotePhysicalErrors},
		{"port_receive_switch_relay_errors", s.PortRcvSwitchRelayErrors},
		{"port_transmit_wait", s.PortXmitWait},
		{"symbol_error", s.SymbolError},
		{"unicast_packets_received", s.UnicastRcvPackets},
		{"unicast_packets_transmitted", s.UnicastXmitPackets},
		{"vl15_dropped", s.VL15Dropped},
	}
}

func infinibandHwCounters(s *sysfs.InfiniBandHwCounters) []infinibandCounter {
	return []infinibandCounter{
		{"duplicate_requests_packets", s.DuplicateRequest},
		{"implied_nak_seq_errors", s.ImpliedNakSeqErr},
		{"local_ack_timeout_errors", s.LocalAckTimeoutErr},
		{"np_cnp_packets_sent", s.NpCnpSent},
		{"np_ecn_marked_roce_packets_received", s.NpEcnMarkedRocePackets},
		{"out_of_buffer_drops", s.OutOfBuffer},
		{"out_of_sequence_packets_received", s.OutOfSequence},
		{"packet_sequence_errors", s.PacketSeqErr},
		{"req_cqes_errors", s.ReqCqeError},
		{"req_cqes_flush_errors", s.ReqCqeFlushError},
		{"req_remote_access_errors", s.ReqRemoteAccessErrors},
		{"req_remote_invalid_request_errors", s.ReqRemoteInvalidRequest},
		{"resp_cqes_errors", s.RespCqeError},
		{"resp_cqes_flush_errors", s.RespCqeFlushError},
		{"resp_local_length_errors", s.RespLocalLengthError},
		{"resp_remote_access_errors", s.RespRemoteAccessErrors},
		{"rnr_nak_retry_packets_received", s.RnrNakRetryErr},
		{"roce_adp_retransmits", s.RoceAdpRetrans},
		{"roce_adp_retransmits_timeout", s.RoceAdpRetransTo},
		{"roce_slow_restart", s.RoceSlowRestartTrans},
		{"roce_slow_restart_cnps", s.RoceSlowRestartCnps},
		{"roce_slow_restart_used", s.RoceSlowRestart},
		{"rp_cnp_ignored_packets_received", s.RpCnpIgnored},
		{"rp_cnp_packets_handled", s.RpCnpHandled},
		{"rx_atomic_requests", s.RxAtomicRequests},
		{"rx_dct_connect_requests", s.RxDctConnect},
		{"rx_icrc_encapsulated_errors", s.RxIcrcEncapsulated},
		{"rx_read_requests", s.RxReadRequests},
		{"rx_write_requests", s.RxWriteRequests},
	}
}
