package promql_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	upstreamhistogram "github.com/prometheus/prometheus/model/histogram"
	upstreamlabels "github.com/prometheus/prometheus/model/labels"
	upstreamstorage "github.com/prometheus/prometheus/storage"
	upstreamtsdb "github.com/prometheus/prometheus/tsdb"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// blockRange is the range of blocks in milliseconds: the samples of the data sets fill six.
const blockRange = 40 * interval

// TestStoredDifferential appends the same samples, a part of them late, to both storages, and asks both engines over these:
// while all is in memory, after blocks were cut and merged, with late samples above these blocks, after these were merged,
// and after a restart. QUERIES and SEED set the number of queries and the seed.
func TestStoredDifferential(t *testing.T) {
	n, seed := setting(t, "QUERIES", 2000), setting(t, "SEED", time.Now().UnixNano())
	t.Logf("SEED=%d QUERIES=%d", seed, n)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	const worlds, stages = 4, 5
	failures := 0
	for range worlds {
		data := slices.Concat(mixture(r, 240), natives(r, 240), changing(r, 240))
		w := newStored(t, newEngines(t, nil, features{}))
		arrivals := shuffled(r, data)
		later := len(arrivals) * 4 / 5
		for _, stage := range []struct {
			name string
			do   func()
		}{
			{"in memory", func() { w.append(t, arrivals[:later]) }},
			{"cut", func() { w.compact(t) }},
			{"late above blocks", func() { w.append(t, arrivals[later:]) }},
			{"merged", func() { w.compact(t) }},
			{"opened again", func() { w.reopen(t) }},
		} {
			stage.do()
			for range int(n) / worlds / stages {
				query := randomQuery(r)
				switch r.IntN(3) {
				case 0:
					query = nativeQuery(r)
				case 1:
					query = resetQuery(r)
				}
				if err := w.compare(t, r, query, features{}); err != nil {
					t.Errorf("%s: %s\n  %v", stage.name, query, err)
					if failures++; failures > 20 {
						t.FailNow()
					}
				}
			}
		}
	}
}

// resetQuery is about what histograms say of the ones before them.
func resetQuery(r *rand.Rand) string {
	f := pick(r, "rate", "increase", "delta", "irate", "resets", "changes", "last_over_time", "count_over_time", "avg_over_time", "sum_over_time")
	q := fmt.Sprintf("%s(%s[%s])", f, pick(r, "native", "changing", `{__name__=~"native|changing"}`), pick(r, "45s", "2m", "6m", "20m"))
	switch r.IntN(5) {
	case 0:
		return fmt.Sprintf("histogram_count(%s)", q)
	case 1:
		return fmt.Sprintf("timestamp(%s)", pick(r, "native", "changing"))
	case 2:
		return fmt.Sprintf("sum by (job) (%s)", q)
	}
	return q
}

// changing returns series that are native histograms and floats in turns, that change between whole and other counts, and some
// that go up and down all the time: what comes late is often a reset, or the end of one.
func changing(r *rand.Rand, samples int) []series {
	data := natives(r, samples)
	for i := range data {
		s := &data[i]
		s.labels[1], s.labels[5] = "changing", fmt.Sprintf("changing%d", i)
		run := 1 + r.IntN(40)
		grown := slices.Clone(s.h)
		for k := range s.h {
			if h := grown[r.IntN(k+1)]; i%2 == 1 && h != nil {
				s.h[k] = h.Copy()
			}
			if k/run%3 == 1 {
				s.h[k] = nil
			}
			if k/run%5 == 3 && s.h[k] != nil {
				s.h[k].Count += 0.5
				s.h[k].PositiveBuckets[0] += 0.5
			}
		}
	}
	return data
}

// arrival is a sample on its way.
type arrival struct {
	series *series
	at     int
	due    int64
}

// shuffled returns the samples in the order in which they come: most in that of time, some up to 25 minutes late.
func shuffled(r *rand.Rand, data []series) []arrival {
	var all []arrival
	for i := range data {
		s, bursts := &data[i], r.IntN(3)
		lateness := int64(0)
		for at, t := range s.t {
			switch {
			case bursts == 0:
				lateness = 0
			case bursts == 1 && at%8 == 0, bursts == 2:
				if lateness = 0; r.IntN(5) == 0 {
					lateness = r.Int64N(100 * interval)
				}
			}
			all = append(all, arrival{s, at, t + lateness})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return int(a.due - b.due) })
	return all
}

// stored are engines over storages on disk.
type stored struct {
	*engines
	dirs       [2]string
	db         *tsdb.DB
	upstreamDB *upstreamtsdb.DB
}

func newStored(t *testing.T, e *engines) *stored {
	t.Helper()
	w := &stored{engines: e, dirs: [2]string{t.TempDir(), t.TempDir()}}
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	return w
}

func (w *stored) open(t *testing.T) {
	t.Helper()
	var err error
	w.db, err = tsdb.Open(t.Context(), tsdb.Options{
		Dir: w.dirs[0], MinBlockDuration: blockRange * time.Millisecond, MaxBlockDuration: 3 * blockRange * time.Millisecond, OutOfOrderWindow: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := upstreamtsdb.DefaultOptions()
	o.MinBlockDuration, o.MaxBlockDuration, o.OutOfOrderTimeWindow = blockRange, 3*blockRange, time.Hour.Milliseconds()
	if w.upstreamDB, err = upstreamtsdb.Open(w.dirs[1], slog.New(slog.DiscardHandler), nil, o, nil); err != nil {
		t.Fatal(err)
	}
	w.upstreamDB.DisableCompactions()
	w.store, w.upstreamStore, w.chunked = w.db, w.upstreamDB, true
}

func (w *stored) close(t *testing.T) {
	t.Helper()
	if err := w.db.Close(); err != nil {
		t.Error(err)
	}
	if err := w.upstreamDB.Close(); err != nil {
		t.Error(err)
	}
}

func (w *stored) reopen(t *testing.T) {
	t.Helper()
	w.close(t)
	w.open(t)
}

// append appends samples, a batch for each moment.
func (w *stored) append(t *testing.T, all []arrival) {
	t.Helper()
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].due < all[0].due+interval {
			n++
		}
		w.appendOurs(t, all[:n])
		w.appendUpstream(t, all[:n])
		all = all[n:]
	}
}

func (w *stored) appendOurs(t *testing.T, batch []arrival) {
	t.Helper()
	entries, outcomes := make([]storage.Entry, len(batch)), make([]storage.Outcome, len(batch))
	for i, a := range batch {
		entries[i] = storage.Entry{Labels: labels.FromStrings(a.series.labels...), T: a.series.t[a.at], V: a.series.f[a.at]}
		if len(a.series.h) > 0 && a.series.h[a.at] != nil {
			entries[i].FloatHistogram = a.series.h[a.at].Copy()
			if whole(entries[i].FloatHistogram.PositiveBuckets) {
				entries[i].Histogram, entries[i].FloatHistogram = entries[i].FloatHistogram.ToInt(), nil
			}
		}
	}
	app := w.db.Appender()
	if err := app.Append(t.Context(), entries, outcomes); err != nil {
		t.Fatal(err)
	}
	for i := range outcomes {
		if outcomes[i].Err != nil {
			t.Fatalf("%v: %v", entries[i].Labels, outcomes[i].Err)
		}
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *stored) appendUpstream(t *testing.T, batch []arrival) {
	t.Helper()
	app := w.upstreamDB.AppenderV2(t.Context())
	for _, a := range batch {
		var h *upstreamhistogram.Histogram
		var fh *upstreamhistogram.FloatHistogram
		if len(a.series.h) > 0 && a.series.h[a.at] != nil {
			if whole(a.series.h[a.at].PositiveBuckets) {
				h = wholeUpstream(upstreamHistogram(a.series.h[a.at]))
			} else {
				fh = upstreamHistogram(a.series.h[a.at]).Copy()
			}
		}
		if _, err := app.Append(0, upstreamlabels.FromStrings(a.series.labels...), 0, a.series.t[a.at], a.series.f[a.at], h, fh, upstreamstorage.AppendV2Options{}); err != nil {
			t.Fatalf("%v: %v", a.series.labels, err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

func whole(counts []float64) bool {
	return !slices.ContainsFunc(counts, func(c float64) bool { return c != float64(int64(c)) })
}

// wholeUpstream returns the same histogram in integers.
func wholeUpstream(f *upstreamhistogram.FloatHistogram) *upstreamhistogram.Histogram {
	deltas := func(counts []float64) (out []int64) {
		last := int64(0)
		for _, c := range counts {
			out, last = append(out, int64(c)-last), int64(c)
		}
		return out
	}
	return &upstreamhistogram.Histogram{
		CounterResetHint: f.CounterResetHint, Schema: f.Schema, ZeroThreshold: f.ZeroThreshold, ZeroCount: uint64(f.ZeroCount), Count: uint64(f.Count),
		Sum: f.Sum, PositiveSpans: slices.Clone(f.PositiveSpans), NegativeSpans: slices.Clone(f.NegativeSpans),
		PositiveBuckets: deltas(f.PositiveBuckets), NegativeBuckets: deltas(f.NegativeBuckets), CustomValues: f.CustomValues,
	}
}

// compact cuts and merges what is due.
func (w *stored) compact(t *testing.T) {
	t.Helper()
	if err := w.upstreamDB.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.db.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(w.db.Blocks()) == 0 || w.db.HeadStats().Late {
		select {
		case <-tick.C:
		case err := <-done:
			t.Fatalf("storage ended: %v", err)
		}
	}
	// There are no tombstones, but this waits for its turn: what is due is merged by then, too.
	if err := w.db.CleanTombstones(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(w.upstreamDB.Blocks()) == 0 {
		t.Fatal("upstream has no blocks")
	}
}
