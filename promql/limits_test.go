package promql_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/promql"
)

// hugeQueries returns queries of every shape that grows without bound.
func hugeQueries() map[string]string {
	many := func(n int, term, separator string) string {
		return strings.TrimSuffix(strings.Repeat(term+separator, n), separator)
	}
	alternatives := make([]string, 10_000)
	for i := range alternatives {
		alternatives[i] = fmt.Sprintf("job.*%d", i)
	}
	return map[string]string{
		"20,000 numbers":            many(20_000, "1", " + "),
		"20,000 times":              many(20_000, "time()", " + "),
		"20,000 selectors":          many(20_000, "x_total", " + "),
		"10,000 rates":              many(10_000, "rate(x_total[5m])", " or "),
		"10,000 parentheses":        strings.Repeat("(", 10_000) + "1" + strings.Repeat(")", 10_000),
		"10,000 nested calls":       strings.Repeat("abs(", 10_000) + "x_total" + strings.Repeat(")", 10_000),
		"10,000 signs":              strings.Repeat("-", 10_000) + "x_total",
		"a string of 1 MB":          `label_replace(x_total, "a", "` + strings.Repeat("x", 1<<20) + `", "", "")`,
		"a name of 1 MB":            strings.Repeat("x", 1<<20),
		"1 MB of terms":             many(1<<17, "y_total", "+"),
		"1 MB of labels":            "sum by (" + many(1<<17, "instance", ",") + ") (x_total)",
		"an expression of 10,000":   `x_total{job=~"` + strings.Join(alternatives, "|") + `"}`,
		"10,000 matchers":           `x_total{` + many(10_000, `job=~"j.*"`, ",") + `}`,
		"10,000 alternatives":       `label_replace(x_total, "a", "$1", "job", "(` + strings.Join(alternatives, "|") + `)")`,
		"200 subqueries":            strings.Repeat("max_over_time(", 200) + "x_total" + strings.Repeat("[10m:1s])", 200),
		"200 subqueries with gaps":  strings.Repeat("max_over_time(", 200) + "x_total[10m:1s])" + strings.Repeat("[10m:11m])", 199),
		"many values":               `count_values("v", x_total * scalar(vector(time())))`,
		"a cross product":           `x_total * on () group_left sum by (job) (x_total)`,
		"100,000 labels":            "sum without (" + many(100_000, "job", ",") + ") (x_total)",
		"sorting":                   "sort_by_label(" + many(2_000, "x_total", " or ") + `, "instance")`,
		"10,000 matches":            many(10_000, "x_total", " and "),
		"a subquery of many steps":  `max_over_time(rate(x_total[5m])[100y:1ms])`,
		"a subquery without series": `sum_over_time(vector(time())[100y:1ms])`,
	}
}

// TestHugeQueriesEnd asks huge queries under a deadline that many of them cannot keep, one after the other and 20 at a
// time. Each ends, with an answer or with an error that says why there is none, and not much later than it may.
func TestHugeQueriesEnd(t *testing.T) {
	const deadline = 200 * time.Millisecond
	store := newStore(t, 100)
	e := newEngine(t, promql.Options{Timeout: deadline, EnableExperimentalFunctions: true, MaxTotalBytes: 2 << 30})
	defer e.Close()
	check := func(name, query string, slack time.Duration) {
		begin := time.Now()
		_, err := ask(t.Context(), e, store, query)
		if late := time.Since(begin) - deadline; late > slack {
			t.Errorf("%s: %s late", name, late)
		}
		switch kind := promql.KindOf(err); {
		case kind == promql.KindNone, kind == promql.KindTimeout:
		case kind == promql.KindBadData && (strings.Contains(err.Error(), "nested more than") || strings.Contains(err.Error(), "has more than")):
		case errors.Is(err, promql.ErrTooManySamples), errors.Is(err, promql.ErrTooMuchMemory):
		case strings.Contains(err.Error(), "found duplicate series"):
		default:
			t.Errorf("%s: %v", name, err)
		}
	}
	// The answer comes in time by the engine's clock; other programs on the machine are why there is more room.
	for name, query := range hugeQueries() {
		check(name, query, time.Second)
	}
	var all sync.WaitGroup
	for name, query := range hugeQueries() {
		all.Go(func() { check(name, query, 5*time.Second) })
	}
	all.Wait()
}

func TestParsingEndsWithTheQuery(t *testing.T) {
	e := newEngine(t, promql.Options{Timeout: time.Nanosecond})
	if _, err := ask(t.Context(), e, newStore(t, 1), "1"+strings.Repeat(" + 1", 50_000)); !errors.Is(err, promql.ErrTimeout) {
		t.Error(err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	store := newStore(t, 200)
	for query, enough := range map[string]int64{
		"x_total":                                     1 << 20,
		"sum(x_total)":                                1 << 18,
		"topk(50, x_total)":                           1 << 20,
		"quantile(0.5, x_total)":                      1 << 20,
		"x_total and x_total":                         1 << 20,
		"sort(x_total + on(instance) x_total)":        1 << 20,
		"count_values by (instance) (\"v\", x_total)": 32 << 20,
		"sum(sum_over_time(x_total[1h:1s]))":          1 << 20,
	} {
		for _, parallelism := range []int{1, 4} {
			small := newEngine(t, promql.Options{MaxBytes: 1 << 14, Parallelism: parallelism})
			_, err := ask(t.Context(), small, store, query)
			if !errors.Is(err, promql.ErrTooMuchMemory) || promql.KindOf(err) != promql.KindExecution {
				t.Errorf("%s: %v", query, err)
			}
			large := newEngine(t, promql.Options{MaxBytes: enough, Parallelism: parallelism})
			if _, err := ask(t.Context(), large, store, query); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
}

func TestReleasedMemoryIsUsedAgain(t *testing.T) {
	store, e := newStore(t, 300), newEngine(t, promql.Options{})
	want, err := ask(t.Context(), e, store, "x_total")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := ask(t.Context(), e, store, "x_total")
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got.Value) != fmt.Sprint(want.Value) {
			t.Fatal("results differ")
		}
		got.Release()
		if _, err := ask(t.Context(), e, store, "x_total * 2"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemoryOfAllQueriesIsBounded(t *testing.T) {
	e := newEngine(t, promql.Options{MaxTotalBytes: 1 << 16})
	if _, err := ask(t.Context(), e, newStore(t, 200), "x_total"); !errors.Is(err, promql.ErrTooMuchMemory) || !strings.Contains(err.Error(), "all queries together") {
		t.Error(err)
	}
	for range 100 { // What a query has held does not count after its end.
		if _, err := ask(t.Context(), e, newStore(t, 1), "x_total"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeQueriesDoNotCountForSmallOnes asks a small query after a large one, whose memory it may use.
func TestLargeQueriesDoNotCountForSmallOnes(t *testing.T) {
	store, e := newStore(t, 3), newEngine(t, promql.Options{Parallelism: 1})
	peak := func(query string) int64 {
		t.Helper()
		res, err := e.Instant(t.Context(), store, query, promql.QueryOptions{}, end)
		if err != nil {
			t.Fatal(err)
		}
		return res.Stats.Samples.Peak
	}
	small := peak("x_total")
	if large := peak("sum_over_time(x_total[1h:10ms])"); large < 300_000 {
		t.Errorf("the large query holds %d samples", large)
	}
	if after := peak("x_total"); after != small {
		t.Errorf("a small query holds %d samples, after a large one %d", small, after)
	}
}
