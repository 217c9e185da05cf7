//go:build linux

package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// arp counts the entries of the ARP table by device, from netlink or /proc/net/arp.
type arp struct {
	filter     filter
	netlink    bool
	proc       procfs.FS
	neighbours func() ([]neighbour, error)
	links      func() ([]link, error)
}

func newARP(s sources) (*arp, error) {
	cfg := s.cfg.Arp
	filter, err := newFilter("arp.device", cfg.DeviceInclude, cfg.DeviceExclude, "")
	if err != nil {
		return nil, err
	}
	return &arp{filter, cfg.Netlink, s.proc, s.system.neighbours, s.system.links}, nil
}

func (c *arp) collect(_ context.Context, _ readings, out *exposition) error {
	count := c.countProcfs
	if c.netlink {
		count = c.countNetlink
	}
	entries, err := count()
	if err != nil {
		return fmt.Errorf("list ARP entries: %w", err)
	}
	for _, device := range slices.Sorted(maps.Keys(entries)) {
		if c.filter.keeps(device) {
			out.gauge("node_arp_entries", "Entries of the ARP table.", float64(entries[device]), label{"device", device})
		}
	}
	return nil
}

func (c *arp) countProcfs() (map[string]int, error) {
	lines, err := c.proc.GatherARPEntries()
	entries := make(map[string]int)
	for _, l := range lines {
		entries[l.Device]++
	}
	return entries, err
}

// countNetlink leaves out what /proc/net/arp leaves out: entries that need no ARP.
func (c *arp) countNetlink() (map[string]int, error) {
	neighbours, err := c.neighbours()
	if err != nil {
		return nil, err
	}
	links, err := c.links()
	if err != nil {
		return nil, err
	}
	names := make(map[int32]string, len(links))
	for _, l := range links {
		names[l.index] = l.name
	}
	entries := make(map[string]int)
	for _, n := range neighbours {
		// A device that is gone since the first list has no entries either.
		if name, ok := names[n.link]; ok && n.state&unix.NUD_NOARP == 0 {
			entries[name]++
		}
	}
	return entries, nil
}
