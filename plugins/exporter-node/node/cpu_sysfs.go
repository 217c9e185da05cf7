//go:build linux

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs/sysfs"
)

// addCPUSysfs reports what /sys/devices/system/cpu knows: isolated, throttled and online CPUs.
func addCPUSysfs(sys sysfs.FS, out *exposition) error {
	isolated, err := sys.IsolatedCPUs()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read isolated cpus: %w", err)
	}
	for _, cpu := range isolated {
		out.gauge("node_cpu_isolated", "1 for a CPU that the scheduler leaves alone.", 1,
			label{"cpu", strconv.FormatUint(uint64(cpu), 10)})
	}
	cpus, err := sys.CPUs()
	if err != nil {
		return fmt.Errorf("list cpus: %w", err)
	}
	addThrottles(cpus, out)
	addOnline(cpus, out)
	return nil
}

// addThrottles reports each core and each package once, though every CPU of them has the counters. Machines without
// such counters, virtual ones above all, are passed over.
func addThrottles(cpus []sysfs.CPU, out *exposition) {
	type coreID struct{ pkg, core uint64 }
	cores, packages := make(map[coreID]bool), make(map[uint64]bool)
	for _, cpu := range cpus {
		throttle, topology := filepath.Join(string(cpu), "thermal_throttle"), filepath.Join(string(cpu), "topology")
		if _, err := os.Stat(throttle); err != nil {
			continue
		}
		pkg, err := readUint(filepath.Join(topology, "physical_package_id"))
		if err != nil {
			continue
		}
		core, err := readUint(filepath.Join(topology, "core_id"))
		if err != nil {
			continue
		}
		id, in := coreID{pkg, core}, label{"package", strconv.FormatUint(pkg, 10)}
		if count, err := readUint(filepath.Join(throttle, "core_throttle_count")); err == nil && !cores[id] {
			cores[id] = true
			out.counter("node_cpu_core_throttles_total", "How often the core was throttled.",
				float64(count), label{"core", strconv.FormatUint(core, 10)}, in)
		}
		if count, err := readUint(filepath.Join(throttle, "package_throttle_count")); err == nil && !packages[pkg] {
			packages[pkg] = true
			out.counter("node_cpu_package_throttles_total", "How often the package was throttled.", float64(count), in)
		}
	}
}

// addOnline reports nothing on a machine whose first CPU cannot be taken offline, as node_exporter does.
func addOnline(cpus []sysfs.CPU, out *exposition) {
	for i, cpu := range cpus {
		online, err := cpu.Online()
		if i == 0 && errors.Is(err, fs.ErrNotExist) {
			return
		}
		value := 0.0
		if online {
			value = 1
		}
		out.gauge("node_cpu_online", "1 for a CPU that is online, 0 for one that is not.", value,
			label{"cpu", cpu.Number()})
	}
}

func readUint(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
