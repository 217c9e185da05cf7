package tsdb

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

// archive is a data directory that one of the programs has open, with everything on: an out-of-order window of an hour
// and exemplars.
type archive interface {
	// write appends one batch.
	write(ctx context.Context, batch []storage.Entry) error
	// cut cuts blocks as long as the head spans more than three hours.
	cut(ctx context.Context) error
	remove(ctx context.Context, mint, maxt int64, name string) error
	read(ctx context.Context) (contents, error)
	close() error
}

// contents is everything in a directory, in a form that compares: samples and exemplars by series and time.
type contents struct{ samples, exemplars map[string]map[int64]string }

func newContents() contents {
	return contents{map[string]map[int64]string{}, map[string]map[int64]string{}}
}

func put(to map[string]map[int64]string, series string, t int64, text string) {
	if to[series] == nil {
		to[series] = map[int64]string{}
	}
	to[series][t] = text
}

// remove forgets the samples of a metric in [mint, maxt].
func (c contents) remove(mint, maxt int64, name string) {
	for series, samples := range c.samples {
		if strings.Contains(series, `"`+name+`"`) {
			maps.DeleteFunc(samples, func(t int64, _ string) bool { return mint <= t && t <= maxt })
		}
	}
	maps.DeleteFunc(c.samples, func(_ string, samples map[int64]string) bool { return len(samples) == 0 })
}

// diff says where two contents differ, "" if nowhere. Exemplars before from, which blocks do not keep, are not compared.
func diff(got, want contents, from int64) string {
	var b strings.Builder
	compare := func(what string, got, want map[string]map[int64]string, from int64) {
		all := map[string]bool{}
		for series := range got {
			all[series] = true
		}
		for series := range want {
			all[series] = true
		}
		for _, series := range slices.Sorted(maps.Keys(all)) {
			times := map[int64]bool{}
			for t := range got[series] {
				times[t] = true
			}
			for t := range want[series] {
				times[t] = true
			}
			shown := 0
			for _, t := range slices.Sorted(maps.Keys(times)) {
				if g, w := got[series][t], want[series][t]; g != w && t >= from && shown < 3 {
					shown++
					fmt.Fprintf(&b, "%s of %s at %d: got %q, want %q\n", what, series, t, g, w)
				}
			}
		}
	}
	compare("sample", got.samples, want.samples, math.MinInt64)
	compare("exemplar", got.exemplars, want.exemplars, from)
	return b.String()
}

func floatText(v float64) string {
	if sample.IsStale(v) {
		return "stale"
	}
	return fmt.Sprintf("%v %#x", v, math.Float64bits(v))
}

// histogramText shows what a histogram means: empty buckets and how spans are laid out do not count.
func histogramText(h *histogram.FloatHistogram) string {
	if sample.IsStale(h.Sum) {
		return "stale"
	}
	buckets := func(spans []histogram.Span, counts []float64) string {
		var b strings.Builder
		at, k := int32(0), 0
		for _, s := range spans {
			at += s.Offset
			for range s.Length {
				if counts[k] != 0 {
					fmt.Fprintf(&b, " %d:%v", at, counts[k])
				}
				at, k = at+1, k+1
			}
		}
		return b.String()
	}
	return fmt.Sprintf("schema %d, zero %v:%v, count %v, sum %v, positive%s, negative%s, bounds %v", h.Schema, h.ZeroThreshold, h.ZeroCount,
		h.Count, h.Sum, buckets(h.PositiveSpans, h.PositiveBuckets), buckets(h.NegativeSpans, h.NegativeBuckets), h.CustomValues)
}

func entryText(e *storage.Entry, native bool) string {
	switch {
	case e.Histogram != nil:
		return histogramText(e.Histogram.ToFloat())
	case e.FloatHistogram != nil:
		return histogramText(e.FloatHistogram)
	case native && sample.IsStale(e.V):
		return "stale"
	}
	return floatText(e.V)
}

func exemplarText(value float64, ls string) string { return fmt.Sprintf("%v %s", value, ls) }

// history makes batches as they come in over time and remembers what must be there.
type history struct {
	random *rand.Rand
	now    int64
	want   contents
	counts []float64
	hists  []*histogram.Histogram
}

const step = 30_000

func newHistory(seed uint64) *history {
	h := &history{random: rand.New(rand.NewPCG(seed, 1)), now: start, want: newContents(), counts: make([]float64, 12)}
	for i := range 4 {
		one := &histogram.Histogram{Schema: int32(i), ZeroThreshold: 1e-128, PositiveSpans: []histogram.Span{{Offset: -2, Length: 2}, {Offset: 3, Length: 3}}, PositiveBuckets: make([]int64, 5)}
		if i >= 2 {
			one.Schema, one.ZeroThreshold, one.CustomValues = -53, 0, []float64{0.1, 0.5, 1, 5, 10}
			one.PositiveSpans = []histogram.Span{{Offset: 0, Length: 5}}
		}
		h.hists = append(h.hists, one)
	}
	return h
}

// observe adds an observation to a histogram.
func (h *history) observe(one *histogram.Histogram) {
	k := h.random.IntN(len(one.PositiveBuckets))
	one.PositiveBuckets[k]++
	if k+1 < len(one.PositiveBuckets) {
		one.PositiveBuckets[k+1]-- // Buckets are differences.
	}
	one.Count++
	one.Sum += float64(k)
}

// batch returns the next scrape: counters, of which some have exemplars, gauges with gaps, stale markers and odd
// values, and native histograms of all kinds.
func (h *history) batch() []storage.Entry {
	h.now += step
	var all []storage.Entry
	for i := range h.counts {
		h.counts[i] += float64(h.random.IntN(100))
		e := storage.Entry{Labels: labels.FromStrings("__name__", "requests_total", "i", fmt.Sprint(i)), T: h.now, V: h.counts[i]}
		if i%3 == 0 && h.random.IntN(5) == 0 {
			e.Exemplars = []sample.Exemplar{{Labels: labels.FromStrings("trace_id", fmt.Sprint(h.random.Uint32())), Value: h.counts[i], T: h.now, HasT: true}}
		}
		all = append(all, e)
	}
	odd := [...]float64{sample.StaleNaN(), sample.NormalNaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324}
	for i := range 8 {
		if h.random.IntN(6) == 0 {
			continue
		}
		v := h.random.NormFloat64() * math.Pow(10, float64(i-4))
		if h.random.IntN(15) == 0 {
			v = odd[h.random.IntN(len(odd))]
		}
		all = append(all, storage.Entry{Labels: labels.FromStrings("__name__", "temperature", "ünicode", fmt.Sprint("grüße ", i)), T: h.now, V: v})
	}
	for i, one := range h.hists {
		h.observe(one)
		if h.random.IntN(60) == 0 { // A restart of the target.
			clear(one.PositiveBuckets)
			one.Count, one.Sum = 0, 0
		}
		whole := storage.Entry{Labels: labels.FromStrings("__name__", "native", "i", fmt.Sprint(i)), T: h.now, Histogram: one.Copy()}
		float := storage.Entry{Labels: labels.FromStrings("__name__", "native_float", "i", fmt.Sprint(i)), T: h.now, FloatHistogram: one.ToFloat()}
		if h.random.IntN(40) == 0 {
			whole.Histogram, whole.V = nil, sample.StaleNaN()
		}
		all = append(all, whole, float)
	}
	return all
}

// past returns samples of the time since the last scrape, one series behind the other, as those who catch up send them.
func (h *history) past() []storage.Entry {
	var all []storage.Entry
	for i := range 10 {
		v := float64(h.random.IntN(1000))
		for k := range int64(12) {
			if i%3 > 0 {
				v += float64(h.random.IntN(50))
			}
			all = append(all, storage.Entry{Labels: labels.FromStrings("__name__", "caught_up_total", "i", fmt.Sprint(i)), T: h.now + k*step/12, V: v})
		}
	}
	return all
}

// late returns samples that come out of order, at times at which nothing was.
func (h *history) late() []storage.Entry {
	var all []storage.Entry
	for i := range 5 {
		t := h.now - 40*60_000 + int64(h.random.IntN(30*60))*1000 + 7
		all = append(all, storage.Entry{Labels: labels.FromStrings("__name__", "temperature", "ünicode", fmt.Sprint("grüße ", i)), T: t, V: h.random.Float64()})
	}
	return all
}

// remember notes what a batch brought.
func (h *history) remember(batch []storage.Entry) {
	for i := range batch {
		e := &batch[i]
		put(h.want.samples, e.Labels.String(), e.T, entryText(e, strings.HasPrefix(e.Labels.Get("__name__"), "native")))
		for _, x := range e.Exemplars {
			put(h.want.exemplars, e.Labels.String(), x.T, exemplarText(x.Value, x.Labels.String()))
		}
	}
}

// live appends for some time to an archive, and deletes something.
func (h *history) live(ctx context.Context, t *testing.T, a archive, minutes int) {
	t.Helper()
	begin := h.now
	for n := range minutes * 60_000 / step {
		batches := [][]storage.Entry{h.batch()}
		if n%3 == 0 {
			batches = append(batches, h.past())
		}
		if n > 90 && n%20 == 0 {
			batches = append(batches, h.late())
		}
		for _, b := range batches {
			if err := a.write(ctx, b); err != nil {
				t.Fatal(err)
			}
			h.remember(b)
		}
	}
	mint, maxt := begin+20*step, begin+30*step
	// Not what comes out of order: upstream forgets such a deletion when it cuts a block.
	for _, name := range []string{"requests_total", "native"} {
		if err := a.remove(ctx, mint, maxt, name); err != nil {
			t.Fatal(err)
		}
		h.want.remove(mint, maxt, name)
	}
}

// TestRoundTrip hands a directory from one program to the other and back, twice. Each appends and deletes, and finds
// everything that was there before.
func TestRoundTrip(t *testing.T) {
	programs := map[string]func(context.Context, string) (archive, error){
		"prometheus":               func(_ context.Context, dir string) (archive, error) { return openUpstreamArchive(dir, false) },
		"prometheus with snapshot": func(_ context.Context, dir string) (archive, error) { return openUpstreamArchive(dir, true) },
		"narthex":                  openOurArchive,
	}
	for _, order := range [][]string{{"prometheus", "narthex"}, {"narthex", "prometheus"}, {"prometheus with snapshot", "narthex"}} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("first=%s/cut=%v", order[0], cut), func(t *testing.T) {
				t.Parallel()
				dir, h, kept := t.TempDir(), newHistory(uint64(len(order[0]))), int64(math.MinInt64)
				for round := range 4 {
					who := order[round%2]
					a, err := programs[who](t.Context(), dir)
					if err != nil {
						t.Fatalf("round %d: %s can't open: %v", round, who, err)
					}
					check := func(when string) {
						got, err := a.read(t.Context())
						if err != nil {
							t.Fatalf("round %d: %s can't read %s: %v", round, who, when, err)
						}
						if d := diff(got, h.want, kept); d != "" {
							t.Fatalf("round %d: %s finds something else %s:\n%s", round, who, when, d)
						}
					}
					check("than was written")
					h.live(t.Context(), t, a, 110)
					check("after appending")
					if cut {
						if err := a.cut(t.Context()); err != nil {
							t.Fatal(err)
						}
						kept = h.now - 60*60_000
						check("after cutting blocks")
					}
					if err := a.close(); err != nil {
						t.Fatal(err)
					}
				}
				if blocks, _ := filepath.Glob(filepath.Join(dir, "*", "meta.json")); (len(blocks) > 0) != cut {
					t.Errorf("there are %d blocks", len(blocks))
				}
				readOnly(t, dir, h.want)
			})
		}
	}
}

// readOnly reads the directory as promtool does. It takes nothing from the log that is older than the newest block, also
// if that is one of samples that came out of order.
func readOnly(t *testing.T, dir string, want contents) {
	t.Helper()
	got, from, to, err := readUpstreamReadOnly(t.Context(), dir, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got.exemplars = want.exemplars // It shows none.
	for _, c := range []contents{got, want} {
		for _, samples := range c.samples {
			maps.DeleteFunc(samples, func(t int64, _ string) bool { return from <= t && t < to })
		}
	}
	if d := diff(got, want, math.MinInt64); d != "" {
		t.Errorf("read only: %s", d)
	}
}
