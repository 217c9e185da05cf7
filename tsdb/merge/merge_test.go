package merge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// point is a sample in a form that compares.
type point struct {
	t int64
	v string
}

// sampleOf makes the value of a sample in a store, so that one sees where it came from: every fifth is a histogram.
func sampleOf(t int64, store int) (v float64, h *histogram.FloatHistogram, text string) {
	v = float64(t*10) + float64(store)
	if t%5 == 0 {
		return 0, &histogram.FloatHistogram{Sum: v}, fmt.Sprint("histogram ", v)
	}
	return v, nil, fmt.Sprint(v)
}

func TestMergedStoresAreOne(t *testing.T) {
	all := labels.MustNewMatcher(labels.MatchRegexp, "a", ".+")
	var reuse storage.ColumnReader
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		want := map[string]map[int64]string{}
		var qs []storage.Querier
		for store := range 1 + r.IntN(4) {
			s := storagetest.NewStore()
			for i := range 6 {
				if r.IntN(2) == 0 {
					continue
				}
				ls := labels.FromStrings("a", fmt.Sprint(i))
				var entries []storage.Entry
				for at := range int64(40) {
					// Runs and single samples, overlapping with those of other stores.
					if (at/(1+int64(seed%7))+int64(store))%3 == 0 || r.IntN(4) == 0 {
						continue
					}
					v, h, text := sampleOf(at, store)
					entries = append(entries, storage.Entry{Labels: ls, T: at, V: v, FloatHistogram: h})
					key := ls.String()
					if want[key] == nil {
						want[key] = map[int64]string{}
					}
					if want[key][at] == "" {
						want[key][at] = text
					}
				}
				app := s.Appender()
				if err := app.Append(t.Context(), entries, make([]storage.Outcome, len(entries))); err != nil {
					t.Fatal(err)
				}
				if err := app.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			q, err := s.Querier(0, 100)
			if err != nil {
				t.Fatal(err)
			}
			if seed%2 == 0 {
				q = boundedQuerier{q, int64(seed % 3)}
			}
			qs = append(qs, q)
		}
		q := Queriers(qs...)
		set := q.Select(t.Context(), true, nil, all)
		var names []string
		for set.Next() {
			name := set.At().Labels().String()
			names = append(names, name)
			reuse = set.At().Samples(reuse)
			checkSamples(t, reuse, want[name])
		}
		if err := set.Err(); err != nil || !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("got series %v, %v, want %v", names, err, slices.Sorted(maps.Keys(want)))
		}
		values, _, err := q.LabelValues(t.Context(), "a", storage.LabelHints{})
		if err != nil || len(values) != len(want) || !slices.IsSorted(values) {
			t.Fatalf("got values %v, %v", values, err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// boundedQuerier makes series whose readers know bounds, which are slack wider than need be.
type boundedQuerier struct {
	storage.Querier
	slack int64
}

func (q boundedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return boundedSet{q.Querier.Select(ctx, sorted, hints, ms...), q.slack}
}

type boundedSet struct {
	storage.SeriesSet
	slack int64
}

func (s boundedSet) At() storage.Series { return boundedSeries{s.SeriesSet.At(), s.slack} }

type boundedSeries struct {
	storage.Series
	slack int64
}

func (s boundedSeries) Samples(storage.ColumnReader) storage.ColumnReader {
	var c storage.Columns
	for r := s.Series.Samples(nil); r.Read(&c); {
		continue
	}
	r := boundedReader{s.Series.Samples(nil), math.MaxInt64, math.MinInt64}
	if n := c.Len(); n > 0 {
		r.minT, r.maxT = c.T[0]-s.slack, c.T[n-1]+s.slack
	}
	return r
}

type boundedReader struct {
	storage.ColumnReader
	minT, maxT int64
}

func (r boundedReader) Bounds() (minT, maxT int64) { return r.minT, r.maxT }

// TestFollowingReadersAreNotMerged reads storages that follow each other, given in any order.
func TestFollowingReadersAreNotMerged(t *testing.T) {
	series := func(from, to int64) storage.SeriesSet {
		s := storagetest.NewStore()
		app := s.Appender()
		var entries []storage.Entry
		for at := from; at < to; at++ {
			v, h, _ := sampleOf(at, 0)
			entries = append(entries, storage.Entry{Labels: labels.FromStrings("a", "b"), T: at, V: v, FloatHistogram: h})
		}
		if err := errors.Join(app.Append(t.Context(), entries, make([]storage.Outcome, len(entries))), app.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
		q, err := s.Querier(0, 100)
		if err != nil {
			t.Fatal(err)
		}
		return boundedQuerier{q, 0}.Select(t.Context(), true, nil)
	}
	want := map[int64]string{}
	for at := range int64(40) {
		_, _, want[at] = sampleOf(at, 0)
	}
	set := Series(series(10, 20), series(30, 40), series(0, 10), series(20, 30))
	if !set.Next() {
		t.Fatal(set.Err())
	}
	r, ok := set.At().Samples(nil).(*reader)
	if !ok || !r.chained {
		t.Fatal("the readers are not taken one by one")
	}
	checkSamples(t, r, want)
}

func checkSamples(t *testing.T, r storage.ColumnReader, want map[int64]string) {
	t.Helper()
	var c storage.Columns
	for r.Read(&c) {
		if len(c.F) != len(c.T) || len(c.H) > 0 && len(c.H) != len(c.T) {
			t.Fatalf("columns of lengths %d, %d, %d", len(c.T), len(c.F), len(c.H))
		}
	}
	var got []point
	for i, at := range c.T {
		v := fmt.Sprint(c.F[i])
		if len(c.H) > 0 && c.H[i] != nil {
			v = fmt.Sprint("histogram ", c.H[i].Sum)
		}
		got = append(got, point{at, v})
	}
	var expected []point
	for _, at := range slices.Sorted(maps.Keys(want)) {
		expected = append(expected, point{at, want[at]})
	}
	if err := r.Err(); err != nil || !slices.Equal(got, expected) {
		t.Fatalf("got  %v, %v\nwant %v", got, err, expected)
	}
}

var errBroken = errors.New("broken")

// brokenSet gives one series and fails then.
type brokenSet struct {
	storage.SeriesSet
	calls int
}

func (s *brokenSet) Next() bool         { s.calls++; return s.calls == 1 }
func (s *brokenSet) At() storage.Series { return brokenSeries{} }
func (s *brokenSet) Err() error         { return errBroken }

type brokenSeries struct{}

func (brokenSeries) Labels() labels.Labels                             { return labels.FromStrings("a", "b") }
func (brokenSeries) Samples(storage.ColumnReader) storage.ColumnReader { return brokenReader{} }

type brokenReader struct{}

func (brokenReader) Read(*storage.Columns) bool { return false }
func (brokenReader) Err() error                 { return errBroken }

func TestFailuresShow(t *testing.T) {
	set := Series(&brokenSet{}, &brokenSet{})
	if !set.Next() {
		t.Fatal("the series before the failure is missing")
	}
	r := set.At().Samples(nil)
	if r.Read(&storage.Columns{}) || !errors.Is(r.Err(), errBroken) {
		t.Fatalf("reading: got error %v", r.Err())
	}
	if set.Next() || !errors.Is(set.Err(), errBroken) {
		t.Fatalf("got error %v", set.Err())
	}
}

func TestNothingMerged(t *testing.T) {
	q := Queriers()
	if set := q.Select(context.Background(), true, nil); set.Next() || set.Err() != nil {
		t.Fatal("no querier has series")
	}
	if names, _, err := q.LabelNames(context.Background(), storage.LabelHints{}); len(names) != 0 || err != nil {
		t.Fatalf("got %v, %v", names, err)
	}
}

// TestOthersBetweenMakeResetsUnknown: what a histogram says about the one before it holds only next to one of the same store,
// also across reads and behind a sample that another store has too.
func TestOthersBetweenMakeResetsUnknown(t *testing.T) {
	for _, bounded := range []bool{false, true} {
		var qs []storage.Querier
		for _, times := range [][]int64{{10, 20, 30, 60, 70, 80}, {25, 26, 60, 75}, {90, 95}} {
			s := storagetest.NewStore()
			var entries []storage.Entry
			for _, at := range times {
				h := &histogram.FloatHistogram{Count: 1, ZeroCount: 1, CounterResetHint: histogram.NotCounterReset}
				entries = append(entries, storage.Entry{Labels: labels.FromStrings("a", "1"), T: at, FloatHistogram: h})
			}
			app := s.Appender()
			if err := errors.Join(app.Append(t.Context(), entries, make([]storage.Outcome, len(entries))), app.Commit(t.Context())); err != nil {
				t.Fatal(err)
			}
			q, err := s.Querier(0, 100)
			if err != nil {
				t.Fatal(err)
			}
			if bounded {
				q = boundedQuerier{q, 0}
			}
			qs = append(qs, q)
		}
		set := Queriers(qs...).Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "a", "1"))
		if !set.Next() {
			t.Fatal(set.Err())
		}
		var got []int64
		var cols storage.Columns
		for r := set.At().Samples(nil); r.Read(&cols); cols.Reset() {
			for i, h := range cols.H {
				if h.CounterResetHint == histogram.NotCounterReset {
					got = append(got, cols.T[i])
				}
			}
		}
		if want := []int64{20, 26, 60, 70, 95}; !slices.Equal(got, want) {
			t.Errorf("bounded %v: no reset is known at %d, want %d", bounded, got, want)
		}
	}
}
