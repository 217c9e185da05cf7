//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/sysfs"
)

// collector measures one subject.
//
// It adds to out what it could measure, and returns an error when that is not all. It may be called from several
// goroutines at once, and when it has to wait, it waits for ctx too.
type collector interface {
	collect(ctx context.Context, in readings, out *exposition) error
}

// errNoData is the error of a collector whose subject this machine or its kernel does not have.
var errNoData = errors.New("no data on this machine")

// absent turns err into errNoData when it says that a file does not exist or may not be read.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", errNoData, err)
	}
	return err
}

// readings are what several collectors of one scrape share.
type readings struct {
	// stat parses /proc/stat, the most expensive file of a scrape, once.
	stat func() (procfs.Stat, error)
}

// exporter runs the collectors; it implements sdk.Exporter.
type exporter struct {
	proc       procfs.FS
	sys        system
	log        *slog.Logger
	build      build
	collectors []namedCollector

	mu      sync.Mutex
	failing map[string]string // The error that was logged last, by the collector's name.
}

type namedCollector struct {
	name string
	collector
}

func newExporter(cfg config, log *slog.Logger, sys system) (*exporter, error) {
	proc, err := procfs.NewFS(cfg.PathProcfs)
	if err != nil {
		return nil, fmt.Errorf("path_procfs: %w", err)
	}
	sysFS, err := sysfs.NewFS(cfg.PathSysfs)
	if err != nil {
		return nil, fmt.Errorf("path_sysfs: %w", err)
	}
	e := &exporter{proc: proc, sys: sys, log: log, build: currentBuild(), failing: make(map[string]string)}
	src := sources{cfg: cfg, proc: proc, sysfs: sysFS, system: sys, log: log}
	for _, k := range catalogue() {
		c, err := k.make(src)
		if err != nil {
			return nil, err
		}
		if slices.Contains(cfg.Collectors, k.name) {
			e.collectors = append(e.collectors, namedCollector{k.name, c})
		}
	}
	return e, nil
}

// Collect implements sdk.Exporter. Nothing is written when ctx ends before all collectors are through.
func (e *exporter) Collect(ctx context.Context, w io.Writer) error {
	out := exposition{text: make([]byte, 0, 32<<10)} // About what a small machine needs.
	in := readings{stat: sync.OnceValues(e.proc.Stat)}
	for _, c := range e.collectors {
		start := e.sys.now()
		err := run(ctx, c, in, &out)
		took := e.sys.now().Sub(start)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.logChange(ctx, c.name, err)
		success := 1.0
		if err != nil {
			success = 0
		}
		by := label{"collector", c.name}
		out.gauge("node_scrape_collector_duration_seconds", "How long the collector took in this scrape.",
			took.Seconds(), by)
		out.gauge("node_scrape_collector_success", "1 if the collector measured all it should, 0 if it failed.",
			success, by)
	}
	e.addBuildInfo(&out)
	return out.writeTo(w)
}

// run turns a panic into an error: kernels differ, some parsers trust their input, and one file that cannot be read
// must not cost the rest of the scrape.
func run(ctx context.Context, c collector, in readings, out *exposition) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.collect(ctx, in, out)
}

// logChange logs a collector's failure when it begins or its reason changes, and its recovery, so that a lasting
// failure does not fill the log at the pace of the scrapes. That a machine lacks what a collector measures is no news.
func (e *exporter) logChange(ctx context.Context, name string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, failed := e.failing[name]
	switch {
	case err != nil && before != err.Error():
		e.failing[name] = err.Error()
		if errors.Is(err, errNoData) {
			e.log.DebugContext(ctx, "collector has no data", "collector", name, "err", err)
		} else {
			e.log.WarnContext(ctx, "collector failed", "collector", name, "err", err)
		}
	case err == nil && failed:
		delete(e.failing, name)
		e.log.InfoContext(ctx, "collector recovered", "collector", name)
	}
}

func (e *exporter) addBuildInfo(out *exposition) {
	out.gauge("node_exporter_build_info", "Always 1; the labels say which build of the exporter answers.", 1,
		label{"branch", ""},
		label{"goarch", e.build.goarch},
		label{"goos", "linux"},
		label{"goversion", e.build.goVersion},
		label{"revision", e.build.revision},
		label{"tags", ""},
		label{"version", e.build.version},
	)
}
