package storagetest

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// Storage is what the suite tests.
type Storage interface {
	storage.Appendable
	storage.Queryable
}

// Run checks a storage against the contracts. Each case calls newStorage for an empty one, which must take samples
// with times from 0 on, in order within each series; newStorage registers its own cleanup. A storage that answers
// histograms with [storage.ErrUnsupported] skips their cases.
func Run(t *testing.T, newStorage func(t *testing.T) Storage) {
	t.Helper()
	cases := []struct {
		name string
		run  func(*kit)
	}{
		{"outcomes name the series", outcomesNameTheSeries},
		{"references stand for labels", referencesStandForLabels},
		{"unknown reference", unknownReference},
		{"entries without a sample", entriesWithoutSample},
		{"rejected samples spoil no others", rejectedSamplesSpoilNoOthers},
		{"duplicates", duplicates},
		{"commit shows the whole batch", commitShowsTheWholeBatch},
		{"a querier keeps its snapshot", aQuerierKeepsItsSnapshot},
		{"rollback leaves nothing", rollbackLeavesNothing},
		{"series come sorted", seriesComeSorted},
		{"matchers", matchers},
		{"labels are projected", labelsAreProjected},
		{"label names and values", labelNamesAndValues},
		{"time ranges are closed", timeRangesAreClosed},
		{"columns over many chunks", columnsOverManyChunks},
		{"special values", specialValues},
		{"histograms", histograms},
		{"histograms are floats or integers", histogramsOfBothKinds},
		{"histograms are rejected", histogramsAreRejected},
		{"stale histograms", staleHistograms},
		{"histograms in lent memory", histogramsInLentMemory},
		{"readers run beside a writer", readersRunBesideAWriter},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(&kit{T: t, store: newStorage(t)}) })
	}
}

// kit is what a case works with.
type kit struct {
	*testing.T
	store Storage
}

func (k *kit) ctx() context.Context { return k.Context() }

// float is an entry by labels.
func float(ls labels.Labels, t int64, v float64) storage.Entry {
	return storage.Entry{Labels: ls, T: t, V: v}
}

// metric is a set of labels with a name.
func metric(name string, pairs ...string) labels.Labels {
	return labels.FromStrings(append([]string{labels.MetricName, name}, pairs...)...)
}

// append stages entries and returns what became of them.
func (k *kit) append(app storage.Appender, entries ...storage.Entry) []storage.Outcome {
	k.Helper()
	outcomes := make([]storage.Outcome, len(entries))
	if err := app.Append(k.ctx(), entries, outcomes); err != nil {
		k.Fatalf("append: %v", err)
	}
	return outcomes
}

// commit appends entries as one batch and returns what became of them.
func (k *kit) commit(entries ...storage.Entry) []storage.Outcome {
	k.Helper()
	app := k.store.Appender()
	outcomes := k.append(app, entries...)
	if err := app.Commit(k.ctx()); err != nil {
		k.Fatalf("commit: %v", err)
	}
	return outcomes
}

// mustCommit is commit for entries that the storage has to take.
func (k *kit) mustCommit(entries ...storage.Entry) []storage.Outcome {
	k.Helper()
	outcomes := k.commit(entries...)
	for i, out := range outcomes {
		if out.Err != nil {
			k.Fatalf("entry %d (%v at %d): %v", i, entries[i].Labels, entries[i].T, out.Err)
		}
	}
	return outcomes
}

// querier opens a snapshot that the case closes at its end.
func (k *kit) querier(mint, maxt int64) storage.Querier {
	k.Helper()
	q, err := k.store.Querier(mint, maxt)
	if err != nil {
		k.Fatalf("querier: %v", err)
	}
	k.Cleanup(func() {
		if err := q.Close(); err != nil {
			k.Errorf("close querier: %v", err)
		}
	})
	return q
}

// found is a series as read.
type found struct {
	ls   labels.Labels
	cols storage.Columns
}

// read returns everything that the matchers select in the querier, sorted.
func (k *kit) read(q storage.Querier, ms ...*labels.Matcher) []found {
	k.Helper()
	var all []found
	var reader storage.ColumnReader
	set := q.Select(k.ctx(), true, nil, ms...)
	for set.Next() {
		s := set.At()
		f := found{ls: s.Labels()}
		reader = s.Samples(reader)
		for reader.Read(&f.cols) {
			k.checkColumns(&f.cols)
		}
		if err := reader.Err(); err != nil {
			k.Fatalf("read %v: %v", f.ls, err)
		}
		if f.cols.Len() > 0 {
			all = append(all, f)
		}
	}
	if err := set.Err(); err != nil {
		k.Fatalf("select: %v", err)
	}
	return all
}

// checkLatest reads as those do who need nothing but the latest samples.
func (k *kit) checkLatest(q storage.Querier, want []found, ms []*labels.Matcher) {
	k.Helper()
	set := q.Select(k.ctx(), true, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, Latest: true}, ms...)
	for set.Next() {
		var c storage.Columns
		for r := set.At().Samples(nil); r.Read(&c); {
			continue
		}
		n := c.Len()
		i := slices.IndexFunc(want, func(f found) bool { return labels.Equal(f.ls, set.At().Labels()) })
		if i < 0 && n == 0 {
			continue
		}
		if i < 0 || n == 0 || want[i].cols.T[want[i].cols.Len()-1] != c.T[n-1] {
			k.Fatalf("the latest sample of %v is not among %d", set.At().Labels(), n)
		}
	}
	if err := set.Err(); err != nil {
		k.Fatalf("select: %v", err)
	}
}

// checkColumns checks the shape of columns and that time goes up.
func (k *kit) checkColumns(c *storage.Columns) {
	k.Helper()
	n := len(c.T)
	if len(c.F) != n || len(c.H) != 0 && len(c.H) != n || len(c.ST) != 0 && len(c.ST) != n {
		k.Fatalf("columns of different length: %d times, %d floats, %d histograms, %d start times", n, len(c.F), len(c.H), len(c.ST))
	}
	for i := 1; i < n; i++ {
		if c.T[i] <= c.T[i-1] {
			k.Fatalf("sample %d at %d does not come after %d", i, c.T[i], c.T[i-1])
		}
	}
}

// all reads the whole storage through a new snapshot.
func (k *kit) all(ms ...*labels.Matcher) []found {
	k.Helper()
	if len(ms) == 0 {
		ms = []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+")}
	}
	q := k.querier(math.MinInt64, math.MaxInt64)
	found := k.read(q, ms...)
	k.checkLatest(q, found, ms)
	return found
}

// expect compares what was read with series given as labels and float samples.
func (k *kit) expect(got []found, want ...found) {
	k.Helper()
	if len(got) != len(want) {
		k.Fatalf("got %d series, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		g, w := &got[i], &want[i]
		if !labels.Equal(g.ls, w.ls) {
			k.Fatalf("series %d is %v, want %v", i, g.ls, w.ls)
		}
		if g.cols.Len() != w.cols.Len() {
			k.Fatalf("%v has %d samples, want %d", g.ls, g.cols.Len(), w.cols.Len())
		}
		for j := range w.cols.T {
			if g.cols.T[j] != w.cols.T[j] || math.Float64bits(g.cols.F[j]) != math.Float64bits(w.cols.F[j]) {
				k.Fatalf("%v sample %d is %v at %d, want %v at %d", g.ls, j, g.cols.F[j], g.cols.T[j], w.cols.F[j], w.cols.T[j])
			}
		}
	}
}

// floats is an expected series; points are time and value by turns.
func floats(ls labels.Labels, points ...float64) found {
	f := found{ls: ls}
	for i := 0; i < len(points); i += 2 {
		f.cols.Append(int64(points[i]), points[i+1], nil)
	}
	return f
}

// testHistogram has n observations in each of two buckets.
func testHistogram(n uint64) *histogram.Histogram {
	return &histogram.Histogram{
		Schema: 1, Count: 2 * n, Sum: 3 * float64(n), ZeroThreshold: 0.001,
		PositiveSpans:   []histogram.Span{{Offset: 0, Length: 2}},
		PositiveBuckets: []int64{int64(n), 0},
	}
}
