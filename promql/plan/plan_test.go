package plan

import (
	"testing"

	"github.com/narthex-io/narthex/promql/parser"
)

// build returns the optimized plan of a range query from 0 to 10m.
func build(t *testing.T, query string) Node {
	t.Helper()
	expr, err := parser.New(parser.Options{EnableExperimentalFunctions: true}).ParseExpr(query)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Build(expr, Query{Start: 0, End: 600_000, Step: 60_000, SubqueryStep: func(int64) int64 { return 60_000 }})
	if err != nil {
		t.Fatal(err)
	}
	return Optimize(n)
}

func TestConstantsAreFolded(t *testing.T) {
	fold := func(query string, want float64) {
		t.Helper()
		if n, ok := build(t, query).(*Number); !ok || n.V != want {
			t.Errorf("%s became %#v, want %v", query, n, want)
		}
	}
	fold("1 + 2 * 3", 7)
	fold("-(2 ^ 3)", -8)
	fold("2 > bool 1", 1)
	fold("step() + end()", 660)
	if _, ok := build(t, "time() + 1").(*Binary); !ok {
		t.Error("time() is no constant")
	}
}

func TestWhatDoesNotChangeIsHoisted(t *testing.T) {
	whole := func(query string, want bool) {
		t.Helper()
		if _, got := build(t, query).(*StepInvariant); got != want {
			t.Errorf("%s is hoisted: %v, want %v", query, got, want)
		}
	}
	whole("x @ 5", true)
	whole("x", false)
	whole("sum(rate(x[5m] @ end()))", true)
	whole("x @ 5 + y", false)
	whole("predict_linear(x[5m] @ 5, 60)", false)
	whole("avg_over_time(sum(x)[5m:1m] @ 5)", true)
	whole("avg_over_time(sum(x @ 5)[5m:1m])", false)
	b, ok := build(t, "sum(x @ 5) + y").(*Binary)
	if !ok {
		t.Fatal("no binary operator")
	}
	if _, ok := b.LHS.(*StepInvariant); !ok {
		t.Errorf("left side is %T", b.LHS)
	}
}

func TestSubqueriesAlignTheirSteps(t *testing.T) {
	inner := func(s Subquery, outer Grid, start, end int64) {
		t.Helper()
		if g := s.Inner(outer); g.Start != start || g.End() != end {
			t.Errorf("inner steps go from %d to %d, want %d to %d", g.Start, g.End(), start, end)
		}
	}
	inner(Subquery{Range: 50, Step: 10}, NewGrid(100, 100, 0), 60, 100)
	inner(Subquery{Range: 50, Step: 7}, NewGrid(100, 160, 20), 56, 154)
	inner(Subquery{Range: 50, Step: 10, Shift: Shift{Offset: 5}}, NewGrid(100, 100, 0), 50, 90)
	inner(Subquery{Range: 20, Step: 10}, NewGrid(0, 0, 0), -10, 0)
}

func TestBoundsCoverWhatASelectorNeeds(t *testing.T) {
	at := int64(1000)
	check := func(s Selector, mint, maxt int64) {
		t.Helper()
		if from, to := s.Bounds(NewGrid(500, 900, 100), 300); from != mint || to != maxt {
			t.Errorf("bounds are %d to %d, want %d to %d", from, to, mint, maxt)
		}
	}
	check(Selector{}, 201, 900)
	check(Selector{Range: 50}, 451, 900)
	check(Selector{Shift: Shift{Offset: 100}}, 101, 800)
	check(Selector{Shift: Shift{Offset: 100, At: &at}}, 601, 900)
}
