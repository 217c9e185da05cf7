//go:build linux

package node

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"
)

// cpu reports how the CPUs spend their time (/proc/stat), what they are (/proc/cpuinfo) and, from sysfs, which of them
// are online, isolated or throttled.
type cpu struct {
	cfg         cpuConfig
	frequency   bool // Whether the collector cpufreq, whose metric comes from cpuinfo too, is on.
	proc        procfs.FS
	sys         sysfs.FS
	flags, bugs *regexp.Regexp
	times       cpuClock
}

func newCPU(cfg config, proc procfs.FS, sys sysfs.FS) (*cpu, error) {
	c := &cpu{cfg: cfg.CPU, proc: proc, sys: sys, frequency: slices.Contains(cfg.Collectors, "cpufreq")}
	var err error
	if expr := cfg.CPU.InfoFlagsInclude; expr != "" {
		if c.flags, err = compile("cpu.info_flags_include", expr); err != nil {
			return nil, err
		}
	}
	if expr := cfg.CPU.InfoBugsInclude; expr != "" {
		if c.bugs, err = compile("cpu.info_bugs_include", expr); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *cpu) collect(_ context.Context, in readings, out *exposition) error {
	if c.cfg.Info || c.flags != nil || c.bugs != nil {
		if err := c.addInfo(out); err != nil {
			return err
		}
	}
	s, err := in.stat()
	if err != nil {
		return fmt.Errorf("read stat: %w", err)
	}
	c.addTimes(s.CPU, out)
	return addCPUSysfs(c.sys, out)
}

// addTimes reports guest time twice, as the kernel does: it is part of the modes user and nice too.
func (c *cpu) addTimes(latest map[int64]procfs.CPUStat, out *exposition) {
	for _, t := range c.times.advance(latest) {
		number := label{"cpu", strconv.FormatInt(t.cpu, 10)}
		for i, mode := range [...]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"} {
			out.counter("node_cpu_seconds_total", "Seconds that the CPU spent in the mode.",
				t.seconds[i], number, label{"mode", mode})
		}
		if c.cfg.Guest {
			const help = "Seconds that the CPU spent running guests (virtual machines), by their mode."
			out.counter("node_cpu_guest_seconds_total", help, t.seconds[guest], number, label{"mode", "user"})
			out.counter("node_cpu_guest_seconds_total", help, t.seconds[guestNice], number, label{"mode", "nice"})
		}
	}
}

func (c *cpu) addInfo(out *exposition) error {
	infos, err := c.proc.CPUInfo()
	if err != nil {
		return fmt.Errorf("read cpuinfo: %w", err)
	}
	for _, info := range infos {
		out.gauge("node_cpu_info", "Always 1; the labels are what /proc/cpuinfo says about the CPU.", 1,
			label{"cachesize", info.CacheSize},
			label{"core", info.CoreID},
			label{"cpu", strconv.FormatUint(uint64(info.Processor), 10)},
			label{"family", info.CPUFamily},
			label{"microcode", info.Microcode},
			label{"model", info.Model},
			label{"model_name", info.ModelName},
			label{"package", info.PhysicalID},
			label{"stepping", info.Stepping},
			label{"vendor", info.VendorID},
		)
		if c.frequency {
			out.gauge(cpuFrequency, cpuFrequencyHelp, info.CPUMHz*1e6,
				label{"core", info.CoreID},
				label{"cpu", strconv.FormatUint(uint64(info.Processor), 10)},
				label{"package", info.PhysicalID},
			)
		}
	}
	if len(infos) == 0 {
		return nil
	}
	for _, flag := range infos[0].Flags {
		if c.flags != nil && c.flags.MatchString(flag) {
			out.gauge("node_cpu_flag_info", "Always 1; a flag that /proc/cpuinfo names for the first core.", 1,
				label{"flag", flag})
		}
	}
	for _, bug := range infos[0].Bugs {
		if c.bugs != nil && c.bugs.MatchString(bug) {
			out.gauge("node_cpu_bug_info", "Always 1; a bug that /proc/cpuinfo names for the first core.", 1,
				label{"bug", bug})
		}
	}
	return nil
}
