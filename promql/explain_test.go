package promql_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/promql"
)

func explain(t *testing.T, e *promql.Engine, query string, analyze bool) *promql.Explanation {
	t.Helper()
	x, err := e.Explain(t.Context(), newStore(t, 100), query, promql.QueryOptions{}, start, end, time.Minute, analyze)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func text(t *testing.T, x *promql.Explanation) string {
	t.Helper()
	var b bytes.Buffer
	if err := x.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExplainShowsThePlanBeforeAndAfter(t *testing.T) {
	got := text(t, explain(t, newEngine(t, promql.Options{}), `sum by (job) (rate(x_total{job=~"job.*"}[5m] offset 1m)) > 2 * 3 + scalar(x_total @ 60)`, false))
	before, after, found := strings.Cut(got, "\noptimized plan\n")
	if !found {
		t.Fatal(got)
	}
	for _, line := range []string{
		"from   1970-01-01T00:10:00Z to 1970-01-01T01:00:00Z, every 1m0s: 51 steps",
		"  binary >", "  ├─ aggregate sum by (job)", "  │  └─ window rate", `  │     └─ selector x_total{job=~"job.*"}[5m] offset 1m`,
		"  └─ binary +", "     ├─ binary *", "     │  ├─ number 2", "     └─ call scalar", "        └─ selector x_total @ 60.000",
	} {
		if !strings.Contains(before, line+"\n") {
			t.Errorf("no line %q in\n%s", line, before)
		}
	}
	if strings.Contains(after, "binary *") || !strings.Contains(after, "number 6") || !strings.Contains(after, "step invariant") {
		t.Error(after)
	}
}

// TestExplainAnalyzeMeasures counts what each operator does: 100 series of which each step of 51 sees 20 samples.
func TestExplainAnalyzeMeasures(t *testing.T) {
	for _, parallelism := range []int{1, 4} {
		e := newEngine(t, promql.Options{Parallelism: parallelism})
		got := text(t, explain(t, e, `sum by (job) (rate(x_total[5m])) / on (job) group_left count by (job) (x_total)`, true))
		got = regexp.MustCompile(`(?m)^ *[0-9.µms]+s  `).ReplaceAllString(got, "")
		_, table, _ := strings.Cut(got, "\noptimized plan\n")
		for _, line := range []string{
			"7     7      357      0       0 B  binary / on (job) group_left ()",
			"7     7      357      0   8.4 KiB  ├─ aggregate sum by (job)",
			"100   100     5100      0       0 B  │  └─ window rate",
			"100     0        0  22000  11.9 KiB  │     └─ selector x_total[5m], labels (job), read 1",
			"7     7      357      0   8.4 KiB  └─ aggregate count by (job)",
			"100   100     5100  22000       0 B     └─ selector x_total, labels (job), read 1",
		} {
			if !strings.Contains(table, line+"\n") {
				t.Errorf("no line %q in\n%s", line, table)
			}
		}
		if !strings.Contains(table, "not attributed") || !strings.Contains(table, "scratch") {
			t.Error(table)
		}
	}
}

// TestExplainAnalyzeWorksForAllTypes measures scalars, strings, windows of samples, subqueries, and what evaluates rows
// on its own.
func TestExplainAnalyzeWorksForAllTypes(t *testing.T) {
	e, store := newEngine(t, promql.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true}), newStore(t, 20)
	for _, query := range []string{
		"1", "time() + 1", `"text"`, "x_total[5m]", "x_total[5m:1m]", "x_total @ 600", "-x_total", "vector(scalar(x_total))",
		"info(x_total)", "topk(3, x_total)", "quantile(0.5, x_total)", `count_values("v", x_total)`, "x_total and x_total",
		"x_total or -x_total", "x_total unless x_total", "sort(x_total)", "absent(x_total)", "absent_over_time(y[5m])",
		"x_total + on (instance) fill (3) x_total", "sum(max_over_time(rate(x_total[5m])[10m:1m]))", "limitk(2, x_total)",
		"histogram_quantile(0.9, x_total)", `label_replace(x_total, "a", "b", "", "")`, "x_total / 0", "predict_linear(x_total[5m], time())",
	} {
		plain, plainErr := e.Instant(t.Context(), store, query, promql.QueryOptions{}, end)
		x, err := e.Explain(t.Context(), store, query, promql.QueryOptions{}, end, end, 0, true)
		if err != nil || plainErr != nil {
			t.Errorf("%s: %v, %v", query, plainErr, err)
			continue
		}
		if a, b := plain.Stats.Samples, x.Analysis.Stats.Samples; a.Read != b.Read || a.TotalQueryable != b.TotalQueryable {
			t.Errorf("%s: measured, it looks at %+v, else at %+v", query, b, a)
		}
		var again promql.Explanation
		encoded, err := json.Marshal(x)
		if err == nil {
			err = json.Unmarshal(encoded, &again)
		}
		if err != nil || text(t, &again) != text(t, x) {
			t.Errorf("%s: %v: decoded, it is\n%s, not\n%s", query, err, text(t, &again), text(t, x))
		}
	}
}

func TestExplanationsAreNotDeep(t *testing.T) {
	x := explain(t, newEngine(t, promql.Options{}), "x_total"+strings.Repeat(" + x_total", 5000), false)
	encoded, err := json.Marshal(x)
	if err != nil || !json.Valid(encoded) || !strings.Contains(string(encoded), `"left out"`) {
		t.Error(err, len(encoded))
	}
}
