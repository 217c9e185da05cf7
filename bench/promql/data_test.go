package promql_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	upstream "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	upstreamstorage "github.com/prometheus/prometheus/storage"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// series is one series of a data set; labels are name, value, name, value, …
type series struct {
	labels []string
	t      []int64
	f      []float64
	// st is empty or has the start timestamps.
	st []int64
	// h is empty if there are no histograms; else it has nil for floats.
	h []*histogram.FloatHistogram
}

// engines are both engines with the same samples.
type engines struct {
	ours          *promql.Engine
	upstream      *upstream.Engine
	store         storage.Queryable
	upstreamStore upstreamstorage.Queryable
	// chunked tells that the stores keep samples in chunks.
	chunked bool
}

// features are those that change answers, and that both engines have behind flags.
type features struct{ delayedNames, typesAndUnits, starts bool }

func newEngines(tb testing.TB, data []series, on features) *engines {
	tb.Helper()
	ours, err := promql.New(promql.Options{
		EnableDelayedNameRemoval: on.delayedNames, EnableExperimentalFunctions: true,
		EnableTypeAndUnitLabels: on.typesAndUnits, EnableStartTimestamps: on.starts,
		EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true, EnablePerStepStats: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	store := storagetest.NewStore()
	e := &engines{ours: ours, store: store, upstreamStore: newUpstreamStore(data)}
	e.upstream = upstream.NewEngine(upstream.EngineOpts{
		MaxSamples: 50_000_000, Timeout: 2 * time.Minute, Reg: prometheus.NewRegistry(),
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
		EnableAtModifier:         true, EnableNegativeOffset: true, EnablePerStepStats: true, EnableDelayedNameRemoval: on.delayedNames,
		EnableTypeAndUnitLabels: on.typesAndUnits, UseStartTimestamps: on.starts,
		Parser: parser.NewParser(parser.Options{
			EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true, ExperimentalDurationExpr: true,
		}),
	})
	app := store.Appender()
	for _, s := range data {
		ls := labels.FromStrings(s.labels...)
		entries := make([]storage.Entry, len(s.t))
		for i := range s.t {
			entries[i] = storage.Entry{Labels: ls, T: s.t[i], V: s.f[i]}
			if len(s.st) > 0 {
				entries[i].ST = s.st[i]
			}
			if len(s.h) > 0 && s.h[i] != nil {
				entries[i].FloatHistogram = s.h[i].Copy()
			}
		}
		outcomes := make([]storage.Outcome, len(entries))
		if err := app.Append(tb.Context(), entries, outcomes); err != nil {
			tb.Fatal(err)
		}
	}
	if err := app.Commit(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return e
}

// interval is the distance of samples in milliseconds.
const interval = 15_000

// counters returns n counters with random steps, some of them with resets, over the given number of samples.
func counters(r *rand.Rand, name string, n, samples int) []series {
	var data []series
	for i := range n {
		s := series{labels: []string{
			"__name__", name, "job", fmt.Sprintf("job%d", i%5), "instance", fmt.Sprintf("host%d", i), "zone", string(rune('a' + i%3)),
		}}
		v := 0.0
		for k := range samples {
			if v += r.Float64() * 10; r.IntN(200) == 0 {
				v = 0
			}
			s.t, s.f = append(s.t, int64(k)*interval+int64(i%7)*500), append(s.f, v)
		}
		data = append(data, s)
	}
	return data
}

// mixture returns series of all sorts: counters, gauges, whole numbers, gaps, stale series, special values, buckets.
func mixture(r *rand.Rand, samples int) []series {
	data := counters(r, "requests_total", 12, samples)
	for i := range 8 {
		s := series{labels: []string{"__name__", "temperature", "job", fmt.Sprintf("job%d", i%3), "instance", fmt.Sprintf("host%d", i)}}
		for k := range samples {
			if r.IntN(10) == 0 {
				continue
			}
			v := r.NormFloat64() * math.Pow(10, float64(r.IntN(6)-2))
			switch {
			case i%2 == 0:
				v = math.Round(v)
			case r.IntN(60) == 0:
				v = sample.StaleNaN()
			case r.IntN(60) == 0:
				v = sample.NormalNaN()
			case r.IntN(100) == 0:
				v = math.Inf(1 - 2*r.IntN(2))
			}
			s.t, s.f = append(s.t, int64(k)*interval), append(s.f, v)
		}
		data = append(data, s)
	}
	for i := range 3 {
		s := series{labels: []string{"__name__", "température.moyenne", "job", fmt.Sprintf("job%d", i), "l'étage", fmt.Sprint(i)}}
		for k := range samples {
			s.t, s.f = append(s.t, int64(k)*interval), append(s.f, 20+r.NormFloat64())
		}
		data = append(data, s)
	}
	for i := range 3 {
		counts := make([]float64, 5)
		var buckets []series
		for _, le := range []string{"0.1", "0.5", "1", "5", "+Inf"} {
			buckets = append(buckets, series{labels: []string{"__name__", "latency_seconds_bucket", "job", fmt.Sprintf("job%d", i), "le", le}})
		}
		for k := range samples {
			for b := range counts {
				counts[b] += float64(r.IntN(3))
				sum := 0.0
				for _, c := range counts[:b+1] {
					sum += c
				}
				buckets[b].t, buckets[b].f = append(buckets[b].t, int64(k)*interval), append(buckets[b].f, sum)
			}
		}
		data = append(data, buckets...)
	}
	for i, v := range []float64{1e17, 1, -1e17} {
		s := series{labels: []string{"__name__", "cancelling", "job", "other", "part", fmt.Sprint(i)}}
		for k := range samples {
			s.t, s.f = append(s.t, int64(k)*interval), append(s.f, []float64{v, 1, -v, float64(k)}[k%4])
		}
		data = append(data, s)
	}
	for _, job := range []string{"job0", "job1", "job2", "job3", "job4"} {
		s := series{labels: []string{"__name__", "job_info", "job", job, "team", "team_" + job}}
		for k := range samples {
			s.t, s.f = append(s.t, int64(k)*interval), append(s.f, 1)
		}
		data = append(data, s)
	}
	return data
}

// infos returns info series of what mixture returns: some change a label, with a stale marker or without, and some are
// of other names.
func infos(r *rand.Rand, samples int) []series {
	var data []series
	for i := range 12 {
		changes := r.IntN(samples)
		for version := range 2 {
			s := series{labels: []string{
				"__name__", "target_info", "job", fmt.Sprintf("job%d", i%5), "instance", fmt.Sprintf("host%d", i), "version", fmt.Sprintf("v%d", version),
			}}
			for k := range samples {
				t := int64(k)*interval + int64(version)
				switch {
				case (k >= changes) == (version == 1):
					s.t, s.f = append(s.t, t), append(s.f, 1)
				case k == changes && i%2 == 0:
					s.t, s.f = append(s.t, t), append(s.f, sample.StaleNaN())
				}
			}
			data = append(data, s)
		}
	}
	for i := range 6 {
		s := series{labels: []string{"__name__", "build_info", "instance", fmt.Sprintf("host%d", i), "zone", "z", "branch", fmt.Sprintf("b%d", i%2)}}
		if i%3 > 0 {
			s.labels = append(s.labels, "job", fmt.Sprintf("job%d", i%5))
		}
		for k := range samples {
			s.t, s.f = append(s.t, int64(k)*interval), append(s.f, 1)
		}
		data = append(data, s)
	}
	return data
}

// twins returns info series of which two contradict each other at some times.
func twins(samples int) (data []series) {
	for part := range 2 {
		s := series{labels: []string{"__name__", "twin_info", "job", "job0", "instance", "host0", "part", fmt.Sprint(part)}}
		for k := range samples {
			if part == 0 || k%40 < 10 {
				s.t, s.f = append(s.t, int64(k)*interval), append(s.f, 1)
			}
		}
		data = append(data, s)
	}
	return data
}

// natives returns series of native histograms: counters with resets, gauges, custom buckets, different resolutions
// and widths of the zero bucket, and some that are floats at times.
func natives(r *rand.Rand, samples int) []series {
	var data []series
	for i := range 10 {
		s := series{labels: []string{"__name__", "native", "job", fmt.Sprintf("job%d", i%3), "instance", fmt.Sprintf("native%d", i)}}
		h := &histogram.FloatHistogram{
			Schema: int32(r.IntN(4) - 1), ZeroThreshold: []float64{0.001, 0.001, 0.1}[r.IntN(3)],
			PositiveSpans: []histogram.Span{{Offset: int32(r.IntN(3) + 1), Length: 3}, {Offset: 2, Length: 2}}, PositiveBuckets: make([]float64, 5),
		}
		switch {
		case i >= 8:
			h.Schema, h.ZeroThreshold, h.CustomValues = histogram.CustomBucketsSchema, 0, []float64{0.5, 1, 2, 5}
			h.PositiveSpans = []histogram.Span{{Length: 5}}
			if i == 9 {
				h.CustomValues = []float64{0.5, 1, 3, 5}
			}
		case i%2 == 0:
			h.NegativeSpans, h.NegativeBuckets = []histogram.Span{{Offset: 1, Length: 2}}, make([]float64, 2)
		}
		if i == 3 || i == 4 {
			h.CounterResetHint = histogram.GaugeType
		}
		for k := range samples {
			h = h.Copy()
			grow(r, h)
			s.t, s.f, s.h = append(s.t, int64(k)*interval), append(s.f, float64(k)), append(s.h, h)
			if i == 7 && r.IntN(20) == 0 {
				s.h[k] = nil
			}
		}
		data = append(data, s)
	}
	return data
}

// grow adds observations, or, rarely, resets the histogram.
func grow(r *rand.Rand, h *histogram.FloatHistogram) {
	if r.IntN(40) == 0 {
		h.Count, h.Sum, h.ZeroCount = 0, 0, 0
		clear(h.PositiveBuckets)
		clear(h.NegativeBuckets)
	}
	add := func(to *float64) {
		n := float64(r.IntN(4))
		*to += n
		h.Count += n
		h.Sum += n * r.NormFloat64()
	}
	for i := range h.PositiveBuckets {
		add(&h.PositiveBuckets[i])
	}
	for i := range h.NegativeBuckets {
		add(&h.NegativeBuckets[i])
	}
	if h.CustomValues == nil {
		add(&h.ZeroCount)
	}
}

// withTypes gives some series a type or a unit, right or wrong.
func withTypes(r *rand.Rand, data []series) []series {
	for i := range data {
		if r.IntN(2) == 0 {
			data[i].labels = append(data[i].labels, "__type__", pick(r, "counter", "gauge", "histogram"))
		}
		if r.IntN(4) == 0 {
			data[i].labels = append(data[i].labels, "__unit__", pick(r, "seconds", "bytes"))
		}
	}
	return data
}

// withStarts gives most samples start timestamps: some series start anew now and then, some at each sample, and some say
// nonsense.
func withStarts(r *rand.Rand, data []series) []series {
	for i := range data {
		kind, start := r.IntN(5), int64(1000*r.IntN(100))
		if kind == 0 {
			continue
		}
		for k, t := range data[i].t {
			switch {
			case kind == 1 && k > 0:
				start = data[i].t[k-1]
			case kind == 2 && r.IntN(20) == 0:
				start = t - int64(r.IntN(2*interval))
			case kind == 3 && r.IntN(20) == 0:
				start = t + int64(r.IntN(3)-1)*int64(r.IntN(interval))
			}
			st := start
			if r.IntN(30) == 0 {
				st = 0
			}
			data[i].st = append(data[i].st, st)
		}
	}
	return data
}
