package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	theirlabels "github.com/prometheus/prometheus/model/labels"
	theirpromql "github.com/prometheus/prometheus/promql"
	theirstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"

	"github.com/narthex-io/narthex/host/remote/query"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
)

// TestDifferentialQuery evaluates the same queries with both engines over both storages, with remote_read from the same servers:
// from upstream's, and from ours.
func TestDifferentialQuery(t *testing.T) {
	far, farToo := fill(t, append(longRows(), variety(untilNow().Milliseconds()+300_000)...)...)
	near, nearToo := fill(t, nearRows()...)
	// Of a series that goes on in another frame, upstream makes two, both of which count in sums: frames are large enough here.
	served := reads{external: labels.FromStrings("region", "eu"), sampleLimit: 5e7, frame: 1 << 20}
	n := 0
	for server, url := range map[string]string{"theirs": serveTheirs(t, far, served), "ours": serveOurs(t, farToo, served)} {
		for _, s := range []string{
			"", "external_labels: {region: eu}", "external_labels: {region: eu, job: node}|filter_external_labels: false", "|required_matchers: {i: '1'}",
			"external_labels: {region: us}", "|read_recent: true", "external_labels: {region: eu, A: x}|read_recent: true",
		} {
			global, more, _ := strings.Cut(s, "|")
			text := fmt.Sprintf("global: {%s}\nremote_read: [{url: '%s/api/v1/read', %s}]\n", global, url, more)
			a, b := theirFanout(t, near, text), ourFanout(t, nearToo, text)
			for _, expr := range readQueries() {
				for _, at := range [][2]int64{{-1_900_000, -1_400_000}, {-2_100_000, 60_000}, {20_000, 20_000}, {-1_700_000, -1_700_000}} {
					n++
					want, got := askTheirs(t, a, expr, at), askOurs(t, b, expr, at)
					if err := got.differs(want); err != "" {
						t.Fatalf("%s at %d from %s with %s: %s", expr, at, server, text, err)
					}
				}
			}
			compareLabelQuestions(t, a, b, text)
		}
	}
	t.Logf("%d queries", n)
}

// nearRows are what the local storage has: a part of what the other has, other samples of its series, and series of its own.
func nearRows() [][]one {
	s := one{labels: named("long", "i", "1", "job", "node")}
	h := one{labels: named("long_native")}
	for k := range int64(300) {
		s.samples = append(s.samples, sm(-1_700_000+k*1000, float64(k)/7+200))
		h.histograms = append(h.histograms, whole(-1_690_000+k*1000))
	}
	own := one{labels: named("long", "i", "own")}
	for k := range int64(200) {
		own.samples = append(own.samples, sm(-1_900_000+k*5000, float64(k*k)))
	}
	return [][]one{{s, own}, {h, floats("odd", sm(21_000, 1))}}
}

// begins is when the local storage is taken to have everything.
func begins() (int64, error) { return base - 1_650_000, nil }

func theirFanout(t *testing.T, local *theirs, text string) theirstorage.Storage {
	t.Helper()
	cfg, err := config.Load(text, quiet())
	if err != nil {
		t.Fatal(err)
	}
	s := remote.NewStorage(quiet(), prometheus.NewRegistry(), begins, t.TempDir(), time.Second, nil, false)
	if err := s.ApplyConfig(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return theirstorage.NewFanout(quiet(), local.db, s)
}

func ourFanout(t *testing.T, local *ours, text string) storage.Queryable {
	t.Helper()
	doc, err := strictyaml.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var cfg struct {
		Global struct {
			Labels map[string]string `yaml:"external_labels"`
		} `yaml:"global"`
		RemoteRead []*query.Config `yaml:"remote_read"`
	}
	if err := errors.Join(doc.Decode(&cfg), query.Complete(cfg.RemoteRead, "")); err != nil {
		t.Fatal(err)
	}
	s, err := query.New(query.Options{
		Local: local.db, LocalStart: func() int64 { start, _ := begins(); return start }, Registerer: prometheus.NewRegistry(), Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	change, err := s.Prepare(cfg.RemoteRead, labels.FromMap(cfg.Global.Labels))
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	t.Cleanup(func() { s.Close() })
	return s
}

func readQueries() []string {
	return []string{
		`long`, `long{i="1"}`, `long{job="node"}`, `long{region="eu"}`, `long{region!="eu"}`, `{__name__=~"long|odd"}`, `metric_3`, `odd`, `nothing`,
		`sum(long)`, `sum by (region, i) (long)`, `count by (__name__) ({__name__=~".+"})`, `rate(long[1m])`, `increase(long{i=~"1|own"}[5m])`, `long offset 3m`,
		`long_native`, `histogram_quantile(0.9, rate(long_native[5m]))`, `histogram_count(long_native)`, `sum(rate(long_native[2m]))`, `count_over_time(long_native[10m])`,
		`native_whole`, `native_gauge`, `native_custom`, `mixed`, `turned`, `stale`, `back`, `{__name__="größe.in.m"}`, `utf8_labels`, `escapes`,
		`avg_over_time(long[2m])`, `max_over_time(sum(long)[5m:30s])`, `long / on (i) long offset 1m`, `topk(2, long{i!="1"})`, `absent(nothing)`, `absent(long{i="1"})`,
		`count_over_time({__name__=~"long.*"}[3m])`, `changes(long[10m])`, `last_over_time(stale[5m])`, `timestamp(long)`, `count_values("v", odd)`,
		`long{i="1"} unless long{i="own"}`, `scalar(long{i="own"})`, `quantile_over_time(0.5, long[4m])`, `long @ end()`, `resets(long_native[10m])`,
	}
}

// result is an answer in a form that both engines share: the series, each with values by time.
type result struct {
	series   map[string]map[int64]string
	warnings []string
	err      error
}

// differs says in what two answers differ.
func (r result) differs(want result) string {
	if (r.err == nil) != (want.err == nil) {
		return fmt.Sprintf("got error %v, want %v", r.err, want.err)
	}
	if !slices.Equal(r.warnings, want.warnings) {
		return fmt.Sprintf("got warnings %q, want %q", r.warnings, want.warnings)
	}
	for name := range want.series {
		if _, ok := r.series[name]; !ok {
			return fmt.Sprintf("series %s is missing; there are %d, want %d", name, len(r.series), len(want.series))
		}
	}
	for name, values := range r.series {
		others, ok := want.series[name]
		if !ok || len(values) != len(others) {
			return fmt.Sprintf("series %s has %d values, want %d (%v)", name, len(values), len(others), ok)
		}
		for _, at := range slices.Sorted(maps.Keys(values)) {
			if !sameValue(values[at], others[at]) {
				return fmt.Sprintf("series %s at %d: got %s, want %s", name, at, values[at], others[at])
			}
		}
	}
	return ""
}

// sameValue compares two values, of which the last digits may differ.
func sameValue(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return a == b || errX == nil && errY == nil && math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y))
}

func (r *result) add(name string, at int64, v float64, h fmt.Stringer) {
	if r.series[name] == nil {
		r.series[name] = map[int64]string{}
	}
	if r.series[name][at] = fmt.Sprint(v); h != nil {
		r.series[name][at] = h.String()
	}
}

func askTheirs(t *testing.T, s theirstorage.Queryable, expr string, at [2]int64) (r result) {
	t.Helper()
	e := theirpromql.NewEngine(theirpromql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true})
	defer e.Close()
	from, to := time.UnixMilli(base+at[0]), time.UnixMilli(base+at[1])
	q, err := e.NewInstantQuery(t.Context(), s, nil, expr, from)
	if from != to {
		q, err = e.NewRangeQuery(t.Context(), s, nil, expr, from, to, 37*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	res := q.Exec(t.Context())
	r.series, r.err = map[string]map[int64]string{}, res.Err
	warnings, _ := res.Warnings.AsStrings(expr, 0, 0)
	r.warnings = slices.Sorted(slices.Values(warnings))
	switch v := res.Value.(type) {
	case theirpromql.Vector:
		for _, s := range v {
			if s.H != nil {
				r.add(s.Metric.String(), s.T, 0, s.H)
			} else {
				r.add(s.Metric.String(), s.T, s.F, nil)
			}
		}
	case theirpromql.Matrix:
		for _, s := range v {
			for _, p := range s.Floats {
				r.add(s.Metric.String(), p.T, p.F, nil)
			}
			for _, p := range s.Histograms {
				r.add(s.Metric.String(), p.T, 0, p.H)
			}
		}
	case theirpromql.Scalar:
		r.add("scalar", v.T, v.V, nil)
	}
	return r
}

func askOurs(t *testing.T, s storage.Queryable, expr string, at [2]int64) (r result) {
	t.Helper()
	e, err := promql.New(promql.Options{Logger: quiet(), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	from, to := time.UnixMilli(base+at[0]), time.UnixMilli(base+at[1])
	var res *promql.Result
	if from == to {
		res, err = e.Instant(t.Context(), s, expr, promql.QueryOptions{}, from)
	} else {
		res, err = e.Range(t.Context(), s, expr, promql.QueryOptions{}, from, to, 37*time.Second)
	}
	r.series, r.err = map[string]map[int64]string{}, err
	if err != nil {
		return r
	}
	r.warnings = slices.Sorted(slices.Values(res.Warnings))
	switch v := res.Value.(type) {
	case promql.Vector:
		for _, s := range v {
			if s.H != nil {
				r.add(s.Labels.String(), s.T, 0, s.H)
			} else {
				r.add(s.Labels.String(), s.T, s.F, nil)
			}
		}
	case promql.Matrix:
		for _, s := range v {
			for i, at := range s.Points.T {
				if len(s.Points.H) > 0 && s.Points.H[i] != nil {
					r.add(s.Labels.String(), at, 0, s.Points.H[i])
				} else {
					r.add(s.Labels.String(), at, s.Points.F[i], nil)
				}
			}
		}
	case promql.Scalar:
		r.add("scalar", v.T, v.V, nil)
	}
	return r
}

// compareLabelQuestions asks both for names and values of labels, for ranges of which the remote is asked or not.
func compareLabelQuestions(t *testing.T, a theirstorage.Queryable, b storage.Queryable, text string) {
	t.Helper()
	for _, from := range []int64{base - 2_000_000, base - 1_600_000} {
		theirs, err := a.Querier(from, base)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := b.Querier(from, base)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		for _, matching := range []bool{false, true} {
			var ms []*theirlabels.Matcher
			var oms []*labels.Matcher
			if matching {
				ms = append(ms, theirlabels.MustNewMatcher(theirlabels.MatchEqual, "i", "1"))
				oms = append(oms, labels.MustNewMatcher(labels.MatchEqual, "i", "1"))
			}
			want, theirWarnings, err := theirs.LabelNames(ctx, &theirstorage.LabelHints{}, ms...)
			got, warnings, ourErr := ours.LabelNames(ctx, storage.LabelHints{}, oms...)
			if !slices.Equal(got, want) || fmt.Sprint(theirWarnings.AsErrors()) != fmt.Sprint([]error(warnings)) || err != nil || ourErr != nil {
				t.Errorf("%s: names %q with %v, %v, want %q with %v, %v", text, got, warnings, ourErr, want, theirWarnings, err)
			}
			want, theirWarnings, err = theirs.LabelValues(ctx, "i", &theirstorage.LabelHints{}, ms...)
			got, warnings, ourErr = ours.LabelValues(ctx, "i", storage.LabelHints{}, oms...)
			if !slices.Equal(got, want) || fmt.Sprint(theirWarnings.AsErrors()) != fmt.Sprint([]error(warnings)) || err != nil || ourErr != nil {
				t.Errorf("%s: values %q with %v, %v, want %q with %v, %v", text, got, warnings, ourErr, want, theirWarnings, err)
			}
		}
		theirs.Close()
		ours.Close()
	}
}
