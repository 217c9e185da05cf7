//go:build linux

package node

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sensor is one of a chip's sensors with all that its files say. The property of a file without a suffix, such as
// pwm1, is the empty string.
type hwmonSensor struct {
	kind       string
	number     int
	properties map[string]string
}

func (s *hwmonSensor) id() string { return s.kind + strconv.Itoa(s.number) }

// readSensors reads the files of a chip; old drivers have them in the device's folder.
func readSensors(dir string) ([]*hwmonSensor, error) {
	sensors := make(map[string]*hwmonSensor)
	if err := readSensorFiles(dir, sensors); err != nil {
		return nil, err
	}
	if err := readSensorFiles(filepath.Join(dir, "device"), sensors); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list := make([]*hwmonSensor, 0, len(sensors))
	for _, id := range slices.Sorted(maps.Keys(sensors)) {
		list = append(list, sensors[id])
	}
	return list, nil
}

func readSensorFiles(dir string, sensors map[string]*hwmonSensor) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		kind, number, property, ok := parseSensorFile(file.Name())
		if !ok || !isSensorKind(kind) {
			continue
		}
		value, err := readSensorFile(filepath.Join(dir, file.Name()))
		if err != nil {
			continue // Some drivers have files that only fail.
		}
		s := &hwmonSensor{kind: kind, number: number, properties: make(map[string]string)}
		if known, ok := sensors[s.id()]; ok {
			s = known
		}
		sensors[s.id()] = s
		s.properties[property] = value
	}
	return nil
}

func isSensorKind(kind string) bool {
	switch kind {
	case "beep_enable", "cpu", "curr", "energy", "fan", "freq", "humidity", "in", "intrusion", "power", "pwm", "temp",
		"update_interval", "vrm":
		return true
	}
	return false
}

// readSensorFile reads with a single system call: os.ReadFile would wait for ever for a driver that answers EAGAIN.
func readSensorFile(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 128)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return "", err
	}
	return strings.Trim(string(buf[:n]), "\n"), nil
}

func (s *hwmonSensor) addTo(out *exposition, chip string) {
	labels := []label{{"chip", chip}, {"sensor", s.id()}}
	name, labelled := s.properties["label"]
	if labelled {
		out.gauge("node_hwmon_sensor_label", "Always 1; what the driver says that the sensor measures.", 1,
			label{"chip", chip}, label{"label", name}, label{"sensor", s.id()})
	}
	if s.kind == "beep_enable" {
		beeps := 0.0
		if s.properties[""] == "1" {
			beeps = 1
		}
		out.gauge("node_hwmon_beep_enabled", "1 if the chip may beep.", beeps, labels...)
		return
	}
	for _, property := range slices.Sorted(maps.Keys(s.properties)) {
		value, err := strconv.ParseFloat(s.properties[property], 64)
		if err != nil || property == "label" {
			continue
		}
		u := s.unit(property)
		of := labels
		if s.kind == "freq" && property == "input" {
			if !labelled {
				continue
			}
			of = []label{{"chip", chip}, {"sensor", metricName(name)}}
		}
		metric, help := s.metric(property)+u.suffix, "What the chip's files "+s.kind+"*_"+property+" say."
		if s.kind == "energy" && u.perUnit != 1 {
			out.counter(metric, help, value/u.perUnit, of...)
		} else {
			out.gauge(metric, help, value/u.perUnit, of...)
		}
	}
}

// metric is the name without the unit.
func (s *hwmonSensor) metric(property string) string {
	_, hasPlain := s.properties[""]
	switch {
	case s.kind == "vrm":
		return "node_hwmon_voltage_regulator_version"
	case s.kind == "update_interval":
		return "node_hwmon_update_interval"
	case property == "", property == "input" && !hasPlain:
		return "node_hwmon_" + s.kind
	default:
		return "node_hwmon_" + s.kind + "_" + metricName(property)
	}
}

// sensorUnit is the unit that a metric's name ends in, and how many of the file's units make one of it.
type sensorUnit struct {
	suffix  string
	perUnit float64
}

func (s *hwmonSensor) unit(property string) sensorUnit {
	switch property {
	case "fault", "alarm":
		return sensorUnit{"", 1}
	case "beep":
		return sensorUnit{"_enabled", 1}
	}
	switch s.kind {
	case "update_interval":
		return sensorUnit{"_seconds", 1e3}
	case "in", "cpu":
		return sensorUnit{"_volts", 1e3}
	case "temp":
		if property != "type" {
			return sensorUnit{"_celsius", 1e3}
		}
	case "curr":
		return sensorUnit{"_amps", 1e3}
	case "energy":
		return sensorUnit{"_joule_total", 1e6}
	case "power":
		return powerUnit(property)
	case "humidity":
		return sensorUnit{"", 1e6}
	case "fan":
		switch property {
		case "input", "min", "max", "target":
			return sensorUnit{"_rpm", 1}
		}
	case "freq":
		if property == "input" {
			return sensorUnit{"_freq_mhz", 1e6}
		}
	}
	return sensorUnit{"", 1}
}

func powerUnit(property string) sensorUnit {
	switch property {
	case "accuracy":
		return sensorUnit{"", 1e6}
	case "average_interval", "average_interval_min", "average_interval_max":
		return sensorUnit{"_seconds", 1e3}
	default:
		return sensorUnit{"_watt", 1e6}
	}
}
