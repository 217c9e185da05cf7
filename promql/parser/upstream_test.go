package parser

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// observation is what Prometheus makes of a text, as it was observed from outside: testdata/upstream.jsonl.
type observation struct {
	// Mode is what the text is parsed as: expr with all features on, default with none, selector, metric or series.
	Mode, Input string
	Error       string
	ErrorPos    [2]int
	// Text is the expression printed, Pretty over several lines where that is something else.
	Text, Pretty string
	// Nodes are all nodes, parents first, each as its type, position and type of value.
	Nodes []string
}

func TestAgreesWithUpstream(t *testing.T) {
	differences := intendedDifferences()
	for _, want := range observations(t) {
		got := observe(want.Mode, want.Input)
		reason, intended := differences[want.Input]
		if problem := compare(got, want); (problem != "") != intended {
			t.Errorf("%s %q: intended difference %q\n%s", want.Mode, want.Input, reason, problem)
		}
	}
}

func observations(tb testing.TB) []observation {
	tb.Helper()
	f, err := os.Open("testdata/upstream.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var all []observation
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var o observation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			tb.Fatal(err)
		}
		all = append(all, o)
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
	return all
}

func observe(mode, input string) observation {
	p := New(Options{EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true, EnableBinopFillModifiers: true})
	if mode == "default" {
		p = New(Options{})
	}
	o := observation{Mode: mode, Input: input}
	var err error
	switch mode {
	case "selector":
		matchers, parseErr := p.ParseMetricSelector(input)
		texts := make([]string, 0, len(matchers))
		for _, m := range matchers {
			texts = append(texts, m.String())
		}
		o.Text, err = strings.Join(texts, ","), parseErr
	case "metric":
		ls, parseErr := p.ParseMetric(input)
		o.Text, err = ls.String(), parseErr
	case "series":
		ls, values, parseErr := p.ParseSeriesDesc(input)
		o.Text, err = ls.String(), parseErr
		for _, v := range values {
			o.Text += describe(v)
		}
	default:
		e, parseErr := p.ParseExpr(input)
		if err = parseErr; err == nil {
			o.Text, o.Pretty, o.Nodes = e.String(), Pretty(e), nodes(e)
		}
	}
	if err != nil {
		o.Text, o.Error = "", err.Error()
		if errs, ok := errors.AsType[ParseErrors](err); ok {
			o.ErrorPos = [2]int{errs[0].PositionRange.Start, errs[0].PositionRange.End}
		}
	}
	if o.Pretty == o.Text {
		o.Pretty = ""
	}
	return o
}

func describe(v SequenceValue) string {
	text := fmt.Sprintf(" %v", v.Value)
	if h := v.Histogram; h != nil {
		text = fmt.Sprintf(" {%d %d %v %v %v %v %v%v%v%v%v}", h.CounterResetHint, h.Schema, h.ZeroThreshold, h.ZeroCount,
			h.Count, h.Sum, h.PositiveSpans, h.PositiveBuckets, h.NegativeSpans, h.NegativeBuckets, h.CustomValues)
	}
	if v.Omitted {
		text = " _"
	}
	if v.CounterResetHintSet {
		text += "!"
	}
	return text
}

func nodes(root Expr) []string {
	var all []string
	Inspect(root, func(n Node, _ []Node) bool {
		pos := n.PositionRange()
		all = append(all, fmt.Sprintf("%s %d-%d %s", strings.TrimPrefix(fmt.Sprintf("%T", n), "*parser."), pos.Start, pos.End, n.(Expr).Type()))
		return true
	})
	return all
}

func compare(got, want observation) string {
	g, _ := json.MarshalIndent(got, "", " ")
	w, _ := json.MarshalIndent(want, "", " ")
	if string(g) == string(w) {
		return ""
	}
	return fmt.Sprintf("got %s\nwant %s", g, w)
}

// intendedDifferences are the texts that we treat differently, with the reason.
func intendedDifferences() map[string]string {
	const (
		finer     = "we print durations shorter than a millisecond as seconds, so that they parse to the same again"
		emptyInfo = "we print the empty matchers of info, so that they parse to the same again"
		colon     = "a subquery's range may be step() or range() alone, as it may be any other calculation"
		bounds    = "a time that does not fit is an error, not some other time"
		closing   = "the position ends where the modifier does, not at the parenthesis behind it"
		without   = "without is a label name like any other keyword"
		compact   = "sums of histograms have no empty buckets"
		lenient   = "blanks and empty lists do no harm in a histogram"
		integer   = "the message names what is wrong"
		lastLabel = "a label set holds a name once"
	)
	return map[string]string{
		"foo[0.0001]":              finer,
		"foo[0.0005]":              finer,
		"a[1:0.0001]":              finer,
		"info(foo, {})":            emptyInfo,
		"info(rate(foo[5m]), {})":  emptyInfo,
		"info(foo, {}) + 1":        emptyInfo,
		"info(foo,{} offset 5m)":   emptyInfo,
		"foo[range():1m]":          colon,
		"a[step():]":               colon,
		"a[step():5m]":             colon,
		"a[step():step()]":         colon,
		"a[range() : 5m]":          colon,
		"a[(range()):5m]":          colon,
		"a[STEP():5m]":             colon,
		"foo[-step():1m]":          colon,
		"sum without(without) (x)": without,
		"sum by(without, by) (x)":  without,
		"foo {{count:3 buckets:[1 1 1]}}-{{count:1 buckets:[1]}}x2": compact,
		"foo {{buckets:[1 0 0 2]}}+{{buckets:[0 1]}}x2":             compact,
		"foo {{ sum:1 }}":           lenient,
		"foo {{buckets:[]}}":        lenient,
		"foo {{buckets:[ 1 2 ]}}":   lenient,
		" 1":                        "a series may have no labels and no braces",
		"foo {{schema:1.5}}":        integer,
		"foo {{offset:1.5}}":        integer,
		`foo {{count:"a"}}`:         integer,
		"foo @ 9223372036854775":    bounds,
		"foo @ 9223372036854776":    bounds,
		"foo @ -9223372036854775":   bounds,
		"foo offset NaN":            bounds,
		"foo offset -Inf":           "the error points at the number, not at its sign",
		"(foo offset (5m) )":        closing,
		"abs(foo offset (step()) )": closing,
		"106751d23h47m16s854ms":     "the last millisecond is not lost",
		`foo{a="b",a="c",c="d"}`:    lastLabel,
		`{"a","b",c="d"}`:           lastLabel,
	}
}
