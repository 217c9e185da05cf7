//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/prometheus/procfs/sysfs"
)

// netclass reports the properties of the network devices in /sys/class/net.
type netclass struct {
	fs           sysfs.FS
	ignored      *regexp.Regexp
	ignoreNoRate bool
}

func newNetclass(s sources) (netclass, error) {
	ignored, err := compile("netclass.ignored_devices", s.cfg.Netclass.IgnoredDevices)
	return netclass{s.sysfs, ignored, s.cfg.Netclass.IgnoreInvalidSpeed}, err
}

func (c netclass) collect(_ context.Context, _ readings, out *exposition) error {
	devices, err := c.fs.NetClassDevices()
	if err != nil {
		return fmt.Errorf("list network devices: %w", absent(err))
	}
	for _, name := range devices {
		if c.ignored.MatchString(name) {
			continue
		}
		d, err := c.fs.NetClassByIface(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // It is gone since the list was made, as a container's device can be.
		}
		if err != nil {
			return fmt.Errorf("read network device %s: %w", name, absent(err))
		}
		c.addDevice(d, out)
	}
	return nil
}

func (c netclass) addDevice(d *sysfs.NetClassIface, out *exposition) {
	device := label{"device", d.Name}
	up := 0.0
	if d.OperState == "up" {
		up = 1
	}
	out.gauge("node_network_up", "1 if the network device is up and can carry packets.", up, device)
	out.gauge("node_network_info", "Always 1; the labels describe the network device.", 1,
		label{"address", d.Address},
		label{"adminstate", adminState(d.Flags)},
		label{"broadcast", d.Broadcast},
		device,
		label{"duplex", d.Duplex},
		label{"ifalias", d.IfAlias},
		label{"operstate", d.OperState},
	)
	for _, p := range [...]struct {
		name  string
		value *int64
	}{
		{"address_assign_type", d.AddrAssignType},
		{"carrier", d.Carrier},
		{"device_id", d.DevID},
		{"dormant", d.Dormant},
		{"flags", d.Flags},
		{"iface_id", d.IfIndex},
		{"iface_link", d.IfLink},
		{"iface_link_mode", d.LinkMode},
		{"mtu_bytes", d.MTU},
		{"name_assign_type", d.NameAssignType},
		{"net_dev_group", d.NetDevGroup},
		{"protocol_type", d.Type},
		{"speed_bytes", c.bytesPerSecond(d.Speed)},
		{"transmit_queue_length", d.TxQueueLen},
	} {
		if p.value != nil {
			out.gauge("node_network_"+p.name, "Property "+p.name+" of the network device.", float64(*p.value), device)
		}
	}
	for _, p := range [...]struct {
		name  string
		value *int64
	}{
		{"carrier_changes_total", d.CarrierChanges},
		{"carrier_down_changes_total", d.CarrierDownCount},
		{"carrier_up_changes_total", d.CarrierUpCount},
	} {
		if p.value != nil {
			out.counter("node_network_"+p.name, "Property "+p.name+" of the network device.", float64(*p.value), device)
		}
	}
}

// bytesPerSecond converts from megabits. A device that does not know its speed says -1.
func (c netclass) bytesPerSecond(megabits *int64) *int64 {
	if megabits == nil || *megabits < 0 && c.ignoreNoRate {
		return nil
	}
	return new(*megabits * 1000 * 1000 / 8)
}

// adminState is what the operator wants the device to be.
func adminState(flags *int64) string {
	const iffUp = 1
	switch {
	case flags == nil:
		return "unknown"
	case *flags&iffUp != 0:
		return "up"
	default:
		return "down"
	}
}
