package promql_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// TestEveryFunctionHasAnOperator calls each function of the parser's table with arguments of the types that it wants.
func TestEveryFunctionHasAnOperator(t *testing.T) {
	e := newEngine(t, promql.Options{EnableExperimentalFunctions: true})
	store := newStore(t, 1)
	sample := map[parser.ValueType]string{
		parser.ValueTypeScalar: "0.5", parser.ValueTypeVector: "x_total", parser.ValueTypeMatrix: "x_total[5m]", parser.ValueTypeString: `"a"`,
	}
	for _, f := range parser.Functions() {
		args := make([]string, len(f.ArgTypes))
		for i, typ := range f.ArgTypes {
			args[i] = sample[typ]
		}
		if f.Name == "info" {
			args[1] = `{a=~".*"}`
		}
		if _, err := ask(t.Context(), e, store, f.Name+"("+strings.Join(args, ", ")+")"); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// TestFunctionsOfRangesMergeNothing asks for two series that differ in their names alone and never have values at the
// same time. As in Prometheus, only functions of ranges take that for an error.
func TestFunctionsOfRangesMergeNothing(t *testing.T) {
	store := storagetest.NewStore()
	app := store.Appender()
	var entries []storage.Entry
	for minute := range int64(5) {
		for name, from := range map[string]int64{"early": 0, "late": 20} {
			ls := labels.FromStrings(labels.MetricName, name, "job", "a")
			entries = append(entries, storage.Entry{Labels: ls, T: (from + minute) * 60_000, V: float64(minute)})
		}
	}
	if err := errors.Join(app.Append(t.Context(), entries, make([]storage.Outcome, len(entries))), app.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, promql.Options{})
	for query, fails := range map[string]bool{
		`rate({job="a"}[5m])`: true, `sum by (job) (count_over_time({job="a"}[5m]))`: true, `max_over_time({job="a"}[5m:1m])`: true,
		`last_over_time({job="a"}[5m])`: false, `-{job="a"}`: false, `abs({job="a"})`: false, `{job="a"} + 1`: false, `rate({job="a"}[1s])`: false,
	} {
		_, err := e.Range(t.Context(), store, query, promql.QueryOptions{}, time.Unix(0, 0), time.Unix(2400, 0), time.Minute)
		if fails && (err == nil || !strings.Contains(err.Error(), "same labelset")) || !fails && err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}
