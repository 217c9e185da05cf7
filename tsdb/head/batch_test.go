package head

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// batchWriter makes entries of all kinds, many of them behind each other in one series.
type batchWriter struct {
	r   *rand.Rand
	now int64
	// refs are what storages called the series.
	refs [6]storage.SeriesRef
}

func (w *batchWriter) entries(n int) []storage.Entry {
	var all []storage.Entry
	for len(all) < n {
		i, at, kind := w.r.IntN(len(w.refs)), w.now, []int{0, 0, 0, 0, 1, 2, 3, 4, 5}[w.r.IntN(9)]
		step := []int64{0, 1, 1000, 300_000}[w.r.IntN(4)]
		for range 1 + w.r.IntN(30) {
			at += step
			if w.r.IntN(12) == 0 {
				at -= w.r.Int64N(4 * (step + 1))
			}
			k := kind
			if w.r.IntN(20) == 0 {
				k = w.r.IntN(6)
			}
			all = append(all, w.entry(i, at, k))
			w.now = max(w.now, at)
		}
	}
	return all
}

func (w *batchWriter) entry(i int, at int64, kind int) storage.Entry {
	e := randomNative(w.r, at, kind)
	if e.T = at; kind == 0 {
		e.V = [...]float64{1, float64(w.r.IntN(3)), w.r.Float64(), math.Float64frombits(w.r.Uint64())}[w.r.IntN(4)]
	}
	e.Ref = w.refs[i]
	switch w.r.IntN(40) {
	case 0:
		e.Ref = 0
	case 1:
		e.Ref = 1 << 40
	case 2:
		e.NoSample = true
	case 3:
		e.InOrder = true
	case 4:
		e.ST = at - w.r.Int64N(3)
	case 5:
		e.Metadata = &sample.Metadata{Type: sample.TypeGauge, Help: fmt.Sprint(w.r.IntN(4))}
	case 6, 7:
		e.Exemplars = []sample.Exemplar{{Labels: labels.FromStrings("id", fmt.Sprint(w.r.IntN(3))), Value: float64(w.r.IntN(3)), T: at + w.r.Int64N(3), HasT: true}}
	}
	if e.Ref == 0 && w.r.IntN(10) > 0 || w.r.IntN(50) == 0 {
		e.Labels = metric(i)
	}
	return e
}

// seenBy is what a query shows, less series of which it shows no sample.
func seenBy(t *testing.T, q storage.Querier) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(dumpQuerier(t, q)) {
		if !strings.HasSuffix(line, "}\n") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// inspect is all that a head holds, as text.
func inspect(t *testing.T, h *Head) string {
	t.Helper()
	exemplars, err := h.Exemplars(t.Context(), math.MinInt64, math.MaxInt64, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := all(t, h) + fmt.Sprintf("%v\n", exemplars)
	h.EachSeries(func(ref uint64, ls labels.Labels, md sample.Metadata) { text += fmt.Sprintln(ref, ls, md) })
	h.index.each(func(_ uint32, p *page) {
		for i := range p.slots {
			if n := p.slots[i].pending; n != 0 {
				text += fmt.Sprintf("%d samples are still expected\n", n)
			}
		}
	})
	return text
}

// TestBatchesAreTakenLikeSingleEntries gives one head batches, several at a time, and another one the same entries one by one. All
// outcomes, chunks, exemplars and metadata are the same, for queries that are open as well, and after a restart.
func TestBatchesAreTakenLikeSingleEntries(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 5))
		low := int64(math.MinInt64)
		open := func(dir string) *Head {
			return openHead(t, dir, withWindow(dir, int64(seed%3)*hour/2), mapping(dir), withExemplars(20), func(o *Options) {
				o.WAL.Compression, o.SamplesV2, o.XOR2, o.KeepST, o.ChunkRange, o.MinValidTime = wal.ZstdLight, true, seed%4 == 3, seed%2 == 1, hour, low
			})
		}
		dir, otherDir := t.TempDir(), t.TempDir()
		h, other := open(dir), open(otherDir)
		w := batchWriter{r: r, now: 10 * hour}
		for round := range 25 {
			snapshot, err := h.Querier(math.MinInt64, math.MaxInt64)
			if err != nil {
				t.Fatal(err)
			}
			seen := seenBy(t, snapshot)
			var open [][2]storage.Appender
			for range 1 + r.IntN(3) {
				open = append(open, [2]storage.Appender{h.Appender(), other.Appender()})
			}
			for range r.IntN(8) {
				two := open[r.IntN(len(open))]
				entries := w.entries(1 + r.IntN(60))
				outcomes, one := make([]storage.Outcome, len(entries)), make([]storage.Outcome, 1)
				err := two[0].Append(t.Context(), entries, outcomes)
				for k := range entries {
					err = errors.Join(err, two[1].Append(t.Context(), entries[k:k+1], one))
					if fmt.Sprint(outcomes[k]) != fmt.Sprint(one[0]) {
						t.Fatalf("seed %d: outcome %v, alone %v of %+v", seed, outcomes[k], one[0], entries[k])
					}
					for i := range w.refs {
						if labels.Equal(entries[k].Labels, metric(i)) && one[0].Ref != 0 {
							w.refs[i] = one[0].Ref
						}
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			r.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
			for _, two := range open {
				commit := r.IntN(5) > 0
				for _, app := range two {
					end := app.Rollback
					if commit {
						end = func() error { return app.Commit(t.Context()) }
					}
					if err := end(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := seenBy(t, snapshot); got != seen {
				t.Fatalf("seed %d: a query sees a later batch:\n%s\nbefore:\n%s", seed, got, seen)
			}
			if err := snapshot.Close(); err != nil {
				t.Fatal(err)
			}
			what, at := r.IntN(12), w.now-r.Int64N(3*hour)
			if what == 0 {
				low = max(low, at)
			}
			for _, h := range []*Head{h, other} {
				var err error
				switch what {
				case 0:
					err = h.Truncate(t.Context(), at)
				case 1:
					err = h.Delete(t.Context(), at, at+hour/2, labels.MustNewMatcher(labels.MatchRegexp, "i", "[123]"))
				case 2:
					err = h.MapChunks(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if got, want := inspect(t, h), inspect(t, other); got != want {
				t.Fatalf("seed %d, round %d: got\n%swant\n%s", seed, round, got, want)
			}
		}
		if got, want := storedChunks(t, h), storedChunks(t, other); got != want {
			t.Fatalf("seed %d: got\n%swant\n%s", seed, got, want)
		}
		// Killed: nothing is closed.
		want := dump(t, h, low, math.MaxInt64)
		again, otherAgain := open(dir), open(otherDir)
		if got := dump(t, again, low, math.MaxInt64); got != want {
			t.Errorf("seed %d: after a restart:\n%swant\n%s", seed, got, want)
		}
		if got, want := inspect(t, again), inspect(t, otherAgain); got != want {
			t.Errorf("seed %d: after a restart:\n%swant\n%s", seed, got, want)
		}
	}
}
