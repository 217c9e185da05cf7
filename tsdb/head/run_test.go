package head

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// storedChunks returns all chunks, byte by byte.
func storedChunks(t *testing.T, h *Head) string {
	t.Helper()
	text := ""
	err := h.Series(t.Context(), math.MinInt64, math.MaxInt64, func(ls labels.Labels, chunks []block.Chunk) error {
		for _, c := range chunks {
			text += fmt.Sprintf("%s %d-%d %v %x\n", ls, c.MinTime, c.MaxTime, c.Encoding, c.Data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// pastEntries makes samples of a series, some of which are wrong: late, there already, or another one than that.
func pastEntries(r *rand.Rand, ref storage.SeriesRef, i, n int, at *int64) (entries []storage.Entry) {
	for range n {
		e := storage.Entry{Ref: ref, V: float64(r.IntN(100))}
		switch *at += 1 + r.Int64N(2*15_000); {
		case i%4 == 1:
			e.V = math.Float64frombits(r.Uint64()) // Fills chunks before they have 120 samples.
		case i%4 == 2 && r.IntN(20) == 0:
			e.V = sample.StaleNaN()
		case i%4 == 3 && r.IntN(10) == 0:
			*at -= r.Int64N(20_000)
		case r.IntN(50) == 0:
			*at += hour
		}
		e.T = *at
		entries = append(entries, e)
		if r.IntN(40) == 0 {
			entries = append(entries, e)
		}
	}
	return entries
}

// TestRunsAreTakenLikeSingleSamples gives one storage samples of each series behind each other, and another one the same in single
// calls: outcomes and chunks are the same, also for queries that were there before.
func TestRunsAreTakenLikeSingleSamples(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 9)) //nolint:gosec // A test's randomness.
		open := func(dir string) *Head {
			return openHead(t, dir, withWindow(dir, int64(seed%2)*hour), mapping(dir), func(o *Options) {
				o.WAL.Compression, o.SamplesV2, o.XOR2 = wal.ZstdLight, true, seed%3 == 2
			})
		}
		dir := t.TempDir()
		runs, single := open(dir), open(t.TempDir())
		var at [8]int64
		var refs [8]storage.SeriesRef
		for i := range refs {
			refs[i] = appendAll(t, runs, floatEntry(i, 0))[0].Ref
			appendAll(t, single, floatEntry(i, 0))
		}
		for round := range 40 {
			before, err := runs.Querier(math.MinInt64, math.MaxInt64)
			if err != nil {
				t.Fatal(err)
			}
			seen := dumpQuerier(t, before)
			app, other := runs.Appender(), single.Appender()
			for i := range refs {
				entries := pastEntries(r, refs[i], i, r.IntN(60), &at[i])
				outcomes, one := make([]storage.Outcome, len(entries)), make([]storage.Outcome, 1)
				err := app.Append(t.Context(), entries, outcomes)
				for k := range entries {
					err = errors.Join(err, other.Append(t.Context(), entries[k:k+1], one))
					if fmt.Sprint(outcomes[k]) != fmt.Sprint(one[0]) {
						t.Fatalf("seed %d: outcome %v, alone %v", seed, outcomes[k], one[0])
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			end := [2]func() error{app.Rollback, other.Rollback}
			if round%5 > 0 {
				end = [2]func() error{func() error { return app.Commit(t.Context()) }, func() error { return other.Commit(t.Context()) }}
			}
			if err := errors.Join(end[0](), end[1]()); err != nil {
				t.Fatal(err)
			}
			if got := dumpQuerier(t, before); got != seen {
				t.Fatalf("seed %d: a query sees a later batch:\n%s\nbefore:\n%s", seed, got, seen)
			}
			if err := before.Close(); err != nil {
				t.Fatal(err)
			}
			if round == 25 {
				mapChunks(t, runs)
			}
		}
		if got, want := storedChunks(t, runs), storedChunks(t, single); got != want || got == "" {
			t.Fatalf("seed %d: got\n%swant\n%s", seed, got, want)
		}
		want := all(t, runs)
		if got := all(t, single); got != want {
			t.Fatalf("seed %d: got\n%swant\n%s", seed, got, want)
		}
		runs.index.each(func(_ uint32, p *page) {
			for i := range p.slots {
				if p.slots[i].pending != 0 {
					t.Errorf("seed %d: %d samples are still expected", seed, p.slots[i].pending)
				}
			}
		})
		if got := all(t, open(dir)); got != want { // Killed: nothing is closed.
			t.Errorf("seed %d: after a restart:\n%swant\n%s", seed, got, want)
		}
	}
}

// BenchmarkAppendRun appends batches of 100 series with 20 samples each, as those who catch up send them.
func BenchmarkAppendRun(b *testing.B) {
	const series, each = 100, 20
	h := openHead(b, b.TempDir(), func(o *Options) {
		o.WAL.Compression, o.WAL.SegmentSize, o.SamplesV2 = wal.ZstdLight, 128<<20, true
	})
	entries, outcomes := make([]storage.Entry, 0, series*each), make([]storage.Outcome, series*each)
	for i := range series {
		ref := appendAll(b, h, floatEntry(i, 0))[0].Ref
		for k := range each {
			entries = append(entries, storage.Entry{Ref: ref, T: int64(k-each) * 15_000})
		}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		for i := range entries {
			e := &entries[i]
			e.T += each * 15_000
			if i/each%2 == 0 {
				e.V += float64((i*7919 + n) % 50)
			}
		}
		if n%1000 == 999 {
			if err := h.Truncate(b.Context(), entries[0].T-hour); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		app := h.Appender()
		if err := errors.Join(app.Append(b.Context(), entries, outcomes), app.Commit(b.Context())); err != nil || outcomes[0].Err != nil {
			b.Fatal(err, outcomes[0].Err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series*each), "ns/sample")
}
