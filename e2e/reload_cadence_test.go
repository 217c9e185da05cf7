//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestReloadCadence reloads each second with one job that changes every time and one that does not, and checks that neither
// misses a scrape. RELOADS says how often.
func TestReloadCadence(t *testing.T) {
	reloads := 10
	if n, err := strconv.Atoi(os.Getenv("RELOADS")); err == nil {
		reloads = n
	}
	const interval = 500 * time.Millisecond
	same, changing := newRecorder(t), newRecorder(t)
	config := func(i int) string {
		return "scrape_configs:\n" + staticJob("same", interval.String(), same.address) +
			fmt.Sprintf("%s    sample_limit: %d\n", staticJob("changing", interval.String(), changing.address), 1000+i)
	}
	s := start(t, options{config: config(0)})
	same.awaitMore(t, 2)
	for i := range reloads {
		s.wantReload(config(i + 1))
		time.Sleep(time.Second)
	}
	for name, r := range map[string]*recorder{"same": same, "changing": changing} {
		r.wantCadence(t, interval)
		if off := r.medianJitter(interval); off > 20*time.Millisecond {
			t.Errorf("job %s: scrapes are %v off their cadence at the median", name, off)
		} else {
			t.Logf("job %s: %v off its cadence at the median, over %d reloads", name, off, reloads)
		}
	}
}

// medianJitter is the median distance between an interval between two scrapes and what it should be.
func (r *recorder) medianJitter(interval time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var off []time.Duration
	for i := 1; i < len(r.times); i++ {
		off = append(off, (r.times[i].Sub(r.times[i-1]) - interval).Abs())
	}
	slices.Sort(off)
	return off[len(off)/2]
}
