package promql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/exec"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// ending is a context that ends when it has been asked so many times. It is for one goroutine.
type ending struct {
	context.Context
	after, asked int
}

// Err counts.
func (c *ending) Err() error {
	if c.asked++; c.asked > c.after {
		return context.Canceled
	}
	return nil
}

// hostileQueries are queries with much work of each kind.
func hostileQueries() []string {
	return []string{
		`1` + strings.Repeat(" + time()", 3_000),
		`x_total{job=~"` + strings.Repeat(`j.*",job=~"`, 300) + `.+"}`,
		`sum(` + strings.Repeat(`rate(x_total[5m])) + sum(`, 20) + `x_total)`,
		strings.Repeat("abs(", 50) + "x_total" + strings.Repeat(")", 50),
		strings.Repeat("x_total or ", 20) + "x_total",
		strings.Repeat("x_total and ", 20) + "x_total",
		`label_replace(x_total, "a", "$1", "instance", "(.*)")`, `label_join(x_total, "a", "-", "instance", "job")`,
		`x_total * on (instance) group_left x_total`, `x_total / x_total`, `x_total + fill (0) (x_total > 5)`, `x_total unless x_total`,
		`count_values("v", x_total)`, `sort(x_total)`, `sort_by_label(x_total, "instance")`, `topk by (job) (50, x_total)`, `quantile(0.5, x_total)`,
		`sum by (instance) (x_total)`, `-x_total`, `limit_ratio(0.5, x_total)`, `histogram_quantile(0.5, x_total)`, `info(x_total)`, `x_total[5m]`,
		`histogram_quantiles(x_total, "q", 0.1, 0.5)`, `max_over_time(rate(x_total[5m])[5m:1s])`, `sum_over_time(vector(time())[3d:1s])`,
		`quantile_over_time(0.5, vector(time() % 7)[2d:1s])`, `stddev_over_time((vector(time()) / 7)[2d:1s])`, `absent(x_total)`,
		`timestamp(x_total)`, `deriv(vector(time() * 2)[2d:1s])`, `sum_over_time(topk(1, vector(time()))[2d:1s])`,
	}
}

// TestQueriesEndWhereverTheyAre ends queries at many points of their work. Whoever is the first to see that tells all
// others: hardly anybody asks again.
func TestQueriesEndWhereverTheyAre(t *testing.T) {
	store := newStore(t, 300)
	for _, query := range hostileQueries() {
		whole := &ending{Context: t.Context(), after: 1 << 30}
		if err := evaluate(whole, store, query); err != nil {
			t.Fatalf("%.60s: %v", query, err)
		}
		if whole.asked < 3 {
			t.Errorf("%.60s: asks %d times", query, whole.asked)
		}
		for i := range 10 {
			c := &ending{Context: t.Context(), after: whole.asked * i / 10}
			err := evaluate(c, store, query)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%.60s: ended after %d of %d: %v", query, c.after, whole.asked, err)
			}
			if more := c.asked - c.after; more > 4 {
				t.Errorf("%.60s: ended after %d of %d, and was asked %d times more", query, c.after, whole.asked, more)
			}
		}
	}
}

// evaluate takes a query through all steps, on one goroutine.
func evaluate(ctx context.Context, store storage.Queryable, query string) (err error) {
	expr, err := parser.New(parser.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true, Ended: ctx.Err}).ParseExpr(query)
	if err != nil {
		return err
	}
	at := end.UnixMilli()
	root, err := plan.Build(expr, plan.Query{Start: at, End: at, SubqueryStep: func(int64) int64 { return 60_000 }})
	if err != nil {
		return err
	}
	querier, err := store.Querier(0, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, querier.Close()) }()
	p, err := exec.Prepare(ctx, plan.Optimize(root), exec.Env{Querier: querier, Grid: plan.NewGrid(at, at, 0), Lookback: 300_000, Parallelism: 1})
	if err != nil {
		return err
	}
	_, err = p.Finish(ctx)
	return err
}

// TestLabelsCountAsMemory has operators make labels that would not fit.
func TestLabelsCountAsMemory(t *testing.T) {
	store := storagetest.NewStore()
	app := store.Appender()
	long := strings.Repeat("x", 10_000)
	for i := range 500 {
		ls := labels.FromStrings(labels.MetricName, "x_total", "instance", fmt.Sprint(i))
		if err := app.Append(t.Context(), []storage.Entry{{Labels: ls, T: end.UnixMilli(), V: float64(i)}}, make([]storage.Outcome, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, promql.Options{MaxBytes: 2 << 20})
	defer e.Close()
	for _, query := range []string{
		`label_replace(x_total, "a", "` + long + `", "", "")`,
		`label_join(x_total, "a", "` + long + `", "instance", "instance")`,
		`x_total * on () group_left (a) label_replace(vector(1), "a", "` + long + `", "", "")`,
		strings.Repeat("abs(", 1_000) + "x_total" + strings.Repeat(")", 1_000),
	} {
		if _, err := e.Instant(t.Context(), store, query, promql.QueryOptions{}, end); !errors.Is(err, promql.ErrTooMuchMemory) {
			t.Errorf("%.60s: %v", query, err)
		}
	}
}
