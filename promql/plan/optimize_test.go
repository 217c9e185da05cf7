package plan

import (
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql/parser"
)

// lowered returns the plan of a query as it is before optimization.
func lowered(t *testing.T, query string) Node {
	t.Helper()
	expr, err := parser.New(parser.Options{EnableBinopFillModifiers: true}).ParseExpr(query)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Build(expr, Query{Start: 0, End: 600_000, Step: 60_000, SubqueryStep: func(int64) int64 { return 60_000 }})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// selectors returns the selectors of a plan, one in each line, as explain shows them.
func selectors(n Node) string {
	var lines []string
	Walk(n, func(n Node) {
		if s, ok := n.(*Selector); ok {
			lines = append(lines, s.text())
		}
	})
	return strings.Join(lines, "\n")
}

// check runs one optimizer and compares the selectors before and after it.
func check(t *testing.T, optimizer func(Node) Node, query string, before, after []string) {
	t.Helper()
	n := lowered(t, query)
	if got, want := selectors(n), strings.Join(before, "\n"); got != want {
		t.Errorf("%s: selectors before are\n%s\nwant\n%s", query, got, want)
	}
	if got, want := selectors(optimizer(n)), strings.Join(after, "\n"); got != want {
		t.Errorf("%s: selectors after are\n%s\nwant\n%s", query, got, want)
	}
}

func TestMatchersCrossBinaryOperands(t *testing.T) {
	crosses := func(query string, before, after [2]string) {
		t.Helper()
		check(t, propagateMatchers, query, before[:], after[:])
	}
	both := [2]string{`a{x="1"}`, `b{x="1"}`}
	crosses(`a{x="1"} / b`, [2]string{`a{x="1"}`, `b`}, both)
	crosses(`a / b{x="1"}`, [2]string{`a`, `b{x="1"}`}, both)
	crosses(`a{x="1"} > b{y!="2"}`, [2]string{`a{x="1"}`, `b{y!="2"}`}, [2]string{`a{x="1",y!="2"}`, `b{x="1",y!="2"}`})
	crosses(`a{x="1"} and on (x, y) b{z="2"}`, [2]string{`a{x="1"}`, `b{z="2"}`}, [2]string{`a{x="1"}`, `b{x="1",z="2"}`})
	crosses(`a{x="1"} unless b{y="2"}`, [2]string{`a{x="1"}`, `b{y="2"}`}, [2]string{`a{x="1"}`, `b{x="1",y="2"}`})
	crosses(`a{x="1"} * on (x) group_left count by (x) (b)`, [2]string{`a{x="1"}`, `b`}, both)
	crosses(`count by (x) (a) * on (x) group_right b{x="1"}`, [2]string{`a`, `b{x="1"}`}, both)
	crosses(`count_over_time(a{x="1"}[5m]) / b`, [2]string{`a{x="1"}[5m]`, `b`}, [2]string{`a{x="1"}[5m]`, `b{x="1"}`})
}

func TestMatchersStayWhereLosingSeriesWouldShow(t *testing.T) {
	stays := func(query string, selectors ...string) {
		t.Helper()
		check(t, propagateMatchers, query, selectors, selectors)
	}
	stays(`a{x="1"} or b`, `a{x="1"}`, `b`)                                                    // Each side is part of the result.
	stays(`a unless b{x="1"}`, `a`, `b{x="1"}`)                                                // So is what has no partner.
	stays(`a{x="1"} / fill (0) b`, `a{x="1"}`, `b`)                                            // And with fill.
	stays(`a{x="1"} / ignoring (x) b`, `a{x="1"}`, `b`)                                        // x may differ.
	stays(`a{x="1"} / on (y) b`, `a{x="1"}`, `b`)                                              // Here too.
	stays(`a{x="1"} / on (x) b`, `a{x="1"}`, `b`)                                              // b may have duplicates, which is an error.
	stays(`a{x="1"} / {y="2"}`, `a{x="1"}`, `{y="2"}`)                                         // Metrics of different names may be duplicates.
	stays(`rate(a_total{x="1"}[5m]) / rate(b_total[5m])`, `a_total{x="1"}[5m]`, `b_total[5m]`) // A rate may have something to tell.
	stays(`count by (y) (a{x="1"}) / count by (y) (b)`, `a{x="1"}`, `b`)                       // x is not in the result.
	stays(`count_over_time(a{__type__="gauge"}[5m]) / b`, `a{__type__="gauge"}[5m]`, `b`)      // The type goes with the name.
	stays(`a{x="1"} unless count_over_time(b[5m])`, `a{x="1"}`, `b[5m]`)                       // b may have duplicates of other types.
}

func TestSelectorsReadInCommon(t *testing.T) {
	check(t, shareSelectors, `a{x="1",y="2"} - a{y="2",x="1"} offset 5m`,
		[]string{`a{x="1",y="2"}`, `a{x="1",y="2"} offset 5m`}, []string{`a{x="1",y="2"}, read 1`, `a{x="1",y="2"} offset 5m, read 1`})
	check(t, shareSelectors, `sum(rate(a[5m])) / count(a) + b`,
		[]string{`a[5m]`, `a`, `b`}, []string{`a[5m], read 1`, `a, read 1`, `b`})
	check(t, shareSelectors, `a + a{x="1"}`, []string{`a`, `a{x="1"}`}, []string{`a`, `a{x="1"}`})
}

func TestLabelsAreProjected(t *testing.T) {
	projects := func(query, before, after string) {
		t.Helper()
		check(t, projectLabels, query, []string{before}, []string{after})
	}
	projects(`sum by (x, y) (a)`, `a`, `a, labels (x, y)`)
	projects(`max(rate(a[5m]))`, `a[5m]`, `a[5m], labels ()`)
	stays := func(query, selector string) {
		t.Helper()
		projects(query, selector, selector)
	}
	stays(`sum without (x) (a)`, `a`)
	stays(`topk by (x) (1, a)`, `a`)
	stays(`sum by (x) (a + 1)`, `a`)
	stays(`sum by (x) (rate({y="1"}[5m]))`, `{y="1"}[5m]`)
	stays(`sum(absent_over_time(a[5m]))`, `a[5m]`)
}
