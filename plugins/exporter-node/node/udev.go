//go:build linux

package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// udevDB is the folder in which udev keeps what it found out about devices; empty where there is none.
type udevDB string

func newUdevDB(path string) udevDB {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return ""
	}
	return udevDB(path)
}

// properties returns the device's properties, none for a device that udev does not know.
func (db udevDB) properties(major, minor uint32) map[string]string {
	if db == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(string(db), fmt.Sprintf("b%d:%d", major, minor)))
	if err != nil {
		return nil
	}
	properties := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if property, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "E:"); ok {
			if name, value, ok := strings.Cut(property, "="); ok {
				properties[name] = value
			}
		}
	}
	return properties
}

// serialNumber prefers the number that is printed on the disk; virtio disks have the last one only.
func serialNumber(udev map[string]string) string {
	for _, name := range [...]string{"SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"} {
		if udev[name] != "" {
			return udev[name]
		}
	}
	return ""
}

// addUdevInfo reports what holds for some devices only: a file system on them, a device mapper, ATA features.
func addUdevInfo(udev map[string]string, device label, out *exposition) {
	if fstype := udev["ID_FS_TYPE"]; fstype != "" {
		out.gauge("node_disk_filesystem_info", "Always 1; the labels describe the file system on the device.", 1,
			device,
			label{"type", fstype},
			label{"usage", udev["ID_FS_USAGE"]},
			label{"uuid", udev["ID_FS_UUID"]},
			label{"version", udev["ID_FS_VERSION"]},
		)
	}
	if name := udev["DM_NAME"]; name != "" {
		out.gauge("node_disk_device_mapper_info", "Always 1; the labels describe the mapped device.", 1,
			device,
			label{"lv_layer", udev["DM_LV_LAYER"]},
			label{"lv_name", udev["DM_LV_NAME"]},
			label{"name", name},
			label{"uuid", udev["DM_UUID"]},
			label{"vg_name", udev["DM_VG_NAME"]},
		)
	}
	if udev["ID_ATA"] == "" {
		return
	}
	for _, feature := range [...]struct{ property, name, help string }{
		{"ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "1 if the ATA disk has a write cache."},
		{"ID_ATA_WRITE_CACHE_ENABLED", "node_disk_ata_write_cache_enabled", "1 if the ATA disk's write cache is on."},
		{
			"ID_ATA_ROTATION_RATE_RPM", "node_disk_ata_rotation_rate_rpm",
			"Rotations per minute of the ATA disk, 0 for an SSD.",
		},
	} {
		if value, err := strconv.ParseFloat(udev[feature.property], 64); err == nil {
			out.gauge(feature.name, feature.help, value, device)
		}
	}
}
