// Package writebench measures how fast the storage takes in samples, with the series of a real server.
//
// Start with [Run]. It writes through tsdb as a scrape does, log included, and cuts no blocks.
package writebench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// Options say what is written.
type Options struct {
	// SeriesFile has the labels of a series in each line, as an object of JSON.
	SeriesFile string
	// OutDir gets the storage and profiles. What an earlier run left there is removed; a folder with anything else is refused.
	OutDir string
	// Series is how many series are read at most, Scrapes how many samples each gets.
	Series, Scrapes int
	// Report is where progress is printed.
	Report io.Writer
}

// scrapeStep is the time between two samples in milliseconds.
const scrapeStep = 30_000

// storageDir is the folder of the storage in OutDir.
const storageDir = "storage"

// Run measures. The storage and the profiles stay.
func Run(ctx context.Context, opts Options) (err error) {
	if opts.Series <= 0 || opts.Scrapes <= 0 {
		return errors.New("there is nothing to write: both the number of series and that of scrapes must be positive")
	}
	b := bench{Options: opts}
	if err := b.stage("readData", func() (err error) { b.series, err = readSeries(opts.SeriesFile, opts.Series); return err }); err != nil {
		return err
	}
	if err := b.prepare(); err != nil {
		return err
	}
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(opts.OutDir, storageDir)})
	if err != nil {
		return err
	}
	open := true
	defer func() {
		if open {
			err = errors.Join(err, db.Close())
		}
	}()
	profiles, err := startProfiles(opts.OutDir)
	if err != nil {
		return err
	}
	start := time.Now()
	err = b.stage("ingestScrapes", func() error { return b.ingest(ctx, db) })
	took := time.Since(start)
	if err = errors.Join(err, profiles.stop()); err != nil {
		return err
	}
	total := len(b.series) * opts.Scrapes
	fmt.Fprintf(opts.Report, " > total samples: %d\n > samples/sec: %g\n", total, float64(total)/took.Seconds())
	open = false
	return b.stage("stopStorage", db.Close)
}

type bench struct {
	Options
	series []labels.Labels
}

// stage does something and prints how long it took.
func (b *bench) stage(name string, f func() error) error {
	fmt.Fprintf(b.Report, ">> start stage=%s\n", name)
	start := time.Now()
	if err := f(); err != nil {
		return err
	}
	fmt.Fprintf(b.Report, ">> completed stage=%s duration=%s\n", name, time.Since(start))
	return nil
}

// readSeries reads up to n series that are different.
func readSeries(name string, n int) (all []labels.Labels, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read series: %w; make such a file with narthex tsdb dump --format=seriesjson", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	seen := map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for line := 1; len(all) < n && lines.Scan(); line++ {
		var ls labels.Labels
		if err := json.Unmarshal(lines.Bytes(), &ls); err != nil {
			return nil, fmt.Errorf("%s:%d: expected the labels of a series as an object: %w", name, line, err)
		}
		if key := string(ls.AppendKey(nil)); !ls.IsEmpty() && !seen[key] {
			seen[key] = true
			all = append(all, ls)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read series: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no series", name)
	}
	return all, nil
}

// prepare makes an empty folder, at the place of that of an earlier run.
func (b *bench) prepare() error {
	entries, err := os.ReadDir(b.OutDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make room for the storage: %w", err)
	}
	for _, e := range entries {
		if e.Name() != storageDir && !strings.HasSuffix(e.Name(), profileSuffix) {
			return fmt.Errorf("%s has other things than those of an earlier run, such as %s: name another folder", b.OutDir, e.Name())
		}
	}
	if err := os.RemoveAll(b.OutDir); err != nil {
		return fmt.Errorf("make room for the storage: %w", err)
	}
	if err := os.MkdirAll(b.OutDir, 0o777); err != nil {
		return fmt.Errorf("make room for the storage: %w", err)
	}
	return nil
}

// Targets have targetSeries series each. All of them are scraped turnScrapes times before the next turn, so that times
// stay close to each other.
const (
	targetSeries = 1000
	turnScrapes  = 100
)

// ingest scrapes the targets, as many at a time as there are cores.
func (b *bench) ingest(ctx context.Context, db *tsdb.DB) error {
	var targets []*target
	for part := range slices.Chunk(b.series, targetSeries) {
		targets = append(targets, newTarget(part))
	}
	for from := 0; from < b.Scrapes; from += turnScrapes {
		to := min(from+turnScrapes, b.Scrapes)
		next := make(chan *target)
		errs := make([]error, runtime.GOMAXPROCS(0))
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				for t := range next {
					for scrape := from; scrape < to && errs[i] == nil; scrape++ {
						errs[i] = t.scrape(ctx, db, int64(scrape+1)*scrapeStep)
					}
				}
			})
		}
		for _, t := range targets {
			next <- t
		}
		close(next)
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("write samples: %w", err)
		}
	}
	return nil
}

// target are series that are scraped together.
type target struct {
	entries  []storage.Entry
	outcomes []storage.Outcome
}

// firstValue and valueStep are those of promtool's benchmark, so that both write the same.
const (
	firstValue = 123_456_789
	valueStep  = 1000
)

func newTarget(series []labels.Labels) *target {
	t := &target{entries: make([]storage.Entry, len(series)), outcomes: make([]storage.Outcome, len(series))}
	for i, ls := range series {
		t.entries[i] = storage.Entry{Labels: ls, V: firstValue}
	}
	return t
}

func (t *target) scrape(ctx context.Context, db *tsdb.DB, at int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range t.entries {
		t.entries[i].T = at
		t.entries[i].V += valueStep
	}
	app := db.Appender()
	if err := app.Append(ctx, t.entries, t.outcomes); err != nil {
		return errors.Join(err, app.Rollback())
	}
	for i, o := range t.outcomes {
		if o.Err != nil {
			return errors.Join(fmt.Errorf("%s at %d: %w", t.entries[i].Labels, at, o.Err), app.Rollback())
		}
		t.entries[i].Ref = o.Ref
	}
	return app.Commit(ctx)
}
