//go:build linux

package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/procfs/sysfs"
)

// dmi reports, from /sys/class/dmi/id, what the firmware says about the machine. It does not change, so that it is read
// once.
type dmi struct{ labels func() ([]label, error) }

func newDMI(s sources) collector {
	return dmi{sync.OnceValues(func() ([]label, error) { return readDMI(s.sysfs) })}
}

func (c dmi) collect(_ context.Context, _ readings, out *exposition) error {
	labels, err := c.labels()
	if err != nil {
		return fmt.Errorf("read DMI: %w", absent(err))
	}
	if len(labels) == 0 {
		return fmt.Errorf("%w: the firmware says nothing about the machine", errNoData)
	}
	out.gauge("node_dmi_info", "Always 1; the labels describe the machine.", 1, labels...)
	return nil
}

// readDMI leaves out what the firmware does not say, and what only root may read.
func readDMI(fs sysfs.FS) ([]label, error) {
	d, err := fs.DMIClass()
	if err != nil {
		return nil, err
	}
	var known []label
	for _, l := range [...]struct {
		name  string
		value *string
	}{
		{"bios_date", d.BiosDate},
		{"bios_release", d.BiosRelease},
		{"bios_vendor", d.BiosVendor},
		{"bios_version", d.BiosVersion},
		{"board_asset_tag", d.BoardAssetTag},
		{"board_name", d.BoardName},
		{"board_serial", d.BoardSerial},
		{"board_vendor", d.BoardVendor},
		{"board_version", d.BoardVersion},
		{"chassis_asset_tag", d.ChassisAssetTag},
		{"chassis_serial", d.ChassisSerial},
		{"chassis_vendor", d.ChassisVendor},
		{"chassis_version", d.ChassisVersion},
		{"product_family", d.ProductFamily},
		{"product_name", d.ProductName},
		{"product_serial", d.ProductSerial},
		{"product_sku", d.ProductSKU},
		{"product_uuid", d.ProductUUID},
		{"product_version", d.ProductVersion},
		{"system_vendor", d.SystemVendor},
	} {
		if l.value != nil {
			known = append(known, label{l.name, *l.value})
		}
	}
	return known, nil
}
