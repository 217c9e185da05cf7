//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// hwmon reports the sensors of the chips in /sys/class/hwmon.
type hwmon struct {
	dir            string
	chips, sensors filter
}

func newHwmon(s sources) (*hwmon, error) {
	cfg := s.cfg.Hwmon
	chips, err := newFilter("hwmon.chip", cfg.ChipInclude, cfg.ChipExclude, "")
	if err != nil {
		return nil, err
	}
	sensors, err := newFilter("hwmon.sensor", cfg.SensorInclude, cfg.SensorExclude, "")
	if err != nil {
		return nil, err
	}
	return &hwmon{filepath.Join(s.cfg.PathSysfs, "class/hwmon"), chips, sensors}, nil
}

func (c *hwmon) collect(_ context.Context, _ readings, out *exposition) error {
	chips, err := listChips(c.dir)
	if err != nil {
		return absent(err)
	}
	var failed error
	for _, chip := range chips {
		if !c.chips.keeps(chip.id) {
			continue
		}
		if err := c.addChip(chip, out); err != nil {
			failed = errors.Join(failed, fmt.Errorf("chip %s: %w", chip.id, err))
		}
	}
	return failed
}

func (c *hwmon) addChip(chip hwmonChip, out *exposition) error {
	sensors, err := readSensors(chip.dir)
	if err != nil {
		return err
	}
	if name := metricName(chip.name); name != "" {
		out.gauge("node_hwmon_chip_names", "Always 1; the name that the driver gives the chip.", 1,
			label{"chip", chip.id}, label{"chip_name", name})
	}
	for _, s := range sensors {
		// The filter sees chip and sensor, so that the same sensor of another chip can be treated otherwise.
		if c.sensors.keeps(chip.id + ";" + s.id()) {
			s.addTo(out, chip.id)
		}
	}
	return nil
}

// hwmonChip is a folder of /sys/class/hwmon.
type hwmonChip struct {
	dir  string
	name string // What the driver calls it; may be empty.
	id   string // The label that tells it from the others on this machine and stays the same after a boot.
}

func listChips(root string) ([]hwmonChip, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var chips []hwmonChip
	ids, named := make(map[string]int), make(map[[2]string]int)
	for _, entry := range entries {
		dir := filepath.Join(root, entry.Name())
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "name"))
		chip := hwmonChip{dir: dir, name: strings.TrimSpace(string(name))}
		if chip.id = chipID(dir, chip.name); chip.id == "" {
			continue
		}
		chips = append(chips, chip)
		ids[chip.id]++
		named[[2]string{chip.id, chip.name}]++
	}
	// Several chips can belong to one device: then the driver's name tells them apart, or else the folder's number.
	for i, chip := range chips {
		if ids[chip.id] < 2 {
			continue
		}
		suffix := metricName(chip.name)
		if suffix == "" || named[[2]string{chip.id, chip.name}] > 1 {
			suffix = metricName(filepath.Base(chip.dir))
		}
		chips[i].id += "_" + suffix
	}
	return chips, nil
}

// chipID is made of the device's bus and name, since numbers change with the order in which modules are loaded; for a
// chip without a device it is the driver's name.
func chipID(dir, name string) string {
	if device, err := filepath.EvalSymlinks(filepath.Join(dir, "device")); err == nil {
		bus, id := metricName(filepath.Base(filepath.Dir(device))), metricName(filepath.Base(device))
		switch {
		case bus != "" && id != "":
			return bus + "_" + id
		case id != "":
			return id
		}
	}
	if id := metricName(name); id != "" {
		return id
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	return metricName(filepath.Base(real))
}

// metricName makes name usable in a metric's name.
func metricName(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == ':' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToLower(name)), "_")
}

// parseSensorFile takes apart a name such as temp1_max. Names without a number, such as update_interval, are a kind as a
// whole.
func parseSensorFile(file string) (kind string, number int, property string, ok bool) {
	const digits = "0123456789"
	start := strings.IndexAny(file, digits)
	if start < 0 {
		return file, 0, "", file != ""
	}
	rest := strings.TrimLeft(file[start:], digits)
	number, err := strconv.Atoi(file[start : len(file)-len(rest)])
	if rest != "" {
		property, ok = strings.CutPrefix(rest, "_")
		ok = ok && property != ""
	} else {
		ok = true
	}
	return file[:start], number, property, ok && start > 0 && err == nil
}
