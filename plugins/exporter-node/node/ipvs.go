//go:build linux

package node

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

const defaultIPVSLabels = "local_address,local_port,remote_address,remote_port,proto,local_mark"

// ipvs reports the kernel's load balancer from /proc/net/ip_vs and ip_vs_stats. Backends that the chosen labels do not
// tell apart are summed up.
type ipvs struct {
	proc   procfs.FS
	labels []string
}

func newIPVS(s sources) (ipvs, error) {
	known := strings.Split(defaultIPVSLabels, ",")
	var labels []string
	for name := range strings.SplitSeq(s.cfg.IPVS.BackendLabels, ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(known, name) {
			return ipvs{}, fmt.Errorf("ipvs.backend_labels: %q is not one of %s", name, defaultIPVSLabels)
		}
		labels = append(labels, name)
	}
	slices.Sort(labels)
	return ipvs{s.proc, slices.Compact(labels)}, nil
}

func (c ipvs) collect(_ context.Context, _ readings, out *exposition) error {
	s, err := c.proc.IPVSStats()
	if err != nil {
		return fmt.Errorf("read ip_vs_stats: %w", absent(err))
	}
	out.counter("node_ipvs_connections_total", "Connections.", float64(s.Connections))
	out.counter("node_ipvs_incoming_packets_total", "Packets that came in.", float64(s.IncomingPackets))
	out.counter("node_ipvs_outgoing_packets_total", "Packets that went out.", float64(s.OutgoingPackets))
	out.counter("node_ipvs_incoming_bytes_total", "Bytes that came in.", float64(s.IncomingBytes))
	out.counter("node_ipvs_outgoing_bytes_total", "Bytes that went out.", float64(s.OutgoingBytes))

	backends, err := c.proc.IPVSBackendStatus()
	if err != nil {
		return fmt.Errorf("read ip_vs: %w", err)
	}
	for _, b := range c.sum(backends) {
		out.gauge("node_ipvs_backend_connections_active", "Active connections to the backend.", float64(b.active), b.labels...)
		out.gauge("node_ipvs_backend_connections_inactive", "Inactive connections to the backend.", float64(b.inactive),
			b.labels...)
		out.gauge("node_ipvs_backend_weight", "Weight of the backend.", float64(b.weight), b.labels...)
	}
	return nil
}

type ipvsBackend struct {
	labels                   []label
	active, inactive, weight uint64
}

func (c ipvs) sum(backends []procfs.IPVSBackendStatus) []*ipvsBackend {
	var sums []*ipvsBackend
	for i := range backends {
		labels := c.backendLabels(&backends[i])
		at := slices.IndexFunc(sums, func(b *ipvsBackend) bool { return slices.Equal(b.labels, labels) })
		if at < 0 {
			at = len(sums)
			sums = append(sums, &ipvsBackend{labels: labels})
		}
		sums[at].active += backends[i].ActiveConn
		sums[at].inactive += backends[i].InactConn
		sums[at].weight += backends[i].Weight
	}
	return sums
}

func (c ipvs) backendLabels(b *procfs.IPVSBackendStatus) []label {
	labels := make([]label, len(c.labels))
	for i, name := range c.labels {
		value := ""
		switch name {
		case "local_address":
			if b.LocalAddress != nil { // A service can be found by its mark instead.
				value = b.LocalAddress.String()
			}
		case "local_mark":
			value = b.LocalMark
		case "local_port":
			value = strconv.FormatUint(uint64(b.LocalPort), 10)
		case "proto":
			value = b.Proto
		case "remote_address":
			value = b.RemoteAddress.String()
		case "remote_port":
			value = strconv.FormatUint(uint64(b.RemotePort), 10)
		}
		labels[i] = label{name, value}
	}
	return labels
}
