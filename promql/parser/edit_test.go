package parser

import (
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

// edited returns the printed result of an edit, or its error.
func edited(e Expr, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return e.String()
}

func TestSetMatcher(t *testing.T) {
	check := func(text string, typ labels.MatchType, name, value, want string) {
		t.Helper()
		got := edited(allOn().SetMatcher(text, labels.MustNewMatcher(typ, name, value)))
		if got != want && (!strings.HasPrefix(want, "error: ") || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	check("up", labels.MatchEqual, "job", "a", `up{job="a"}`)
	check(`up{job="x",job!="y",z="1"}`, labels.MatchRegexp, "job", "a.*", `up{job=~"a.*",z="1"}`)
	check(`rate(a[5m]) / on (x) sum(max_over_time(b{c="d"}[1h:1m] @ end() offset 1m))`, labels.MatchNotEqual, "e", `"`,
		`rate(a{e!="\""}[5m]) / on (x) sum(max_over_time(b{c="d",e!="\""}[1h:1m] @ end() offset 1m))`)
	check("up", labels.MatchEqual, "__name__", "down", "down")
	check("up", labels.MatchEqual, "__name__", "my.name", `{__name__="my.name"}`)
	check(`up{a="b"}`, labels.MatchRegexp, "__name__", "u.", `{__name__=~"u.",a="b"}`)
	check("up", labels.MatchEqual, "my.label", "a", `up{"my.label"="a"}`)
	check("1 + 2", labels.MatchEqual, "job", "a", "1 + 2")
	check("up", labels.MatchEqual, "__name__", "", "error: it would become {__name__=\"\"}, which is no query")
	check("sum(", labels.MatchEqual, "job", "a", "error: 1:5: ")
}

func TestDropMatchers(t *testing.T) {
	check := func(text, name, want string) {
		t.Helper()
		got := edited(allOn().DropMatchers(text, name))
		if got != want && (!strings.HasPrefix(want, "error: ") || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	check(`up{job="a",job!="b"}`, "job", "up")
	check(`sum by (job) (rate(up{job="a",x="y"}[5m]))`, "job", `sum by (job) (rate(up{x="y"}[5m]))`)
	check(`up{x="y"}`, "__name__", `{x="y"}`)
	check("up", "job", "up")
	check("up", "__name__", "error: it would become {}, which is no query")
	check(`{job="a"}`, "job", "error: it would become {}, which is no query")
}

// TestEditedTreesHaveTheirPositions parses what an edit returns anew, and finds each node where the edit says it is.
func TestEditedTreesHaveTheirPositions(t *testing.T) {
	e, err := allOn().SetMatcher("sum(up) + sum(down)", labels.MustNewMatcher(labels.MatchEqual, "job", "a"))
	if err != nil {
		t.Fatal(err)
	}
	text := e.String()
	Inspect(e, func(n Node, _ []Node) bool {
		if at := n.PositionRange(); text[at.Start:at.End] != n.String() {
			t.Errorf("%s is said to be at %q", n, text[at.Start:at.End])
		}
		return true
	})
}
