package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// showOverruns asks a query under some deadlines, and writes a line for each.
func showOverruns(ctx context.Context, out io.Writer, q storage.Queryable, series int, h hostile, deadlines string) error {
	for _, text := range strings.Split(deadlines, ",") {
		deadline, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		m, err := overrun(ctx, q, h, deadline)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d\t%s\t%s\tCPU over %d ms\tends %d ms late\tanswer %d ms late\t%s\n", series, h.name, deadline,
			m.cpu.Milliseconds(), m.end.Milliseconds(), m.answer.Milliseconds(), m.outcome)
	}
	return nil
}

// measured is what happened after the deadline: the CPU time until the query had ended, and how late that and the
// answer were, which is all zero for a query that ended before.
type measured struct {
	cpu, end, answer time.Duration
	outcome          string
}

func overrun(ctx context.Context, q storage.Queryable, h hostile, deadline time.Duration) (measured, error) {
	runtime.GC()
	e, err := promql.New(promql.Options{
		Timeout: deadline, EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true,
	})
	if err != nil {
		return measured{}, err
	}
	begin := time.Now()
	atDeadline := make(chan time.Duration, 1)
	timer := time.AfterFunc(deadline, func() { atDeadline <- cpuTime() })
	var res *promql.Result
	if h.step == 0 {
		res, err = e.Instant(ctx, q, h.query, promql.QueryOptions{}, end())
	} else {
		res, err = e.Range(ctx, q, h.query, promql.QueryOptions{}, end().Add(-time.Hour), end(), h.step)
	}
	answered := time.Now()
	e.Close()
	ended, used := time.Now(), cpuTime()
	m := measured{outcome: string(promql.KindOf(err))}
	if err == nil {
		m.outcome = "answered"
		res.Release()
	}
	if timer.Stop() {
		return m, nil
	}
	m.cpu, m.end, m.answer = used-<-atDeadline, ended.Sub(begin)-deadline, answered.Sub(begin)-deadline
	return m, nil
}

// cpuTime returns the CPU time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // Never of these arguments.
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
