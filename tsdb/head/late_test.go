package head

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
)

func withWindow(dir string, millis int64) func(*Options) {
	return func(o *Options) {
		o.OutOfOrderWindow = millis
		o.LateWAL.Dir, o.LateWAL.SegmentSize = filepath.Join(dir, "wbl"), 1<<20
	}
}

// shuffled is a plain model of series that take samples in any order: the first sample of a time counts.
type shuffled map[int]map[int64]string

func (m shuffled) add(i int, t int64, text string) {
	if m[i] == nil {
		m[i] = map[int64]string{}
	}
	if _, ok := m[i][t]; !ok {
		m[i][t] = text
	}
}

func (m shuffled) String() string {
	var b strings.Builder
	for _, i := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(metric(i).String())
		for _, t := range slices.Sorted(maps.Keys(m[i])) {
			fmt.Fprintf(&b, " %d:%s", t, m[i][t])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestShuffledSamples appends floats and histograms in any order, with queries open, and looks at what they, a restart,
// and blocks with what is left in the head show.
func TestShuffledSamples(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 9))
		dir := t.TempDir()
		h := openHead(t, dir, withWindow(dir, hour), func(o *Options) { o.ChunkRange = 100_000 })
		model, kinds := shuffled{}, make([]int, 4)
		var snapshots []storage.Querier
		var shown []string
		step := func(rounds int) {
			for range rounds {
				var batch []storage.Entry
				for i := range kinds {
					if r.IntN(30) == 0 {
						kinds[i] = r.IntN(5)
					}
					for range 1 + r.IntN(3) {
						at := 10_000 + r.Int64N(20_000)
						// All samples of a time are the same, so that it does not matter which of them counts.
						e := randomNative(rand.New(rand.NewPCG(uint64(at), uint64(i))), at, int(at+int64(kinds[0]))%5)
						if _, there := model[i][at]; there {
							continue
						}
						e.Labels = metric(i)
						model.add(i, at, textOf(e, false))
						batch = append(batch, e)
					}
				}
				for _, out := range appendAll(t, h, batch...) {
					if out.Err != nil {
						t.Fatal(out.Err)
					}
				}
				if r.IntN(25) == 0 {
					q, err := h.Querier(0, math.MaxInt64)
					if err != nil {
						t.Fatal(err)
					}
					snapshots, shown = append(snapshots, q), append(shown, model.String())
				}
			}
		}
		check := func(what string) {
			t.Helper()
			if got := all(t, h); got != model.String() {
				t.Fatalf("seed %d, %s:\ngot  %s\nwant %s", seed, what, got, model)
			}
		}
		step(120)
		check("appended")
		for i, q := range snapshots {
			if got := dumpQuerier(t, q); got != shown[i] {
				t.Fatalf("seed %d: snapshot %d\ngot  %s\nwant %s", seed, i, got, shown[i])
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
		snapshots = nil
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h = openHead(t, dir, withWindow(dir, hour), func(o *Options) { o.ChunkRange = 100_000 })
		check("after a restart")
		cut, ok, err := h.BeginLateCut()
		if err != nil || !ok {
			t.Fatalf("nothing to cut: %v", err)
		}
		step(30) // Goes on beside the cut.
		for _, q := range snapshots {
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
		b := lateBlock(t, cut)
		if err := cut.Done(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := union(t, b, h); got != model.String() {
			t.Fatalf("seed %d, block and head:\ngot  %s\nwant %s", seed, got, model)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		h = openHead(t, dir, withWindow(dir, hour), func(o *Options) { o.ChunkRange = 100_000 })
		if got := union(t, b, h); got != model.String() {
			t.Fatalf("seed %d, block and log:\ngot  %s\nwant %s", seed, got, model)
		}
	}
}

// lateBlock writes a cut as one block.
func lateBlock(t *testing.T, cut *LateCut) *block.Block {
	t.Helper()
	dir := t.TempDir()
	w, err := block.NewWriter(block.WriterOptions{Dir: dir, MinTime: cut.MinTime, MaxTime: cut.MaxTime + 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := cut.Series(t.Context(), cut.MinTime, cut.MaxTime+1, w.Add); err != nil {
		t.Fatal(err)
	}
	meta, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	b, err := block.Open(filepath.Join(dir, meta.ULID.String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// union is a dump of both.
func union(t *testing.T, stores ...storage.Queryable) string {
	t.Helper()
	model := map[string]map[int64]string{}
	for _, s := range stores {
		for line := range strings.Lines(all(t, s)) {
			name, samples, _ := strings.Cut(strings.TrimSpace(line), "} ")
			if model[name] == nil {
				model[name] = map[int64]string{}
			}
			for _, one := range splitSamples(samples) {
				var at int64
				text, value, _ := strings.Cut(one, ":")
				if _, err := fmt.Sscan(text, &at); err != nil {
					t.Fatal(err)
				}
				model[name][at] = value
			}
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(model)) {
		b.WriteString(name + "}")
		for _, at := range slices.Sorted(maps.Keys(model[name])) {
			fmt.Fprintf(&b, " %d:%s", at, model[name][at])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// splitSamples splits at the spaces that are not within brackets.
func splitSamples(s string) (all []string) {
	depth, start := 0, 0
	for i, c := range s + " " {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ' ' && depth == 0 && i > start:
			all = append(all, s[start:i])
			start = i + 1
		}
	}
	return all
}

func TestWindow(t *testing.T) {
	dir, reg := t.TempDir(), prometheus.NewPedanticRegistry()
	h := openHead(t, dir, withWindow(dir, 0), func(o *Options) { o.Registerer = reg })
	check := func(want error, entries ...storage.Entry) {
		t.Helper()
		for _, e := range entries {
			if out := appendAll(t, h, e)[0]; !errors.Is(out.Err, want) || want == nil && out.Err != nil {
				t.Errorf("at %d: got %v, want %v", e.T, out.Err, want)
			}
		}
	}
	check(nil, floatEntry(1, 5*hour), intEntry(2, 5*hour, nativeAt(0, 1)))
	check(storage.ErrOutOfOrder, floatEntry(1, 5*hour-1))
	check(storage.ErrOutOfBounds, floatEntry(1, 3*hour), floatEntry(3, 3*hour))
	if err := h.SetOutOfOrderWindow(2 * hour); err != nil {
		t.Fatal(err)
	}
	check(nil, floatEntry(1, 5*hour-1), floatEntry(1, 3*hour), floatEntry(3, 3*hour), floatEntry(3, 4*hour), floatEntry(3, 3*hour+1), intEntry(2, 4*hour, nativeAt(0, 1)))
	check(storage.ErrTooOld, floatEntry(1, 3*hour-1), intEntry(2, 3*hour-1, nativeAt(0, 1)))
	inOrder := func(e storage.Entry) storage.Entry {
		e.InOrder = true
		return e
	}
	check(storage.ErrOutOfOrder, inOrder(floatEntry(1, 5*hour-2)), inOrder(intEntry(2, 5*hour-2, nativeAt(0, 1))))
	check(storage.ErrOutOfBounds, inOrder(floatEntry(1, 3*hour)))
	broken := nativeAt(0, 1)
	broken.Count = 5
	if out := appendAll(t, h, intEntry(2, 4*hour, broken))[0]; out.Err == nil {
		t.Error("a broken histogram is taken out of order")
	}
	s := h.Stats()
	if !s.Late || s.LateMinTime != 3*hour || s.LateMaxTime != 5*hour-1 || s.MinTime != 4*hour {
		t.Errorf("stats %+v", s)
	}
	want := all(t, h)
	if err := h.SetOutOfOrderWindow(0); err != nil {
		t.Fatal(err)
	}
	check(storage.ErrOutOfOrder, floatEntry(1, 5*hour-1))
	if got := all(t, h); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP prometheus_tsdb_head_out_of_order_samples_appended_total Total number of appended out of order samples.
# TYPE prometheus_tsdb_head_out_of_order_samples_appended_total counter
prometheus_tsdb_head_out_of_order_samples_appended_total{type="float"} 4
prometheus_tsdb_head_out_of_order_samples_appended_total{type="histogram"} 1
# HELP prometheus_tsdb_too_old_samples_total Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.
# TYPE prometheus_tsdb_too_old_samples_total counter
prometheus_tsdb_too_old_samples_total{type="float"} 1
prometheus_tsdb_too_old_samples_total{type="histogram"} 1
`), "prometheus_tsdb_head_out_of_order_samples_appended_total", "prometheus_tsdb_too_old_samples_total")
	if err != nil {
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, withWindow(dir, 0)) // What was taken is still there without a window.
	if got := all(t, h); got != want {
		t.Errorf("after a restart: got  %s\nwant %s", got, want)
	}
}

// TestLateSamplesKeepTheirSeries: also through a checkpoint and a restart, and deletions hold for them.
func TestLateSamplesKeepTheirSeries(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withWindow(dir, 10*hour))
	appendAll(t, h, floatEntry(1, 2*hour), floatEntry(2, 2*hour))
	appendAll(t, h, floatEntry(1, hour), floatEntry(1, hour+5), floatEntry(2, 9*hour), floatEntry(3, 2*hour))
	if err := h.Delete(t.Context(), hour+1, hour+9, labels.MustNewMatcher(labels.MatchEqual, "i", "1")); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := h.Truncate(t.Context(), 5*hour); err != nil {
			t.Fatal(err)
		}
		appendAll(t, h, floatEntry(2, h.Stats().MaxTime+1))
	}
	want := metric(1).String() + fmt.Sprintf(" %d:%v\n", hour, floatEntry(1, hour).V)
	check := func() {
		t.Helper()
		if got := dump(t, h, 0, hour*3/2); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	check()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, withWindow(dir, 10*hour), func(o *Options) { o.MinValidTime = 5 * hour })
	check()
	cut, ok, err := h.BeginLateCut()
	if err != nil || !ok {
		t.Fatal(err)
	}
	b := lateBlock(t, cut)
	if got := dump(t, b, 0, hour*3/2); got != want {
		t.Errorf("block: got  %s\nwant %s", got, want)
	}
	if err := cut.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := h.Stats(); s.Late {
		t.Errorf("stats %+v", s)
	}
	if _, ok, err := h.BeginLateCut(); ok || err != nil {
		t.Errorf("a second cut: %v, %v", ok, err)
	}
}

// TestLateCommitIsWhole: an in-order sample that another batch overtakes is taken out of order, and a batch whose log
// can't be written to shows nothing.
func TestLateCommitIsWhole(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withWindow(dir, hour))
	appendAll(t, h, floatEntry(1, 10))
	app := h.Appender()
	if err := app.Append(t.Context(), []storage.Entry{floatEntry(1, 20)}, make([]storage.Outcome, 1)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, h, floatEntry(1, 30))
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	rolled := h.Appender()
	if err := rolled.Append(t.Context(), []storage.Entry{floatEntry(1, 25), {Labels: metric(1), T: 26, V: sample.StaleNaN()}}, make([]storage.Outcome, 2)); err != nil {
		t.Fatal(err)
	}
	if err := rolled.Rollback(); err != nil {
		t.Fatal(err)
	}
	want := all(t, h)
	if !strings.Contains(want, " 20:") || strings.Contains(want, " 25:") {
		t.Fatalf("got %s", want)
	}
	if err := h.lateLog.Close(); err != nil {
		t.Fatal(err)
	}
	app = h.Appender()
	if err := app.Append(t.Context(), []storage.Entry{floatEntry(1, 15), floatEntry(1, 40)}, make([]storage.Outcome, 2)); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(t.Context()); err == nil {
		t.Error("no error")
	}
	if got := all(t, h); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	again := openHead(t, dir, withWindow(dir, hour))
	if got := all(t, again); got != want {
		t.Errorf("after a restart: got  %s\nwant %s", got, want)
	}
}
