package promql_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	upstream "github.com/prometheus/prometheus/promql"

	"github.com/narthex-io/narthex/promql"
)

// answer is a result in a form that both engines share: values by series and time. A float is one number, a histogram
// several.
type answer struct {
	series          map[string]map[int64][]float64
	warnings, infos []string
	err             string
}

// TestDifferential asks both engines random queries. QUERIES and SEED set their number and the seed.
func TestDifferential(t *testing.T) {
	n, seed := setting(t, "QUERIES", 2000), setting(t, "SEED", time.Now().UnixNano())
	t.Logf("SEED=%d QUERIES=%d", seed, n)
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	failures := 0
	const combinations = 8
	for c := range combinations {
		on := features{delayedNames: c&1 > 0, typesAndUnits: c&2 > 0, starts: c&4 > 0}
		data := slices.Concat(mixture(r, 240), infos(r, 240), natives(r, 240))
		if on.typesAndUnits {
			data = withTypes(r, data)
		}
		if on.starts {
			data = withStarts(r, data)
		}
		e := newEngines(t, data, on)
		for range int(n) / combinations {
			query := randomQuery(r)
			if r.IntN(3) == 0 {
				query = nativeQuery(r)
			}
			if err := e.compare(t, r, query, on); err != nil {
				t.Errorf("%+v: %s\n  %v", on, query, err)
				if failures++; failures > 20 {
					t.FailNow()
				}
			}
		}
	}
}

func setting(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (e *engines) compare(t *testing.T, r *rand.Rand, query string, on features) error {
	t.Helper()
	end := time.UnixMilli(int64(200+r.IntN(60)) * interval)
	if r.IntN(3) == 0 {
		got, want := e.oursInstant(t, query, end), e.upstreamInstant(t, query, end)
		if late(got, on) {
			return nil
		}
		return located(e.difference(got, want), end, end, 0)
	}
	start := end.Add(-time.Duration(r.IntN(40)) * time.Minute)
	step := time.Duration(1+r.IntN(300)) * time.Second
	got, want := e.oursRange(t, query, start, end, step), e.upstreamRange(t, query, start, end, step)
	if start.Equal(end) && late(got, on) {
		return nil
	}
	return located(e.difference(got, want), start, end, step)
}

// late reports whether upstream may not see a failure. For several steps it fails like ours; for one step, only if the
// duplicates that late names and types lead to come out in the end.
func late(got answer, on features) bool {
	return on.delayedNames && on.typesAndUnits && sameFailure(got.err) == "duplicates"
}

// located adds to a difference, if there is one, when it was.
func located(err error, start, end time.Time, step time.Duration) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("from %d to %d every %v: %w", start.UnixMilli(), end.UnixMilli(), step, err)
}

func (e *engines) oursInstant(t *testing.T, query string, at time.Time) answer {
	res, err := e.ours.Instant(t.Context(), e.store, query, promql.QueryOptions{}, at)
	return oursAnswer(res, err)
}

func (e *engines) oursRange(t *testing.T, query string, start, end time.Time, step time.Duration) answer {
	res, err := e.ours.Range(t.Context(), e.store, query, promql.QueryOptions{}, start, end, step)
	return oursAnswer(res, err)
}

func oursAnswer(res *promql.Result, err error) answer {
	if err != nil {
		return answer{err: err.Error()}
	}
	a := answer{series: map[string]map[int64][]float64{}, warnings: res.Warnings, infos: res.Infos}
	defer res.Release() // So that the next query would show it if anything were used twice.
	switch v := res.Value.(type) {
	case promql.Scalar:
		a.put("scalar", v.T, v.V)
	case promql.Vector:
		for _, s := range v {
			a.put(s.Labels.String(), s.T, numbers(s.F, upstreamHistogram(s.H))...)
		}
	case promql.Matrix:
		for _, s := range v {
			for _, p := range s.Points.All() {
				a.put(s.Labels.String(), p.T, numbers(p.F, upstreamHistogram(p.H))...)
			}
		}
	}
	return a
}

func (e *engines) upstreamInstant(t *testing.T, query string, at time.Time) answer {
	t.Helper()
	q, err := e.upstream.NewInstantQuery(t.Context(), e.upstreamStore, nil, query, at)
	return upstreamAnswer(t, q, err, query)
}

func (e *engines) upstreamRange(t *testing.T, query string, start, end time.Time, step time.Duration) answer {
	t.Helper()
	q, err := e.upstream.NewRangeQuery(t.Context(), e.upstreamStore, nil, query, start, end, step)
	return upstreamAnswer(t, q, err, query)
}

func upstreamAnswer(t *testing.T, q upstream.Query, err error, query string) answer {
	t.Helper()
	if err != nil {
		return answer{err: err.Error()}
	}
	defer q.Close()
	res := q.Exec(t.Context())
	if res.Err != nil {
		return answer{err: res.Err.Error()}
	}
	a := answer{series: map[string]map[int64][]float64{}}
	a.warnings, a.infos = res.Warnings.AsStrings(query, 0, 0)
	switch v := res.Value.(type) {
	case upstream.Scalar:
		a.put("scalar", v.T, v.V)
	case upstream.Vector:
		for _, s := range v {
			a.put(s.Metric.String(), s.T, numbers(s.F, s.H)...)
		}
	case upstream.Matrix:
		for _, s := range v {
			for _, p := range s.Floats {
				a.put(s.Metric.String(), p.T, p.F)
			}
			for _, p := range s.Histograms {
				a.put(s.Metric.String(), p.T, numbers(0, p.H)...)
			}
		}
	}
	return a
}

func (a *answer) put(series string, t int64, v ...float64) {
	if a.series[series] == nil {
		a.series[series] = map[int64][]float64{}
	}
	a.series[series][t] = v
}

// numbers returns all that makes up a value.
func numbers(f float64, h *histogram.FloatHistogram) []float64 {
	if h == nil {
		return []float64{f}
	}
	all := []float64{float64(h.Schema), float64(h.CounterResetHint), h.Count, h.Sum, h.ZeroThreshold, h.ZeroCount, float64(len(h.CustomValues))}
	all = append(all, h.CustomValues...)
	for _, it := range []histogram.BucketIterator[float64]{h.PositiveBucketIterator(), h.NegativeBucketIterator()} {
		for it.Next() {
			if b := it.At(); b.Count != 0 {
				all = append(all, float64(b.Index), b.Count)
			}
		}
	}
	return all
}

// tolerance is the relative error that is allowed.
const tolerance = 1e-9

// difference compares answers. Where chunks end is up to the storage, and at the first histogram of a chunk it is unknown
// whether the counter was reset before it: over storages that write chunks, that is as good as that it was not.
func (e *engines) difference(got, want answer) error {
	if e.chunked {
		got.forgetNoResets()
		want.forgetNoResets()
	}
	return difference(got, want)
}

func (a answer) forgetNoResets() {
	for _, values := range a.series {
		for _, v := range values {
			if len(v) > 1 && v[1] == float64(histogram.NotCounterReset) {
				v[1] = float64(histogram.UnknownCounterReset)
			}
		}
	}
}

func difference(got, want answer) error {
	if sameFailure(got.err) != sameFailure(want.err) {
		return fmt.Errorf("error is %q, want %q", got.err, want.err)
	}
	for _, s := range slices.Sorted(maps.Keys(want.series)) {
		for _, t := range slices.Sorted(maps.Keys(want.series[s])) {
			w := want.series[s][t]
			g, found := got.series[s][t]
			if !found || !slices.EqualFunc(g, w, close) {
				return fmt.Errorf("%s at %d is %v (found %v), want %v", s, t, g, found, w)
			}
		}
		if len(got.series[s]) > len(want.series[s]) {
			return fmt.Errorf("%s has %d values, want %d", s, len(got.series[s]), len(want.series[s]))
		}
	}
	for s := range got.series {
		if want.series[s] == nil {
			return fmt.Errorf("%s should not be there: %v", s, got.series[s])
		}
	}
	// A group with a float among its histograms is out from then on: what upstream says of its histograms depends on when.
	mixed := got.says(floatsAndHistograms) || want.says(floatsAndHistograms)
	gotNotes, wantNotes := notes(got, mixed), notes(want, mixed)
	if !slices.Equal(gotNotes, wantNotes) {
		return fmt.Errorf("annotations are %q, want %q", gotNotes, wantNotes)
	}
	return nil
}

const floatsAndHistograms = "a mix of histograms and floats for aggregation"

// says reports whether an annotation contains a text.
func (a answer) says(text string) bool {
	return slices.ContainsFunc(slices.Concat(a.warnings, a.infos), func(s string) bool { return strings.Contains(s, text) })
}

// notes returns the annotations, but for those that upstream gives or not depending on the order in which a map yields
// its series and on where an iterator was when it had to seek.
func notes(a answer, mixed bool) []string {
	all := slices.Concat(a.warnings, a.infos)
	all = slices.DeleteFunc(all, func(text string) bool {
		return strings.Contains(text, "conflicting counter resets during histogram aggregation") || strings.Contains(text, floatsAndHistograms) ||
			mixed && strings.Contains(text, "a mix of histograms with exponential and custom buckets schemas") ||
			strings.Contains(text, "mismatched custom buckets were reconciled during aggregation")
	})
	for i, text := range all {
		// Upstream counts what one step says again at each step after it, as soon as it has passed through another function.
		text = occurrences.ReplaceAllString(text, "")
		all[i] = text
		// Of the pairs of one step, upstream tells of the last.
		if before, _, found := strings.Cut(text, ": float "); found && strings.Contains(before, "incompatible sample types") {
			all[i] = before
		}
		if before, _, found := strings.Cut(all[i], ": histogram "); found && strings.Contains(before, "incompatible sample types") {
			all[i] = before
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// occurrences is what annotations say about how often they were made.
var occurrences = regexp.MustCompile(` \(\d+ occurrences\)|over -?\d+ samples `)

// TestOverlapsAreCounted compares how often samples are said to have started before the ones before them were taken.
func TestOverlapsAreCounted(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	e := newEngines(t, withStarts(r, slices.Concat(mixture(r, 240), natives(r, 240))), features{starts: true})
	counted := 0
	for range 100 {
		query := fmt.Sprintf("%s(%s[%s])", pick(r, "rate", "increase"), pick(r, "requests_total", "latency_seconds_bucket", "native"), pick(r, "1m", "5m"))
		end := time.UnixMilli(int64(100+r.IntN(140)) * interval)
		got, want := e.oursRange(t, query, end.Add(-10*time.Minute), end, time.Minute), e.upstreamRange(t, query, end.Add(-10*time.Minute), end, time.Minute)
		slices.Sort(got.warnings)
		slices.Sort(want.warnings)
		if !slices.Equal(got.warnings, want.warnings) {
			t.Errorf("%s: got %q, want %q", query, got.warnings, want.warnings)
		}
		counted += strings.Count(strings.Join(want.warnings, ""), "occurrences")
	}
	if counted == 0 {
		t.Error("nothing overlaps")
	}
}

// sameFailure leaves out what depends on the order of evaluation: which of several duplicates is found first.
func sameFailure(text string) string {
	if strings.HasPrefix(text, "found duplicate series") || strings.HasPrefix(text, "multiple matches for labels") || text == "vector cannot contain metrics with the same labelset" {
		return "duplicates"
	}
	if strings.HasPrefix(text, "conflicting label: ") {
		return "conflict" // Which of several comes first.
	}
	return text
}

func close(a, b float64) bool {
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return true
	}
	return math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b), 1e-3)
}
