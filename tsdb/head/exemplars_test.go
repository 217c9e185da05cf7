package head

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
)

func withExemplars(n int) func(*Options) {
	return func(o *Options) { o.MaxExemplars = n }
}

// exampled is an entry with exemplars at times of their own.
func exampled(i int, t int64, at ...int64) storage.Entry {
	e := floatEntry(i, t)
	for _, x := range at {
		e.Exemplars = append(e.Exemplars, sample.Exemplar{Labels: labels.FromStrings("trace", fmt.Sprint(x)), Value: float64(x), T: x, HasT: true})
	}
	return e
}

func exemplarText(t *testing.T, h *Head, mint, maxt int64, sets ...[]*labels.Matcher) string {
	t.Helper()
	if sets == nil {
		sets = [][]*labels.Matcher{{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")}}
	}
	all, err := h.Exemplars(t.Context(), mint, maxt, sets...)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s:", s.Labels.Get("i"))
		for _, e := range s.Exemplars {
			if e.Labels.Get("trace") != fmt.Sprint(e.T) || e.Value != float64(e.T) {
				t.Errorf("an exemplar became %+v", e)
			}
			fmt.Fprintf(&b, " %d", e.T)
		}
		b.WriteString("; ")
	}
	return b.String()
}

func everyExemplar(t *testing.T, h *Head) string {
	t.Helper()
	return exemplarText(t, h, math.MinInt64, math.MaxInt64)
}

func TestExemplars(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withExemplars(5))
	expect := func(want string) {
		t.Helper()
		if got := everyExemplar(t, h); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	appendAll(t, h, exampled(1, 10, 3, 9), exampled(2, 10))
	appendAll(t, h, exampled(1, 20, 19), exampled(2, 20, 20))
	expect("1: 3 9 19; 2: 20; ")
	// The same sample again, with the same exemplar and with a new one.
	for _, out := range appendAll(t, h, exampled(1, 20, 19), exampled(2, 20, 21)) {
		if out.Err != nil || out.ExemplarErr != nil {
			t.Errorf("got %+v", out)
		}
	}
	expect("1: 3 9 19; 2: 20 21; ")
	late := appendAll(t, h, exampled(1, 30, 12))[0]
	if late.Err != nil || !errors.Is(late.ExemplarErr, storage.ErrOutOfOrderExemplar) {
		t.Errorf("got %+v", late)
	}
	long := exampled(1, 31)
	long.Exemplars = []sample.Exemplar{{Labels: labels.FromStrings("trace", strings.Repeat("ä", 124)), T: 31}}
	if out := appendAll(t, h, long)[0]; out.Err != nil || !errors.Is(out.ExemplarErr, storage.ErrExemplarLabelLength) {
		t.Errorf("got %+v", out)
	}
	// A rejected sample brings none.
	if out := appendAll(t, h, exampled(1, 5, 40))[0]; out.Err == nil || out.ExemplarErr != nil {
		t.Errorf("got %+v", out)
	}
	app := h.Appender()
	if err := app.Append(t.Context(), []storage.Entry{exampled(2, 50, 50)}, make([]storage.Outcome, 1)); err != nil {
		t.Fatal(err)
	}
	if err := app.Rollback(); err != nil {
		t.Fatal(err)
	}
	expect("1: 3 9 19; 2: 20 21; ")
	appendAll(t, h, exampled(3, 60, 60, 61))
	expect("1: 19; 2: 20 21; 3: 60 61; ")
	if got := exemplarText(t, h, 20, 60); got != "2: 20 21; 3: 60; " {
		t.Errorf("from 20 to 60: %s", got)
	}
	one := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "i", "1")}
	other := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "i", "3"), labels.MustNewMatcher(labels.MatchEqual, "job", "test")}
	if got := exemplarText(t, h, 0, 100, one, other); got != "1: 19; 3: 60 61; " {
		t.Errorf("two selectors: %s", got)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, withExemplars(5))
	expect("1: 19; 2: 20 21; 3: 60 61; ")
	h.SetMaxExemplars(3)
	expect("2: 21; 3: 60 61; ")
	h.SetMaxExemplars(4)
	appendAll(t, h, exampled(1, 70, 70), exampled(3, 71, 71))
	expect("1: 70; 3: 60 61 71; ")
	h.SetMaxExemplars(0)
	expect("")
	if out := appendAll(t, h, exampled(1, 80, 80))[0]; out.Err != nil || out.ExemplarErr != nil {
		t.Errorf("got %+v", out)
	}
	expect("")
}

func TestNoExemplarsByDefault(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir)
	appendAll(t, h, exampled(1, 10, 10))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if got := everyExemplar(t, openHead(t, dir, withExemplars(10))); got != "" {
		t.Errorf("the log has %s", got)
	}
}

// TestExemplarRing compares with a plain list.
func TestExemplarRing(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		h := openHead(t, t.TempDir(), withExemplars(1+r.IntN(12)))
		h.exemplars.window = r.Int64N(30)
		size := h.exemplars.size
		type held struct {
			id uint32
			t  int64
		}
		var model []held
		at := int64(100)
		for range 200 {
			at += r.Int64N(4)
			id, when := uint32(r.IntN(4)), at-r.Int64N(25)
			if r.IntN(40) == 0 {
				size = r.IntN(12)
				h.SetMaxExemplars(size)
				model = model[max(0, len(model)-size):]
			}
			newest, same := int64(math.MinInt64), false
			for _, m := range model {
				if m.id == id {
					newest, same = max(newest, m.t), same || m.t == when
				}
			}
			e := exampled(0, 1, when).Exemplars[0]
			h.exemplars.add(id, e, func() labels.Labels { return metric(int(id)) })
			if size == 0 || same || newest != math.MinInt64 && when < newest && when <= newest-h.exemplars.window {
				continue
			}
			if model = append(model, held{id, when}); len(model) > size {
				model = model[1:]
			}
		}
		var want strings.Builder
		for id := range uint32(4) {
			times := map[int64]bool{}
			for _, m := range model {
				if m.id == id {
					times[m.t] = true
				}
			}
			if len(times) == 0 {
				continue
			}
			fmt.Fprintf(&want, "%d:", id)
			for x := int64(0); x <= at; x++ {
				if times[x] {
					fmt.Fprintf(&want, " %d", x)
				}
			}
			want.WriteString("; ")
		}
		if got := everyExemplar(t, h); got != want.String() {
			t.Fatalf("seed %d: got %s\nwant %s", seed, got, want.String())
		}
	}
}

// TestExemplarsOutliveTheirSeries: also when the head meets the series again.
func TestExemplarsOutliveTheirSeries(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	h := openHead(t, t.TempDir(), withExemplars(10), func(o *Options) { o.Registerer = reg })
	appendAll(t, h, exampled(1, 10, 10), floatEntry(2, hour))
	if err := h.Truncate(t.Context(), hour); err != nil {
		t.Fatal(err)
	}
	if n := h.Stats().Series; n != 1 {
		t.Fatalf("%d series are left", n)
	}
	appendAll(t, h, exampled(1, hour+5, hour+5))
	if got, want := everyExemplar(t, h), fmt.Sprintf("1: 10 %d; ", hour+5); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP prometheus_tsdb_exemplar_exemplars_appended_total Total number of appended exemplars.
# TYPE prometheus_tsdb_exemplar_exemplars_appended_total counter
prometheus_tsdb_exemplar_exemplars_appended_total 2
# HELP prometheus_tsdb_exemplar_exemplars_in_storage Number of exemplars currently in circular storage.
# TYPE prometheus_tsdb_exemplar_exemplars_in_storage gauge
prometheus_tsdb_exemplar_exemplars_in_storage 2
# HELP prometheus_tsdb_exemplar_max_exemplars Total number of exemplars the exemplar storage can store, resizeable.
# TYPE prometheus_tsdb_exemplar_max_exemplars gauge
prometheus_tsdb_exemplar_max_exemplars 10
`), "prometheus_tsdb_exemplar_exemplars_appended_total", "prometheus_tsdb_exemplar_exemplars_in_storage", "prometheus_tsdb_exemplar_max_exemplars")
	if err != nil {
		t.Error(err)
	}
}

// TestTimelessExemplars stores what a target shows at each scrape, without a time of its own, once.
func TestTimelessExemplars(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withExemplars(9))
	show := func(at, value int64) {
		t.Helper()
		e := floatEntry(1, at)
		e.Exemplars = []sample.Exemplar{{Labels: labels.FromStrings("trace", "8f2a"), Value: float64(value), T: at}}
		if out := appendAll(t, h, e)[0]; out.Err != nil || out.ExemplarErr != nil {
			t.Errorf("at %d: %+v", at, out)
		}
	}
	show(10, 1)
	show(20, 1)
	show(30, 2)
	show(40, 2)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, withExemplars(9))
	show(50, 2)
	all, err := h.Exemplars(t.Context(), 0, 100, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")})
	if err != nil {
		t.Fatal(err)
	}
	var times []int64
	for _, e := range all[0].Exemplars {
		times = append(times, e.T)
	}
	if !slices.Equal(times, []int64{10, 30}) {
		t.Errorf("exemplars at %d", times)
	}
}

func BenchmarkExemplars(b *testing.B) {
	h := openHead(b, b.TempDir(), withExemplars(100_000))
	e := sample.Exemplar{Labels: labels.FromStrings("trace_id", "8f2a"), Value: 1, HasT: true}
	b.ReportAllocs()
	for b.Loop() {
		e.T++
		h.exemplars.add(uint32(e.T%1000), e, func() labels.Labels { return labels.EmptyLabels() })
	}
}
