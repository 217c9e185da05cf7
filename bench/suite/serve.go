package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

// Engine answers queries.
type Engine interface {
	// Query evaluates a query at start, start+step, …, end, or, if the step is zero, at end.
	Query(ctx context.Context, query string, start, end time.Time, step time.Duration) (Answer, error)
}

// Answer is what is compared of an answer: the number of points and the sum of those values that are finite.
type Answer struct {
	Points int
	Sum    float64
}

// Add adds a point; that of a histogram stands for its count.
func (a *Answer) Add(v float64) {
	a.Points++
	if v-v == 0 {
		a.Sum += v
	}
}

// task is what a process is asked. A task without a query asks it to leave.
type task struct {
	Query             string
	Start, End, Step  int64
	MinTime, MaxTimes int64
}

// Measurement is what a query took. All but the peak are per evaluation.
type Measurement struct {
	Answer
	Wall, CPU     time.Duration
	Allocs, Bytes uint64
	// Peak is the heap in use at its highest, less that before the query, in bytes.
	Peak uint64
	// Err is why there are no figures.
	Err string
}

// Serve answers tasks from r until there are no more. It returns the failure of reading or writing.
func Serve(e Engine, r io.Reader, w io.Writer) error {
	in, out := json.NewDecoder(r), json.NewEncoder(w)
	for {
		var t task
		switch err := in.Decode(&t); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read task: %w", err)
		}
		if err := out.Encode(t.measure(e)); err != nil {
			return fmt.Errorf("write measurement: %w", err)
		}
	}
}

func (t *task) run(e Engine) (Answer, error) {
	return e.Query(context.Background(), t.Query, time.UnixMilli(t.Start), time.UnixMilli(t.End), time.Duration(t.Step)*time.Millisecond)
}

// long is how long a query takes that is evaluated once for answer and cost: what it finds cold hardly counts.
const long = 2 * time.Second

// measure evaluates the query for its answer, once for its memory, and, unless it takes long, some times for its cost.
func (t *task) measure(e Engine) Measurement {
	m := t.cost(e, 0)
	if m.Err != "" {
		return m
	}
	var err error
	peak := peakOf(func() { _, err = t.run(e) })
	if err != nil {
		return Measurement{Err: err.Error()}
	}
	if m.Wall < long {
		m = t.cost(e, time.Duration(t.MinTime))
	}
	m.Peak = peak
	return m
}

// cost evaluates the query at least once, and for as long as minTime.
func (t *task) cost(e Engine, minTime time.Duration) (m Measurement) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin, cpu, n := time.Now(), cpuTime(), 0
	for n == 0 || time.Since(begin) < minTime && n < int(t.MaxTimes) {
		var err error
		if m.Answer, err = t.run(e); err != nil {
			return Measurement{Err: err.Error()}
		}
		n++
	}
	m.Wall, m.CPU = time.Since(begin)/time.Duration(n), (cpuTime()-cpu)/time.Duration(n)
	runtime.ReadMemStats(&after)
	m.Allocs, m.Bytes = (after.Mallocs-before.Mallocs)/uint64(n), (after.TotalAlloc-before.TotalAlloc)/uint64(n)
	return m
}

// cpuTime returns the processor time that the process has used, garbage collection included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakOf returns by how many bytes the heap grows while f runs. Garbage is collected early meanwhile, so that it hardly
// counts.
func peakOf(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	for range 3 {
		runtime.GC() // Only after some are pools of memory empty, which would hide what a query takes.
	}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(heap)
		return heap[0].Value.Uint64()
	}
	before := read()
	peak := before
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(200 * time.Microsecond)
		defer ticker.Stop()
		for {
			peak = max(peak, read())
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	f()
	close(done)
	<-ended
	return peak - before
}
