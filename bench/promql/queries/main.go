// Command queries measures query engines side by side: this one, upstream's, and that of Thanos, which needs another
// version of upstream's module and therefore is a program of its own, in bench/thanos.
//
// Without arguments it compares; it starts itself again for each engine. With -tsdb each engine reads a data directory
// through its own storage, else all read the same samples from memory. With -data the directories are kept for further
// runs; -cpuprofile shows where this engine's time goes, -memprofile what it allocates.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/bench/suite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var (
		engine  = flag.String("engine", "", "serve one engine: narthex or prometheus")
		series  = flag.String("series", "1000", "numbers of series, with commas between")
		steps   = flag.String("steps", "1,100,1000", "numbers of steps, with commas between")
		tsdb    = flag.Bool("tsdb", false, "read data directories instead of memory")
		dir     = flag.String("dir", "", "the data directory of the engine that is served")
		thanos  = flag.String("thanos", "", "the program that serves the engine of Thanos")
		minTime = flag.Duration("mintime", 200*time.Millisecond, "how long to repeat each query")
		only    = flag.String("only", "", "leave out queries without this text")
		skip    = flag.String("skip", "", "leave out queries that this regular expression matches")
		head    = flag.Bool("head", false, "with -tsdb, leave the samples in the log, so that they are read from memory, as those of the latest hours")
		data    = flag.String("data", "", "where data directories are kept, and taken from if they are there")
		profile = flag.String("cpuprofile", "", "write a profile of this engine to a file")
		memory  = flag.String("memprofile", "", "write a profile of this engine's allocations to a file")
	)
	flag.Parse()
	sizes, err := numbers(*series)
	if err != nil {
		return err
	}
	if *engine != "" {
		err := profiled(*profile, func() error { return serve(ctx, *engine, suite.SizeFor(sizes[0]), *dir) })
		return errors.Join(err, writeAllocs(*memory))
	}
	plan := suite.Plan{Series: sizes, MinTime: *minTime, Only: *only}
	if plan.Steps, err = numbers(*steps); err != nil {
		return err
	}
	if *skip != "" {
		if plan.Skip, err = regexp.Compile(*skip); err != nil {
			return fmt.Errorf("-skip: %w", err)
		}
	}
	scratch := *data
	if scratch == "" {
		if scratch, err = os.MkdirTemp("", "queries"); err != nil {
			return err
		}
		defer os.RemoveAll(scratch)
	}
	if *tsdb {
		if err := writeAll(ctx, scratch, sizes, *thanos != "", *head); err != nil {
			return err
		}
	}
	plan.Engines = processes(*tsdb, scratch, *thanos, *profile, *memory)
	rows, err := suite.Compare(ctx, plan, os.Stdout)
	return errors.Join(err, suite.Summarize(plan, rows, os.Stdout))
}

// profiled calls f and writes a profile of the time that it takes, if a file is named.
func profiled(file string, f func() error) error {
	if file == "" {
		return f()
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return errors.Join(err, out.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, out.Close())
}

// writeAllocs writes what was allocated to a file, if one is named.
func writeAllocs(file string) error {
	if file == "" {
		return nil
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(out, 0), out.Close())
}

func numbers(text string) (all []int, err error) {
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// processes returns how each engine is started.
func processes(tsdb bool, scratch, thanos, profile, memory string) []suite.Process {
	with := func(name string, command ...string) suite.Process {
		return suite.Process{Name: name, Command: func(series int) []string {
			full := append(slices.Clone(command), "-series", strconv.Itoa(series))
			if tsdb {
				full = append(full, "-dir", dataDir(scratch, series, name))
			}
			return full
		}}
	}
	all := []suite.Process{with("narthex", os.Args[0], "-engine", "narthex", "-cpuprofile", profile, "-memprofile", memory), with("prometheus", os.Args[0], "-engine", "prometheus")}
	if thanos != "" {
		all = append(all, with("thanos", thanos))
	}
	return all
}

func dataDir(scratch string, series int, engine string) string {
	return filepath.Join(scratch, fmt.Sprint(series), engine)
}

// writeAll writes a data directory for each size, and a copy for each engine.
func writeAll(ctx context.Context, scratch string, sizes []int, thanos, head bool) error {
	engines := []string{"prometheus"}
	if thanos {
		engines = append(engines, "thanos")
	}
	for _, series := range sizes {
		dir := dataDir(scratch, series, "narthex")
		if _, err := os.Stat(dir); err == nil {
			continue
		}
		if err := write(ctx, suite.SizeFor(series), dir, head); err != nil {
			return fmt.Errorf("write data of %d series: %w", series, err)
		}
		for _, engine := range engines {
			if err := exec.CommandContext(ctx, "cp", "-a", dir, dataDir(scratch, series, engine)).Run(); err != nil {
				return fmt.Errorf("copy data: %w", err)
			}
		}
	}
	return nil
}
