package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/narthex-io/narthex/promql/exec"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
)

// showGaps evaluates a query for as long as a minute, and writes its longest stretches without a check.
func showGaps(ctx context.Context, out io.Writer, q storage.Queryable, series int, h hostile) error {
	runtime.GC()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := &checked{Context: ctx, longest: map[string]time.Duration{}, last: threadTime()}
	copy(c.asked[:], []uintptr{0})
	outcome := evaluate(c, q, h)
	c.note("the end")
	names := make([]string, 0, len(c.longest))
	for name := range c.longest {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(c.longest[b] - c.longest[a]) })
	for _, name := range names[:min(4, len(names))] {
		fmt.Fprintf(out, "%d\t%s\t%.1f ms\t%s\t%.60s\n", series, h.name, c.longest[name].Seconds()*1000, name, outcome)
	}
	return nil
}

// evaluate takes a query through all steps on one goroutine, and returns how it ended.
func evaluate(ctx context.Context, queryable storage.Queryable, h hostile) string {
	expr, err := parser.New(parser.Options{
		EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true, Ended: ctx.Err,
	}).ParseExpr(h.query)
	if err != nil {
		return err.Error()
	}
	start := end().UnixMilli()
	if h.step > 0 {
		start -= time.Hour.Milliseconds()
	}
	root, err := plan.Build(expr, plan.Query{Start: start, End: end().UnixMilli(), Step: h.step.Milliseconds(), SubqueryStep: func(int64) int64 { return 60_000 }})
	if err != nil {
		return err.Error()
	}
	root = plan.Optimize(root)
	querier, err := queryable.Querier(suiteStart(), end().UnixMilli())
	if err != nil {
		return err.Error()
	}
	defer querier.Close()
	p, err := exec.Prepare(ctx, root, exec.Env{
		Querier: querier, Grid: plan.NewGrid(start, end().UnixMilli(), h.step.Milliseconds()), Lookback: 300_000,
		MaxSamples: 50_000_000, MaxBytes: 2 << 30, Parallelism: 1,
	})
	if err != nil {
		return err.Error()
	}
	if _, err = p.Finish(ctx); err != nil {
		return err.Error()
	}
	return "answered"
}

func suiteStart() int64 { return end().Add(-2 * time.Hour).UnixMilli() }

// checked is a context that measures how much CPU time its thread uses between two calls of Err.
type checked struct {
	context.Context
	last    time.Duration
	asked   [6]uintptr
	longest map[string]time.Duration
}

// Err notes the time since the last call.
func (c *checked) Err() error {
	c.note("")
	return c.Context.Err()
}

func (c *checked) note(here string) {
	if took := threadTime() - c.last; took > 8*time.Millisecond {
		var to [6]uintptr
		runtime.Callers(3, to[:])
		if here == "" {
			here = where(to)
		}
		name := where(c.asked) + " -> " + here
		c.longest[name] = max(c.longest[name], took)
	}
	runtime.Callers(3, c.asked[:])
	c.last = threadTime()
}

// where returns the names of the first functions on a stack.
func where(stack [6]uintptr) string {
	var names []string
	frames := runtime.CallersFrames(stack[:])
	for more := true; more && len(names) < 4; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function != "" {
			names = append(names, fmt.Sprintf("%s:%d", strings.TrimPrefix(path.Base(f.Function), "exec."), f.Line))
		}
	}
	return strings.Join(names, " < ")
}

// threadTime returns the CPU time that this thread has used.
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD of Linux, which package syscall does not name.
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err) // Never of these arguments.
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
