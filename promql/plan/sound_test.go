package plan_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql/exec"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// samples are series of which some become the same when they lose their names and types, some cannot be matched with
// each other, and some mix what does not go together.
const samples = `
	a{x="1",y="1"} 1+1x40
	a{x="1",y="2"} 2+1x40
	a{x="2",y="1"} 3+1x10 _x10 5 stale _x5 7x10
	a{x="2",y="2",__type__="counter"} 4+2x40
	a{x="3",y="2",__type__="gauge"} 4+2x40
	b{x="1"} 1+1x40
	b{x="2",y="1"} _x7 1+1x20
	b{x="2",y="2",__type__="gauge"} 3+1x40
	b{x="2",y="2",__type__="counter"} 3+1x40
	c_total{x="1",y="1"} 0+1x20 0+1x20
	c_total{x="1",y="2",__type__="counter",__unit__="s"} 0+1x40
	c_total{x="1",y="2",__type__="gauge",__unit__="s"} 0+1x40
	h{x="1",y="1"} {{sum:4 count:4 buckets:[1 2 1]}}+{{sum:4 count:4 buckets:[1 2 1]}}x40
	h{x="1",y="2"} {{sum:4 count:4 buckets:[1 2 1]}}x10 1 2 3 _ {{schema:1 sum:4 count:4 buckets:[1 2 1]}}x20
	h{x="2",y="2"} {{schema:-53 custom_values:[1 2] sum:4 count:4 buckets:[1 2 1]}}x40
	h{x="2",y="3"} {{schema:-53 custom_values:[1 3] sum:4 count:4 buckets:[1 2 1]}}x40
`

// TestOptimizersChangeNothing evaluates plans with and without the optimizers. Values, annotations and errors must be
// the same.
func TestOptimizersChangeNothing(t *testing.T) {
	queries := combined("$1 $o $2",
		[]string{
			`+`, `== bool`, `and`, `or`, `unless`, `+ on (x)`, `and on (x)`, `unless on (x)`, `unless on ()`, `* ignoring (y)`, `and ignoring (__type__)`,
			`* on (x) group_left ()`, `* on (x) group_right (y)`, `* on (x, __type__)`, `+ fill (0)`, `+ on (x) group_left () fill_right (2)`,
		},
		[]string{
			`a`, `b`, `a{x="1"}`, `b{x="2"}`, `b{__type__="gauge"}`, `{__name__=~"a|b",x="2"}`, `b{y=""}`, `a{x="2"} @ 300`, `b{x="2"} offset 1m`, `a{x="1"} smoothed`, `h{x="1"}`,
			`count_over_time(b{x="2"}[5m])`, `present_over_time(c_total{__type__="gauge"}[2m])`, `last_over_time(b[5m])`, `rate(c_total{x="1"}[5m])`,
			`count by (x) (b{x="2"})`, `group by (x, __type__) (b)`, `count by (x) (count_over_time(b[5m]))`, `absent(a{x="9"})`, `sum by (x) (a)`, `topk by (x) (1, a)`,
		})
	queries = append(queries, combined("$o ($1)",
		[]string{
			`sum by (x)`, `avg by (__type__)`, `max by (__name__, x)`, `stddev`, `count without (y)`, `limitk by (x) (1,`, `quantile by (y) (0.5,`,
			`histogram_quantile(0.5, sum by (x)`, `histogram_count`, `histogram_avg(avg`, `max by (x) (histogram_sum`,
		},
		[]string{
			`a`, `b`, `h`, `{__name__=~"a|b"}`, `rate(a[5m])`, `rate(c_total[5m])`, `rate(h[5m])`, `delta(h[2m])`, `sum_over_time(b[5m])`, `avg_over_time(h[5m])`,
			`last_over_time(c_total[5m])`, `absent_over_time(a{x="7"}[5m])`, `rate({__name__=~"a|b"}[5m])`, `h + h`, `h - h offset 1m`, `h and h{x="1"}`, `-h`, `timestamp(a)`,
			`sum_over_time(h[5m:1m])`, `idelta(h[5m])`, `resets(h[5m])`, `h @ 300`, `rate(h[5m] @ 900)`, `increase(c_total[5m] smoothed)`, `h smoothed`, `count_values("v", h)`,
		})...)
	store := stored(t)
	grids := []plan.Grid{plan.NewGrid(600_000, 600_000, 0), plan.NewGrid(0, 1_300_000, 197_000)}
	for i, query := range queries {
		q := asked{query: query, grid: grids[i%2], delayedNames: i/2%2 == 0}
		if got, want := q.answer(t, store, plan.Optimize), q.answer(t, store, plan.Unoptimized); got != want {
			t.Errorf("%+v: optimized\n%s\nwant\n%s", q, got, want)
		}
	}
}

// combined returns a query for each operator with each operand, or each two of them, and closes its parentheses.
func combined(form string, operators, operands []string) []string {
	seconds := operands
	if !strings.Contains(form, "$2") {
		seconds = []string{""}
	}
	var queries []string
	for _, o := range operators {
		for _, l := range operands {
			for _, r := range seconds {
				query := strings.NewReplacer("$o", o, "$1", l, "$2", r).Replace(form)
				query += strings.Repeat(")", strings.Count(query, "(")-strings.Count(query, ")"))
				queries = append(queries, query)
			}
		}
	}
	return queries
}

// stored returns a storage with the samples, 30 s apart.
func stored(t *testing.T) storage.Queryable {
	t.Helper()
	store := storagetest.NewStore()
	app := store.Appender()
	for line := range strings.Lines(strings.TrimSpace(samples)) {
		ls, values, err := parser.New(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		var entries []storage.Entry
		for i, v := range values {
			if !v.Omitted {
				entries = append(entries, storage.Entry{Labels: ls, T: int64(i) * 30_000, V: v.Value, FloatHistogram: v.Histogram})
			}
		}
		if err := app.Append(t.Context(), entries, make([]storage.Outcome, len(entries))); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// asked is a query with what its answer depends on.
type asked struct {
	query        string
	grid         plan.Grid
	delayedNames bool
}

// answer returns all that comes of a query as text; an error of the evaluation is its answer, too.
func (a asked) answer(t *testing.T, store storage.Queryable, optimize func(plan.Node) plan.Node) string {
	t.Helper()
	expr, err := parser.New(parser.Options{
		EnableExperimentalFunctions: true, EnableBinopFillModifiers: true, EnableExtendedRangeSelectors: true,
	}).ParseExpr(a.query)
	if err != nil {
		t.Fatal(err)
	}
	root, err := plan.Build(expr, plan.Query{Start: a.grid.Start, End: a.grid.Until, Step: a.grid.Step})
	if err != nil {
		t.Fatal(err)
	}
	res, err := a.evaluate(t.Context(), store, optimize(root))
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, s := range res.Series {
		lines = append(lines, fmt.Sprint(s.Labels, s.Points.T, s.Points.F))
		for _, p := range s.Points.All() {
			if p.H != nil {
				lines = append(lines, fmt.Sprint(s.Labels, p.T, p.H))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Concat(lines, res.Notes.Warnings(a.query), res.Notes.Infos(a.query)), "\n")
}

func (a asked) evaluate(ctx context.Context, store storage.Queryable, root plan.Node) (*exec.Result, error) {
	querier, err := store.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	defer func() { _ = querier.Close() }()
	p, err := exec.Prepare(ctx, root, exec.Env{
		Querier: querier, Grid: a.grid, Lookback: 300_000, Parallelism: 1, DelayNameRemoval: a.delayedNames,
	})
	if err != nil {
		return nil, err
	}
	return p.Finish(ctx)
}
