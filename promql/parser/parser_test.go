package parser

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func allOn() *Parser {
	return New(Options{EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true})
}

func TestPrintedFormsParseToTheSameTree(t *testing.T) {
	p := allOn()
	for _, o := range observations(t) {
		e, err := p.ParseExpr(o.Input)
		if err != nil || o.Mode != "expr" {
			continue
		}
		for _, printed := range []string{e.String(), Pretty(e)} {
			again, err := p.ParseExpr(printed)
			if err != nil {
				t.Errorf("%q is printed as %q: %v", o.Input, printed, err)
				continue
			}
			if got, want := shape(again), shape(e); got != want {
				t.Errorf("%q is printed as %q, which is another tree:\n%s\n%s", o.Input, printed, got, want)
			}
		}
	}
}

// shape returns a tree's types of nodes and their texts, without positions.
func shape(e Expr) string {
	var b strings.Builder
	Inspect(e, func(n Node, path []Node) bool {
		b.WriteString(strings.Repeat(" ", len(path)) + n.String() + "\n")
		return true
	})
	return b.String()
}

func TestNestingIsBounded(t *testing.T) {
	p := allOn()
	const n = 10_000
	for _, text := range []string{
		strings.Repeat("(", n) + "x" + strings.Repeat(")", n),
		strings.Repeat("(", n),
		strings.Repeat("-", n) + "x",
		"x" + strings.Repeat("^x", n),
		strings.Repeat("abs(", n) + "x" + strings.Repeat(")", n),
		strings.Repeat("sum(", n) + "x" + strings.Repeat(")", n),
		"x[" + strings.Repeat("(", n) + "5" + strings.Repeat(")", n) + "]",
		"x offset " + strings.Repeat("-", n) + "5m",
		"x[5" + strings.Repeat("^5", n) + "]",
	} {
		if _, err := p.ParseExpr(text); !errors.Is(err, errTooDeep) {
			t.Errorf("%.20s…: %.100v", text, err)
		}
	}
	for _, text := range []string{
		"x" + strings.Repeat("+x", maxOperators+1),
		"x" + strings.Repeat("[5m:]", maxOperators+1),
		"x[5" + strings.Repeat("+5", maxOperators+1) + "]",
	} {
		if _, err := p.ParseExpr(text); !errors.Is(err, errTooLong) {
			t.Errorf("%.20s…: %.100v", text, err)
		}
	}
}

func TestLongChainsParseAndPrint(t *testing.T) {
	text := "x" + strings.Repeat(" + x", maxOperators)
	e, err := allOn().ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.String(); got != text {
		t.Errorf("%d bytes come back as %d", len(text), len(got))
	}
	nodes := 0
	Inspect(e, func(Node, []Node) bool { nodes++; return true })
	if want := 2*maxOperators + 1; nodes != want {
		t.Errorf("the tree has %d nodes, want %d", nodes, want)
	}
	if selectors := "x{" + strings.Repeat(`a!="b",`, 10_000) + "}"; true {
		if _, err := allOn().ParseExpr(selectors); err != nil {
			t.Error(err)
		}
	}
}

func TestInspectGivesThePathAndCanSkip(t *testing.T) {
	e, err := allOn().ParseExpr("abs(a) + sum(rate(b[5m]))")
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	Inspect(e, func(n Node, path []Node) bool {
		if v, ok := n.(*VectorSelector); ok {
			seen = append(seen, v.Name)
			if _, ok := path[0].(*BinaryExpr); !ok || path[len(path)-1] == n {
				t.Errorf("the path of %s is %v", v, path)
			}
		}
		_, sum := n.(*AggregateExpr)
		return !sum
	})
	if !slices.Equal(seen, []string{"a"}) {
		t.Errorf("seen are %v", seen)
	}
}

func TestInvalidUTF8IsAnError(t *testing.T) {
	fails := func(text, want string) {
		t.Helper()
		if _, err := allOn().ParseExpr(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	fails("\xff", "1:1: parse error: unexpected character: '\uFFFD'")
	fails("foo{a=\"\xff\"}", "1:7: parse error: invalid UTF-8 rune")
	fails("a\n+ \xff", "2:3: parse error: unexpected character: '\uFFFD'")
}

func TestErrorsCarryQueryAndPosition(t *testing.T) {
	_, err := allOn().ParseExpr("rate(a) +\n abs(5)")
	var errs ParseErrors
	if !errors.As(err, &errs) || len(errs) != 2 {
		t.Fatalf("got %v", err)
	}
	if got, want := errs[1].Error(), "2:6: parse error: expected type instant vector in call to function \"abs\", got scalar"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := errs[1].PositionRange; got != (PositionRange{15, 16}) || errs[1].Query[got.Start:got.End] != "5" {
		t.Errorf("the error is at %v", got)
	}
}

func TestSelectors(t *testing.T) {
	sets, err := New(Options{}).ParseMetricSelectors([]string{`up`, `{job=~"a.*"}`})
	if err != nil || len(sets) != 2 || sets[0][0].String() != `__name__="up"` || sets[1][0].String() != `job=~"a.*"` {
		t.Errorf("got %v, %v", sets, err)
	}
	if _, err := New(Options{}).ParseMetricSelectors([]string{"up", "rate(up[5m])"}); err == nil {
		t.Error("a call is taken for a selector")
	}
}

func TestSeriesDescriptionsAreBounded(t *testing.T) {
	for _, text := range []string{"x 1x99999999999999999999", "x 1x9999999999", "x _x10000001", "x 0+1x9000000 1x9000000"} {
		if _, _, err := allOn().ParseSeriesDesc(text); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
