//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
)

// netdev reports the network devices' counters, from netlink or, without receive_nohandler, from /proc/net/dev.
type netdev struct {
	cfg    netdevConfig
	filter filter
	proc   procfs.FS
	links  func() ([]link, error)
}

func newNetdev(cfg config, proc procfs.FS, links func() ([]link, error)) (*netdev, error) {
	filter, err := newFilter("netdev.device", cfg.Netdev.DeviceInclude, cfg.Netdev.DeviceExclude, "")
	if err != nil {
		return nil, err
	}
	return &netdev{cfg: cfg.Netdev, filter: filter, proc: proc, links: links}, nil
}

func (c *netdev) collect(_ context.Context, _ readings, out *exposition) error {
	devices, err := c.devices()
	if err != nil {
		return err
	}
	for _, d := range devices {
		if !c.filter.keeps(d.name) {
			continue
		}
		for _, s := range d.statistics {
			out.counter("node_network_"+s.name+"_total", "Statistic "+s.name+" of the network device.",
				float64(s.value), label{"device", d.name})
		}
	}
	if c.cfg.AddressInfo {
		return c.addAddresses(out)
	}
	return nil
}

type netDevice struct {
	name       string
	statistics []netStatistic
}

type netStatistic struct {
	name  string
	value uint64
}

func (c *netdev) devices() ([]netDevice, error) {
	if !c.cfg.Netlink {
		return c.procDevices()
	}
	links, err := c.links()
	if err != nil {
		return nil, fmt.Errorf("list network devices: %w", err)
	}
	devices := make([]netDevice, len(links))
	for i, l := range links {
		devices[i].name = l.name
		if c.cfg.EnableDetailedMetrics {
			devices[i].statistics = l.detailedStatistics()
		} else {
			devices[i].statistics = l.statistics()
		}
	}
	return devices, nil
}

func (c *netdev) procDevices() ([]netDevice, error) {
	lines, err := c.proc.NetDev()
	if err != nil {
		return nil, fmt.Errorf("read net/dev: %w", err)
	}
	devices := make([]netDevice, 0, len(lines))
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		d := lines[name]
		devices = append(devices, netDevice{name, []netStatistic{
			{"receive_bytes", d.RxBytes},
			{"receive_packets", d.RxPackets},
			{"receive_errs", d.RxErrors},
			{"receive_drop", d.RxDropped},
			{"receive_fifo", d.RxFIFO},
			{"receive_frame", d.RxFrame},
			{"receive_compressed", d.RxCompressed},
			{"receive_multicast", d.RxMulticast},
			{"transmit_bytes", d.TxBytes},
			{"transmit_packets", d.TxPackets},
			{"transmit_errs", d.TxErrors},
			{"transmit_drop", d.TxDropped},
			{"transmit_fifo", d.TxFIFO},
			{"transmit_colls", d.TxCollisions},
			{"transmit_carrier", d.TxCarrier},
			{"transmit_compressed", d.TxCompressed},
		}})
	}
	return devices, nil
}

func (c *netdev) addAddresses(out *exposition) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for _, i := range interfaces {
		if !c.filter.keeps(i.Name) {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		for _, a := range addresses {
			network, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			bits, _ := network.Mask.Size()
			out.gauge("node_network_address_info", "Always 1; an address of the network device.", 1,
				label{"address", network.IP.String()},
				label{"device", i.Name},
				label{"netmask", strconv.Itoa(bits)},
				label{"scope", addressScope(network.IP)},
			)
		}
	}
	return nil
}

func addressScope(ip net.IP) string {
	switch {
	case ip.IsLoopback(), ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast():
		return "link-local"
	case ip.IsInterfaceLocalMulticast():
		return "interface-local"
	case ip.IsGlobalUnicast():
		return "global"
	default:
		return ""
	}
}
