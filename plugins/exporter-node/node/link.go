//go:build linux

package node

// link is a network device as the kernel knows it.
type link struct {
	name  string
	stats linkStats
	index int32
}

// linkStats has the layout of the kernel's struct rtnl_link_stats64 as of 4.6; older kernels lack the last field,
// newer ones have more.
type linkStats struct {
	RxPackets, TxPackets                                                                   uint64
	RxBytes, TxBytes                                                                       uint64
	RxErrors, TxErrors                                                                     uint64
	RxDropped, TxDropped                                                                   uint64
	Multicast, Collisions                                                                  uint64
	RxLengthErrors, RxOverErrors, RxCRCErrors, RxFrameErrors, RxFIFOErrors, RxMissedErrors uint64
	TxAbortedErrors, TxCarrierErrors, TxFIFOErrors, TxHeartbeatErrors, TxWindowErrors      uint64
	RxCompressed, TxCompressed                                                             uint64
	RxNoHandler                                                                            uint64
}

// statistics sums up as /proc/net/dev does, and has its names.
func (l *link) statistics() []netStatistic {
	s := &l.stats
	return []netStatistic{
		{"receive_bytes", s.RxBytes},
		{"receive_packets", s.RxPackets},
		{"receive_errs", s.RxErrors},
		{"receive_drop", s.RxDropped + s.RxMissedErrors},
		{"receive_fifo", s.RxFIFOErrors},
		{"receive_frame", s.RxFrameErrors + s.RxLengthErrors + s.RxOverErrors + s.RxCRCErrors},
		{"receive_compressed", s.RxCompressed},
		{"receive_multicast", s.Multicast},
		{"receive_nohandler", s.RxNoHandler},
		{"transmit_bytes", s.TxBytes},
		{"transmit_packets", s.TxPackets},
		{"transmit_errs", s.TxErrors},
		{"transmit_drop", s.TxDropped},
		{"transmit_fifo", s.TxFIFOErrors},
		{"transmit_colls", s.Collisions},
		{"transmit_carrier", s.TxCarrierErrors + s.TxAbortedErrors + s.TxHeartbeatErrors + s.TxWindowErrors},
		{"transmit_compressed", s.TxCompressed},
	}
}

// detailedStatistics has one name for each of the kernel's counters.
func (l *link) detailedStatistics() []netStatistic {
	s := &l.stats
	return []netStatistic{
		{"receive_packets", s.RxPackets},
		{"transmit_packets", s.TxPackets},
		{"receive_bytes", s.RxBytes},
		{"transmit_bytes", s.TxBytes},
		{"receive_errors", s.RxErrors},
		{"transmit_errors", s.TxErrors},
		{"receive_dropped", s.RxDropped},
		{"transmit_dropped", s.TxDropped},
		{"multicast", s.Multicast},
		{"collisions", s.Collisions},
		{"receive_length_errors", s.RxLengthErrors},
		{"receive_over_errors", s.RxOverErrors},
		{"receive_crc_errors", s.RxCRCErrors},
		{"receive_frame_errors", s.RxFrameErrors},
		{"receive_fifo_errors", s.RxFIFOErrors},
		{"receive_missed_errors", s.RxMissedErrors},
		{"transmit_aborted_errors", s.TxAbortedErrors},
		{"transmit_carrier_errors", s.TxCarrierErrors},
		{"transmit_fifo_errors", s.TxFIFOErrors},
		{"transmit_heartbeat_errors", s.TxHeartbeatErrors},
		{"transmit_window_errors", s.TxWindowErrors},
		{"receive_compressed", s.RxCompressed},
		{"transmit_compressed", s.TxCompressed},
		{"receive_nohandler", s.RxNoHandler},
	}
}
