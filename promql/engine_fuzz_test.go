package promql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/promql"
)

// FuzzQuery feeds the engine with anything: it may say no, but it must not panic, hang or return an odd result.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"x_total", "sum by (job) (rate(x_total[5m]))", "topk(2, x_total) or vector(1)", "x_total offset -1m @ end()",
		"quantile_over_time(scalar(x_total), x_total[10m:47s])", "x_total / on (instance) group_left (job) x_total",
		`count_values("v", x_total % 3)`, `label_replace(x_total, "a", "$1", "job", "(.*)")`, "-x_total ^ 2", "histogram_quantile(0.5, x_total)",
		"absent(x_total{a=\"b\"})", "limit_ratio(-0.5, x_total)", "predict_linear(x_total[5m] @ 100, 60)", "\"text\"", "x_total[5m]",
	} {
		f.Add(query)
	}
	store := newStore(f, 4)
	e := newEngine(f, promql.Options{Timeout: 10 * time.Second, MaxSamples: 100_000, EnableExperimentalFunctions: true})
	f.Fuzz(func(t *testing.T, query string) {
		at := time.Unix(1800, 0)
		for _, ask := range []func() (*promql.Result, error){
			func() (*promql.Result, error) {
				return e.Instant(t.Context(), store, query, promql.QueryOptions{}, at)
			},
			func() (*promql.Result, error) {
				return e.Range(t.Context(), store, query, promql.QueryOptions{}, at, at.Add(5*time.Minute), time.Minute)
			},
		} {
			res, err := ask()
			if (res == nil) == (err == nil) {
				t.Errorf("%q returned %v and %v", query, res, err)
			}
			if err != nil && strings.HasPrefix(err.Error(), "unexpected error") {
				t.Errorf("%q panicked: %v", query, err)
			}
		}
	})
}
