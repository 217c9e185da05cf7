package tsdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// size says how much is measured.
type size struct {
	appendSeries, appendScrapes int
	blockSeries                 int
	selectSeries                int
	// least is the processor time for which short calls are repeated.
	least time.Duration
}

var (
	fullSize  = size{appendSeries: 100_000, appendScrapes: 100, blockSeries: 10_000, selectSeries: 1_000_000, least: 300 * time.Millisecond}
	shortSize = size{appendSeries: 10_000, appendScrapes: 40, blockSeries: 500, selectSeries: 30_000, least: 20 * time.Millisecond}
)

const (
	// interval is the distance of scrapes, start the time of the first one: a multiple of all ranges of blocks.
	interval = 15_000
	hour     = 3_600_000
	start    = 486 * hour * 1000
)

// results are figures by name. Names start with the task's.
type results map[string]float64

// task measures one engine in a process of its own; dir is the engine's folder, in which earlier tasks of the round
// left their data.
type task struct {
	name string
	run  func(ctx context.Context, k engineKind, s size, dir string, r results) error
}

func tasks() []task {
	return []task{
		{"append", measureAppend},
		{"replay", measureReplay},
		{"blocks", measureBlocks},
		{"read", measureRead},
		{"merge", measureMerge},
		{"select", measureSelect},
	}
}

// measureAppend appends scrapes, and leaves the log to measureReplay.
func measureAppend(ctx context.Context, k engineKind, s size, dir string, r results) error {
	dir = filepath.Join(dir, "append")
	targets := newTargets(s.appendSeries)
	before := liveHeap()
	e, err := k.open(ctx, dir)
	if err != nil {
		return err
	}
	var first, rest time.Duration
	var allocated float64
	for n := range s.appendScrapes {
		allocs := mallocs()
		for _, t := range targets {
			t.scrape(n, start+int64(n)*interval)
			began := cpuTime()
			if err := e.append(ctx, t); err != nil {
				return err
			}
			if n == 0 {
				first += cpuTime() - began
			} else {
				rest += cpuTime() - began
			}
		}
		if n > 0 {
			allocated += mallocs() - allocs
		}
	}
	r["append: new series, CPU µs per series"] = first.Seconds() * 1e6 / float64(s.appendSeries)
	samples := float64(s.appendSeries * (s.appendScrapes - 1))
	r["append: CPU µs per sample"] = rest.Seconds() * 1e6 / samples
	r["append: allocations per sample"] = allocated / samples
	r["append: live heap, bytes per series"] = (liveHeap() - before) / float64(s.appendSeries)
	runtime.KeepAlive(targets) // They are part of what there was before.
	if err := e.close(); err != nil {
		return err
	}
	log, err := fileBytes(dir, "wal")
	r["log: bytes per sample"] = log / float64(s.appendSeries*s.appendScrapes)
	return err
}

// measureReplay opens what measureAppend left.
func measureReplay(ctx context.Context, k engineKind, s size, dir string, r results) error {
	began, cpu := time.Now(), cpuTime()
	var e engine
	peak, err := peakHeap(func() (err error) {
		e, err = k.open(ctx, filepath.Join(dir, "append"))
		return err
	})
	if err != nil {
		return err
	}
	r["replay: CPU s"] = (cpuTime() - cpu).Seconds()
	r["replay: s"] = time.Since(began).Seconds()
	r["replay: peak heap, MiB"] = peak / (1 << 20)
	n, err := e.count(ctx, matcher{"__name__", "!=", ""})
	if err == nil && n != s.appendSeries {
		err = fmt.Errorf("%d series are there after replay, not %d", n, s.appendSeries)
	}
	return errors.Join(err, e.close())
}

// blockScrapes is what fills three blocks of two hours, and as much of the head as makes the last one due.
const blockScrapes = 7*hour/interval + 20

// measureBlocks appends, and cuts the blocks as they become due.
func measureBlocks(ctx context.Context, k engineKind, s size, dir string, r results) error {
	dir = filepath.Join(dir, "blocks")
	e, err := k.open(ctx, dir)
	if err != nil {
		return err
	}
	targets := newTargets(s.blockSeries)
	var cpu time.Duration
	var peak float64
	cuts := 0
	for n := range blockScrapes {
		for _, t := range targets {
			t.scrape(n, start+int64(n)*interval)
			if err := e.append(ctx, t); err != nil {
				return err
			}
		}
		if due := (n*interval - hour - 2*interval) / (2 * hour); n*interval > hour && due > cuts {
			cuts++
			began := cpuTime()
			p, err := peakHeap(func() error { return e.compact(ctx, cuts) })
			if err != nil {
				return err
			}
			cpu += cpuTime() - began
			peak = max(peak, p)
		}
	}
	samples := float64(s.blockSeries * 3 * 2 * hour / interval)
	r["cut: CPU µs per sample"] = cpu.Seconds() * 1e6 / samples
	r["cut: peak heap beyond the head, MiB"] = peak / (1 << 20)
	if err := e.close(); err != nil {
		return err
	}
	return sizes(r, "cut", dir, samples)
}

// sizes notes the size of all blocks below a folder.
func sizes(r results, what, dir string, samples float64) error {
	index, err := fileBytes(dir, "index")
	if err != nil {
		return err
	}
	chunks, err := fileBytes(dir, "chunks")
	r[what+": bytes per sample, index"] = index / samples
	r[what+": bytes per sample, chunks"] = chunks / samples
	r[what+": bytes per sample"] = (index + chunks) / samples
	return err
}

// measureRead reads six hours of what measureBlocks left.
func measureRead(ctx context.Context, k engineKind, s size, dir string, r results) error {
	e, err := k.open(ctx, filepath.Join(dir, "blocks"))
	if err != nil {
		return err
	}
	end := int64(start + (blockScrapes-1)*interval)
	var n int
	var sum uint64
	cpu, err := perCall(s.least, func() (err error) {
		n, sum, err = e.read(ctx, end-6*hour, end, matcher{"__name__", "!=", ""})
		return err
	})
	r["read: CPU ns per sample"] = cpu * 1e9 / float64(n)
	r["=read: samples"], r["=read: sum"] = float64(n), float64(sum>>11)
	return errors.Join(err, e.close())
}

// measureMerge merges the three blocks of measureBlocks into one.
func measureMerge(ctx context.Context, k engineKind, s size, dir string, r results) error {
	blocks, err := filepath.Glob(filepath.Join(dir, "blocks", "*", "meta.json"))
	if err != nil {
		return err
	}
	for i := range blocks {
		blocks[i] = filepath.Dir(blocks[i])
	}
	slices.Sort(blocks)
	dest := filepath.Join(dir, "merged")
	if err := os.Mkdir(dest, 0o755); err != nil {
		return err
	}
	began, cpu := time.Now(), cpuTime()
	peak, err := peakHeap(func() error { return k.merge(ctx, dest, blocks) })
	if err != nil {
		return err
	}
	samples := float64(s.blockSeries * 3 * 2 * hour / interval)
	r["merge: CPU µs per sample"] = (cpuTime() - cpu).Seconds() * 1e6 / samples
	r["merge: s"] = time.Since(began).Seconds()
	r["merge: peak heap, MiB"] = peak / (1 << 20)
	return sizes(r, "merge", dest, samples)
}

// selection is a question about series.
type selection struct {
	what     string
	matchers []matcher
}

func selections() []selection {
	const name = "__name__"
	return []selection{
		{"equality", []matcher{{name, "=", "http_requests_total"}}},
		{"two equalities", []matcher{{name, "=", "http_request_duration_seconds_bucket"}, {"path", "=", "/healthz"}}},
		{"one series", []matcher{{name, "=", "node_load1"}, {"instance", "=", "node-00000.example.internal:9100"}}},
		{"set", []matcher{{name, "=", "http_requests_total"}, {"code", "=~", "404|500"}}},
		{"set of names", []matcher{{name, "=~", "node_load1|node_load5|go_goroutines|process_open_fds"}}},
		{"prefix", []matcher{{"pod", "=~", "checkout-.*"}}},
		{"prefix of names", []matcher{{name, "=~", "node_memory_.*"}}},
		{"suffix", []matcher{{name, "=~", ".+_bytes"}}},
		{"not equal", []matcher{{name, "=", "http_requests_total"}, {"code", "!=", "200"}}},
		{"not regex", []matcher{{name, "=", "http_requests_total"}, {"path", "!~", "/api/v1/(users|orders).*"}}},
		{"not regex, many values", []matcher{{name, "=", "go_goroutines"}, {"pod", "!~", "checkout-.*"}}},
		{"not regex, many values alone", []matcher{{"job", "!=", ""}, {"pod", "!~", "(checkout|api)-.*"}}},
		{"many values of all", []matcher{{"pod", "!=", ""}}},
		{"without a label", []matcher{{name, "=~", "node_.*|go_.*"}, {"pod", "=", ""}}},
		{"several", []matcher{{name, "=", "http_request_duration_seconds_bucket"}, {"job", "=~", "api|search"}, {"le", "!=", "+Inf"}, {"namespace", "=", "prod"}, {"pod", "=~", ".+"}}},
		{"all", []matcher{{name, "!=", ""}}},
	}
}

// measureSelect makes many series of few samples and asks for them, first in the head and then in a block.
func measureSelect(ctx context.Context, k engineKind, s size, dir string, r results) error {
	e, err := k.open(ctx, filepath.Join(dir, "select"))
	if err != nil {
		return err
	}
	for n := range 2 {
		for _, t := range newTargets(s.selectSeries) {
			t.scrape(n, start+int64(n)*interval)
			if err := e.append(ctx, t); err != nil {
				return err
			}
		}
	}
	if err := measureQuestions(ctx, e, "head", s, r); err != nil {
		return err
	}
	snapshot := filepath.Join(dir, "snapshot")
	began := cpuTime()
	if err := e.snapshot(ctx, snapshot); err != nil {
		return err
	}
	r["write block of many series: CPU µs per series"] = (cpuTime() - began).Seconds() * 1e6 / float64(s.selectSeries)
	if err := errors.Join(e.close(), os.RemoveAll(filepath.Join(dir, "select"))); err != nil {
		return err
	}
	e = nil
	metas, err := filepath.Glob(filepath.Join(snapshot, "*", "meta.json"))
	if err != nil || len(metas) != 1 {
		return errors.Join(err, fmt.Errorf("there are %d blocks, not 1", len(metas)))
	}
	if err := sizes(r, "block of many series", snapshot, float64(2*s.selectSeries)); err != nil {
		return err
	}
	began = cpuTime()
	b, err := k.openBlock(filepath.Dir(metas[0]))
	if err != nil {
		return err
	}
	r["open block: CPU ms"] = (cpuTime() - began).Seconds() * 1e3
	for _, q := range selections() {
		if err := measureQuestion("postings in block: "+q.what, s, r, func() (int, error) { return b.postings(ctx, q.matchers...) }); err != nil {
			return err
		}
	}
	return errors.Join(measureQuestions(ctx, b, "block", s, r), b.close())
}

// measureQuestion times f, which returns the number of things that it found.
func measureQuestion(what string, s size, r results, f func() (int, error)) error {
	n := 0
	cpu, err := perCall(s.least, func() (err error) {
		n, err = f()
		return err
	})
	r[what+", CPU ms"], r["="+what] = cpu*1e3, float64(n)
	if err == nil && n == 0 {
		err = errors.New("nothing was found")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return err
}

func measureQuestions(ctx context.Context, e reader, where string, s size, r results) error {
	add := func(what string, f func() (int, error)) error { return measureQuestion(what, s, r, f) }
	for _, q := range selections() {
		if err := add("select in "+where+": "+q.what, func() (int, error) { return e.count(ctx, q.matchers...) }); err != nil {
			return err
		}
	}
	for _, name := range []string{"pod", "__name__"} {
		for _, ms := range [][]matcher{nil, {{"job", "=", "api"}}, {{"__name__", "=", "http_requests_total"}, {"code", "=~", "4.."}}} {
			err := add(fmt.Sprintf("values of %s in %s: %v", name, where, ms), func() (int, error) {
				values, err := e.labelValues(ctx, name, ms...)
				return len(values), err
			})
			if err != nil {
				return err
			}
		}
	}
	return add("names in "+where+": [namespace=\"prod\"]", func() (int, error) {
		names, err := e.labelNames(ctx, matcher{"namespace", "=", "prod"})
		return len(names), err
	})
}
