//go:build linux

package node

import (
	"testing"

	"github.com/prometheus/procfs"
)

func TestCPUClockNeverRunsBackwards(t *testing.T) {
	var c cpuClock
	check := func(reading map[int64]procfs.CPUStat, want ...cpuTime) {
		t.Helper()
		got := c.advance(reading)
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("got %v, want %v", got[i], want[i])
			}
		}
	}
	at := func(cpu int64, user, idle, iowait float64) cpuTime {
		return cpuTime{cpu, cpuSeconds{0: user, 3: idle, 4: iowait}}
	}
	type cpus = map[int64]procfs.CPUStat

	check(cpus{1: {User: 5, Idle: 50, Iowait: 9}, 0: {User: 1, Idle: 40, Iowait: 2}}, at(0, 1, 40, 2), at(1, 5, 50, 9))
	// A correction by the kernel is held back,
	check(cpus{0: {User: 2, Idle: 39, Iowait: 1}, 1: {User: 6, Idle: 51, Iowait: 8}}, at(0, 2, 40, 2), at(1, 6, 51, 9))
	// a CPU that went away is forgotten,
	check(cpus{0: {User: 3, Idle: 41, Iowait: 3}}, at(0, 3, 41, 3))
	check(cpus{0: {User: 3, Idle: 41, Iowait: 3}, 1: {User: 1}}, at(0, 3, 41, 3), at(1, 1, 0, 0))
	// and one that came back meanwhile starts anew.
	check(cpus{0: {User: 1, Idle: 10, Iowait: 1}}, at(0, 1, 10, 1))
}
