//go:build linux

package node

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/procfs/sysfs"
)

// The cpu collector reports it too, with other labels, when it reports cpuinfo.
const (
	cpuFrequency     = "node_cpu_frequency_hertz"
	cpuFrequencyHelp = "The CPU's clock rate now."
)

// cpufreq reports the clock rates in /sys/devices/system/cpu/*/cpufreq.
type cpufreq struct{ fs sysfs.FS }

func (c cpufreq) collect(_ context.Context, _ readings, out *exposition) error {
	cpus, err := c.fs.SystemCpufreq()
	if err != nil {
		return fmt.Errorf("read cpufreq: %w", absent(err))
	}
	for i := range cpus {
		s, cpu := &cpus[i], label{"cpu", cpus[i].Name}
		for _, v := range [...]struct {
			name, help string
			kilohertz  *uint64
		}{
			{"node_cpu_frequency_avg_hertz", "The CPU's average clock rate.", s.CpuinfoAverageFrequency},
			{cpuFrequency, cpuFrequencyHelp, s.CpuinfoCurrentFrequency},
			{"node_cpu_frequency_max_hertz", "The CPU's highest clock rate.", s.CpuinfoMaximumFrequency},
			{"node_cpu_frequency_min_hertz", "The CPU's lowest clock rate.", s.CpuinfoMinimumFrequency},
			{"node_cpu_scaling_frequency_hertz", "The clock rate that the kernel has chosen.", s.ScalingCurrentFrequency},
			{"node_cpu_scaling_frequency_max_hertz", "The highest clock rate that the kernel may choose.", s.ScalingMaximumFrequency},
			{"node_cpu_scaling_frequency_min_hertz", "The lowest clock rate that the kernel may choose.", s.ScalingMinimumFrequency},
		} {
			if v.kilohertz != nil {
				out.gauge(v.name, v.help, float64(*v.kilohertz)*1000, cpu)
			}
		}
		if s.Governor == "" {
			continue
		}
		for governor := range strings.SplitSeq(s.AvailableGovernors, " ") {
			out.gauge("node_cpu_scaling_governor", "1 for the governor that chooses the CPU's clock rate.",
				truth(governor == s.Governor), cpu, label{"governor", governor})
		}
	}
	return nil
}
