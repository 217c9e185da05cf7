package index

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

func TestPostingsForMatchers(t *testing.T) {
	series := makeSeries(600)
	r := openIndex(t, series)
	ids := allIDs(t, r)
	matcher := labels.MustNewMatcher
	var ms []*labels.Matcher
	for _, name := range []string{"__name__", "job", "instance", "i", "nothing", ""} {
		for _, value := range []string{"", "api", "metric_3", "host-007", "17"} {
			ms = append(ms, matcher(labels.MatchEqual, name, value), matcher(labels.MatchNotEqual, name, value))
		}
		for _, expr := range []string{"", ".*", ".+", "api|node", "api|", "metric_1.*", "host-0[0-9]7", "(metric_2|1)", ".*7", "x?"} {
			ms = append(ms, matcher(labels.MatchRegexp, name, expr), matcher(labels.MatchNotRegexp, name, expr))
		}
	}
	check := func(src Source, ms ...*labels.Matcher) {
		t.Helper()
		var want []uint32
		for i, s := range series {
			if labels.MatchesLabels(s.ls, ms...) {
				want = append(want, ids[i])
			}
		}
		got, err := PostingsForMatchers(t.Context(), src, ms...)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v: got %d series, %v, want %d", ms, len(got), err, len(want))
		}
		if len(ms) <= 2 {
			checkLabels(t, r, series, got, ms)
		}
	}
	// Without Labeler, candidates are never tested one by one.
	sources := []Source{r, struct{ Source }{r}}
	for _, src := range sources {
		check(src)
		for _, m := range ms {
			check(src, m)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 1000 {
		set := make([]*labels.Matcher, 2+random.IntN(3))
		for k := range set {
			set[k] = ms[random.IntN(len(ms))]
		}
		check(sources[i%2], set...)
	}
}

// checkLabels compares the names and values of labels in the series that matchers select, as found by the index and by
// looking at each series.
func checkLabels(t *testing.T, r *Reader, all []testSeries, selected []uint32, ms []*labels.Matcher) {
	t.Helper()
	odd := func(id uint32) bool { return id%2 == 1 }
	names, values, oddValues := map[string]bool{}, map[string]map[string]bool{}, map[string]map[string]bool{}
	ids := allIDs(t, r)
	for _, id := range selected {
		at, _ := slices.BinarySearch(ids, id)
		for name, value := range all[at].ls.All() {
			if !names[name] {
				names[name], values[name], oddValues[name] = true, map[string]bool{}, map[string]bool{}
			}
			values[name][value] = true
			if odd(id) {
				oddValues[name][value] = true
			}
		}
	}
	got, err := r.LabelNamesOf(t.Context(), selected)
	if err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(names))) {
		t.Fatalf("%v: got label names %q, %v", ms, got, err)
	}
	for _, name := range []string{"__name__", "job", "i", "nothing"} {
		for _, c := range []struct {
			shows func(uint32) bool
			want  map[string]bool
		}{{nil, values[name]}, {odd, oddValues[name]}} {
			got, err := LabelValues(t.Context(), r, name, c.shows, ms...)
			if err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(c.want))) {
				t.Fatalf("%v: got values of %s %q, %v, want %v", ms, name, got, err, c.want)
			}
		}
	}
}

func TestPostingsForMatchersStopsWithTheContext(t *testing.T) {
	r := openIndex(t, makeSeries(3000))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := PostingsForMatchers(ctx, r, labels.MustNewMatcher(labels.MatchRegexp, "i", ".*7.*")); err == nil {
		t.Fatal("no error")
	}
}

func TestSets(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	random := func(n int, limit uint32) []uint32 {
		ids := make([]uint32, n)
		for i := range ids {
			ids[i] = r.Uint32N(limit)
		}
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	for range 300 {
		limit := uint32(1 + r.IntN(100_000))
		a, b, c := random(r.IntN(500), limit), random(r.IntN(500), limit), random(r.IntN(5000), limit)
		both := slices.Concat(a, b)
		slices.Sort(both)
		both = slices.Compact(both)
		sets := map[string]Postings{
			"ids": IDs(both), "stored": store(both), "union": Union(IDs(a), store(b)),
			"union with itself": Union(IDs(a), IDs(both), store(b)),
		}
		for kind, p := range sets {
			if got := p.AppendTo([]uint32{7}); !slices.Equal(got[1:], both) || got[0] != 7 {
				t.Fatalf("%s: AppendTo gives %d ids, want %d", kind, len(got)-1, len(both))
			}
			for _, keep := range []bool{true, false} {
				var want []uint32
				for _, id := range c {
					if slices.Contains(both, id) == keep {
						want = append(want, id)
					}
				}
				if got := p.Filter(slices.Clone(c), keep); !slices.Equal(got, want) {
					t.Fatalf("%s: Filter(keep=%v) gives %d ids, want %d", kind, keep, len(got), len(want))
				}
			}
		}
	}
	if Union().Len() != 0 || Union(IDs(nil)).AppendTo(nil) != nil {
		t.Fatal("a union of nothing is not empty")
	}
}

func store(ids []uint32) stored {
	p := stored{}
	for _, id := range ids {
		p = append(p, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
	}
	return p
}
