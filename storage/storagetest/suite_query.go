package storagetest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

func seriesComeSorted(k *kit) {
	sets := []labels.Labels{
		metric("b", "x", "2"), metric("a", "x", "10"), metric("b"), metric("a", "x", "1", "y", "1"), metric("a", "x", "1"),
	}
	for _, ls := range sets {
		k.mustCommit(float(ls, 1, 1))
	}
	slices.SortFunc(sets, labels.Compare)
	var want []found
	for _, ls := range sets {
		want = append(want, floats(ls, 1, 1))
	}
	k.expect(k.all(), want...)
}

func matchers(k *kit) {
	all := []labels.Labels{
		metric("m", "i", "0"), metric("m", "i", "1"), metric("m", "i", "1", "env", "prod"),
		metric("m", "i", "2", "env", "dev"), metric("n", "i", "1"),
	}
	for _, ls := range all {
		k.mustCommit(float(ls, 1, 1))
	}
	const eq, ne, re, nre = labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp
	check := func(ms ...*labels.Matcher) {
		k.Helper()
		ms = append([]*labels.Matcher{labels.MustNewMatcher(re, labels.MetricName, ".+")}, ms...)
		var want []found
		for _, ls := range all {
			if labels.MatchesLabels(ls, ms...) {
				want = append(want, floats(ls, 1, 1))
			}
		}
		slices.SortFunc(want, func(a, b found) int { return labels.Compare(a.ls, b.ls) })
		got := k.all(ms...)
		if len(got) != len(want) {
			k.Fatalf("%v: got %d series, want %d", ms, len(got), len(want))
		}
		k.expect(got, want...)
	}
	for _, t := range []labels.MatchType{eq, ne} {
		for _, value := range []string{"", "1", "nowhere"} {
			check(labels.MustNewMatcher(t, "i", value))
			check(labels.MustNewMatcher(t, "env", value))
			check(labels.MustNewMatcher(t, "missing", value))
		}
	}
	for _, t := range []labels.MatchType{re, nre} {
		for _, value := range []string{"", ".*", ".+", "1", "0|1", "[12]", "p.*", "prod|", "nowhere", ".*o.*", "(?i)PROD"} {
			check(labels.MustNewMatcher(t, "i", value))
			check(labels.MustNewMatcher(t, "env", value))
			check(labels.MustNewMatcher(t, "missing", value))
		}
	}
	check(labels.MustNewMatcher(eq, "i", "1"), labels.MustNewMatcher(ne, "env", "prod"))
	check(labels.MustNewMatcher(eq, labels.MetricName, "m"), labels.MustNewMatcher(nre, "i", "0|2"), labels.MustNewMatcher(re, "env", ".*"))
	check(labels.MustNewMatcher(eq, "i", "1"), labels.MustNewMatcher(eq, "i", "2"))
}

// labelsAreProjected checks that series stay apart from each other, and have all labels that are wanted.
func labelsAreProjected(k *kit) {
	k.mustCommit(
		float(metric("m", "i", "1", "env", "prod"), 1, 1), float(metric("m", "i", "2", "env", "prod"), 1, 2),
		float(metric("m", "i", "3"), 1, 3),
	)
	set := k.querier(0, 10).Select(k.ctx(), true, &storage.SelectHints{
		End: 10, Projection: true, ProjectionLabels: []string{"__name__", "env", "missing"},
	}, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "m"))
	got := 0
	for ; set.Next(); got++ {
		s := set.At()
		var c storage.Columns
		for r := s.Samples(nil); r.Read(&c); {
		}
		if len(c.F) != 1 {
			k.Fatalf("got samples %v", c.F)
		}
		env := "prod"
		if c.F[0] == 3 {
			env = ""
		}
		if ls := s.Labels(); ls.Get("__name__") != "m" || ls.Get("env") != env || ls.Has("missing") {
			k.Errorf("series %g has labels %s", c.F[0], ls)
		}
	}
	if err := set.Err(); err != nil || got != 3 {
		k.Errorf("got %d series, want 3: %v", got, err)
	}
}

func labelNamesAndValues(k *kit) {
	k.mustCommit(
		float(metric("m", "i", "1", "env", "prod"), 1, 1),
		float(metric("m", "i", "0"), 1, 1),
		float(metric("n", "zone", "b"), 1, 1),
	)
	q := k.querier(0, 10)
	m := labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "m")
	noEnv := labels.MustNewMatcher(labels.MatchEqual, "env", "")
	names := func(want string, ms ...*labels.Matcher) {
		k.Helper()
		got, _, err := q.LabelNames(k.ctx(), storage.LabelHints{}, ms...)
		if err != nil || strings.Join(got, " ") != want {
			k.Errorf("names for %v are %v (%v), want %s", ms, got, err, want)
		}
	}
	values := func(name, want string, ms ...*labels.Matcher) {
		k.Helper()
		got, _, err := q.LabelValues(k.ctx(), name, storage.LabelHints{}, ms...)
		if err != nil || strings.Join(got, " ") != want {
			k.Errorf("values of %s for %v are %v (%v), want %s", name, ms, got, err, want)
		}
	}
	names("__name__ env i zone")
	names("__name__ env i", m)
	names("__name__ i", m, noEnv)
	names("", labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "nowhere"))
	values("i", "0 1")
	values(labels.MetricName, "m n")
	values(labels.MetricName, "m n", noEnv)
	values("i", "0", noEnv)
	values("env", "", noEnv)
	values("missing", "")
}

func timeRangesAreClosed(k *kit) {
	a := metric("a")
	k.mustCommit(float(a, 10, 1), float(a, 20, 2), float(a, 30, 3), float(a, 40, 4))
	m := labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "a")
	read := func(mint, maxt int64, want ...float64) {
		k.Helper()
		set := k.querier(0, 100).Select(k.ctx(), true, &storage.SelectHints{Start: mint, End: maxt}, m)
		var got storage.Columns
		for set.Next() {
			for r := set.At().Samples(nil); r.Read(&got); {
				k.checkColumns(&got)
			}
		}
		if !slices.Equal(got.F, want) || set.Err() != nil {
			k.Errorf("[%d, %d]: got %v (%v), want %v", mint, maxt, got.F, set.Err(), want)
		}
	}
	read(20, 30, 2, 3)
	read(21, 29)
	read(0, 10, 1)
	read(40, 100, 4)
	read(50, 100)
	read(0, 100, 1, 2, 3, 4)
	k.expect(k.read(k.querier(20, 20), m), floats(a, 20, 2))
}

func columnsOverManyChunks(k *kit) {
	const n = 3000
	a, b := metric("a"), metric("b")
	want := []found{{ls: a}, {ls: b}}
	for i := range n {
		t, v := int64(i)*15_000+int64(i%7), math.Sqrt(float64(i))
		k.mustCommit(float(a, t, v), float(b, t, float64(i)))
		want[0].cols.Append(t, v, nil)
		want[1].cols.Append(t, float64(i), nil)
	}
	k.expect(k.all(), want...)
	// A reader appends to what is there.
	set := k.querier(0, math.MaxInt64).Select(k.ctx(), true, nil, labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "b"))
	if !set.Next() {
		k.Fatal("series is missing")
	}
	cols := storage.Columns{T: []int64{-1}, F: []float64{42}}
	r := set.At().Samples(nil)
	for r.Read(&cols) {
		k.checkColumns(&cols)
	}
	if cols.Len() != n+1 || cols.F[0] != 42 || cols.F[n] != n-1 {
		k.Errorf("got %d samples from %v to %v", cols.Len(), cols.F[0], cols.F[len(cols.F)-1])
	}
	if r.Read(&cols) {
		k.Error("an exhausted reader read on")
	}
}

func readersRunBesideAWriter(k *kit) {
	const batches, width, readers = 200, 20, 4
	everything := labels.MustNewMatcher(labels.MatchEqual, "job", "x")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for {
				k.checkWholeBatches(everything, width)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range batches {
		var batch []storage.Entry
		for s := range width {
			batch = append(batch, float(metric(fmt.Sprintf("m%d", s), "job", "x"), int64(i), float64(i)))
		}
		k.mustCommit(batch...)
	}
	close(done)
	wg.Wait()
	k.checkWholeBatches(everything, width)
}

// checkWholeBatches reads all series through one snapshot: each must hold the same number of samples.
func (k *kit) checkWholeBatches(m *labels.Matcher, width int) {
	q, err := k.store.Querier(0, math.MaxInt64)
	if err != nil {
		k.Errorf("querier: %v", err)
		return
	}
	set := q.Select(k.ctx(), false, nil, m)
	series, samples := 0, -1
	for set.Next() {
		var cols storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&cols) {
			continue
		}
		if samples >= 0 && cols.Len() != samples {
			k.Errorf("one series shows %d batches, another %d", cols.Len(), samples)
		}
		samples = cols.Len()
		series++
	}
	if series != 0 && series != width {
		k.Errorf("saw %d of %d series", series, width)
	}
	if err := set.Err(); err != nil {
		k.Errorf("select: %v", err)
	}
	if err := q.Close(); err != nil {
		k.Errorf("close querier: %v", err)
	}
}
