package tsdb

import (
	"io/fs"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"syscall"
	"time"
)

// cpuTime is the processor time that the process used so far, the garbage collector's included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func liveHeap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func mallocs() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Mallocs)
}

// peakHeap watches the bytes of objects on the heap while f runs, and returns how far they went beyond what there was.
func peakHeap(f func() error) (float64, error) {
	before := liveHeap()
	stop, done := make(chan struct{}), make(chan float64)
	go func() {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		peak := 0.0
		for {
			metrics.Read(s)
			peak = max(peak, float64(s[0].Value.Uint64()))
			select {
			case <-stop:
				done <- peak
				return
			case <-tick.C:
			}
		}
	}()
	err := f()
	close(stop)
	return max(<-done-before, 0), err
}

// perCall returns the processor time in seconds of one call of f, which is repeated until that can be measured.
func perCall(least time.Duration, f func() error) (float64, error) {
	if err := f(); err != nil { // What is made at the first use is made.
		return 0, err
	}
	runtime.GC()
	start, n := cpuTime(), 0
	for spent := time.Duration(0); spent < least; spent = cpuTime() - start {
		if err := f(); err != nil {
			return 0, err
		}
		n++
	}
	return (cpuTime() - start).Seconds() / float64(n), nil
}

// fileBytes sums up the files below a folder whose path has the given element.
func fileBytes(dir, element string) (float64, error) {
	var sum float64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if filepath.Base(path) != element && filepath.Base(filepath.Dir(path)) != element {
			return nil
		}
		info, err := d.Info()
		if err == nil {
			sum += float64(info.Size())
		}
		return err
	})
	return sum, err
}
