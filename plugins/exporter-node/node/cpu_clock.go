//go:build linux

package node

import (
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/procfs"
)

// Indices of cpuSeconds that have a meaning of their own.
const (
	idle      = 3
	guest     = 8
	guestNice = 9
)

// cpuSeconds are one CPU's counters in the order of /proc/stat.
type cpuSeconds [10]float64

// cpuClock keeps the counters of /proc/stat from running backwards. The kernel's do: idle and iowait are estimates
// that it corrects, and rate() would take each correction for a restart.
type cpuClock struct {
	mu   sync.Mutex
	last map[int64]cpuSeconds
}

type cpuTime struct {
	cpu     int64
	seconds cpuSeconds
}

// hotplugIdleDrop is by how many seconds the idle counter must fall to mean a CPU that was unplugged and came back
// with fresh counters, not a correction.
const hotplugIdleDrop = 3

// advance takes in a reading and returns the CPUs in it, in order, with counters never lower than those returned
// before.
func (c *cpuClock) advance(latest map[int64]procfs.CPUStat) []cpuTime {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[int64]cpuSeconds, len(latest))
	times := make([]cpuTime, 0, len(latest))
	for _, cpu := range slices.Sorted(maps.Keys(latest)) {
		seconds := secondsOf(latest[cpu])
		if last := c.last[cpu]; last[idle]-seconds[idle] < hotplugIdleDrop {
			for i := range seconds {
				seconds[i] = max(seconds[i], last[i])
			}
		}
		next[cpu] = seconds
		times = append(times, cpuTime{cpu, seconds})
	}
	c.last = next
	return times
}

func secondsOf(s procfs.CPUStat) cpuSeconds {
	return cpuSeconds{s.User, s.Nice, s.System, s.Idle, s.Iowait, s.IRQ, s.SoftIRQ, s.Steal, s.Guest, s.GuestNice}
}
