package ruletest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
)

// dueAlertTests returns the tests of alerts whose time is in an interval, in the order of their times.
func (r *run) dueAlertTests(from, interval time.Duration) (due []*alertTest) {
	for i := range r.AlertRuleTests {
		if at := time.Duration(r.AlertRuleTests[i].EvalTime); at >= from && at-from < interval {
			due = append(due, &r.AlertRuleTests[i])
		}
	}
	slices.SortStableFunc(due, func(a, b *alertTest) int { return cmp.Compare(a.EvalTime, b.EvalTime) })
	return due
}

// checkAlerts compares the firing alerts of a name with those that are expected.
func (r *run) checkAlerts(t *alertTest) {
	var want, got []string
	for _, a := range t.ExpAlerts {
		ls := maps.Clone(a.ExpLabels)
		if ls == nil {
			ls = map[string]string{}
		}
		ls["alertname"] = t.Alertname
		want = append(want, describe(labels.FromMap(ls), a.ExpAnnotations))
	}
	for _, g := range r.groups {
		for _, rule := range g.Status().Rules {
			for _, a := range rule.Alerts {
				if rule.Name == t.Alertname && a.State == rules.StateFiring {
					got = append(got, describe(a.Labels, a.Annotations))
				}
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		r.fail(fmt.Sprintf("alertname: %s, time: %s", t.Alertname, t.EvalTime), want, got)
	}
}

// describe formats an alert; alerts are equal if their descriptions are.
func describe(ls labels.Labels, annotations map[string]string) string {
	pairs := make([]string, 0, len(annotations))
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", name, annotations[name]))
	}
	return "labels: " + ls.String() + "\nannotations: {" + strings.Join(pairs, ", ") + "}"
}

// checkExpr compares what an expression yields.
func (r *run) checkExpr(ctx context.Context, t *exprTest) {
	what := fmt.Sprintf("expr: %q, time: %s", t.Expr, t.EvalTime)
	got, err := r.query(ctx, t.Expr, t.EvalTime)
	if err != nil {
		r.failures = append(r.failures, fmt.Errorf("%s, err: %w", what, err))
		return
	}
	want, err := r.expected(t)
	if err != nil {
		r.failures = append(r.failures, fmt.Errorf("%s, err: %w", what, err))
		return
	}
	slices.SortStableFunc(want, compare)
	slices.SortStableFunc(got, compare)
	if !slices.EqualFunc(want, got, r.same) {
		r.fail(what, texts(want), texts(got))
	}
}

// yield is one element of what an expression yields.
type yield struct {
	labels    labels.Labels
	value     float64
	histogram string
}

func compare(a, b yield) int { return labels.Compare(a.labels, b.labels) }

func (r *run) same(a, b yield) bool {
	return labels.Equal(a.labels, b.labels) && r.floats(a.value, b.value) && a.histogram == b.histogram
}

func texts(all []yield) (lines []string) {
	for _, y := range all {
		text := y.histogram
		if text == "" {
			text = strconv.FormatFloat(y.value, 'g', -1, 64)
		}
		lines = append(lines, y.labels.String()+" "+text)
	}
	return lines
}

func (r *run) query(ctx context.Context, expr string, at model.Duration) (all []yield, err error) {
	res, err := r.engine.Instant(ctx, r.store, expr, promql.QueryOptions{}, r.start.Add(time.Duration(at)))
	if err != nil {
		return nil, err
	}
	switch v := res.Value.(type) {
	case promql.Scalar:
		return []yield{{value: v.V}}, nil
	case promql.Vector:
		for _, s := range v {
			all = append(all, yield{s.Labels, s.F, histogramText(s.H)})
		}
		return all, nil
	default:
		return nil, errors.New("rule result is not a vector or scalar")
	}
}

func (r *run) expected(t *exprTest) (all []yield, err error) {
	for _, s := range t.ExpSamples {
		y := yield{value: s.Value}
		if y.labels, err = r.opts.Parser.ParseMetric(s.Labels); err != nil {
			return nil, fmt.Errorf("labels %q: %w", s.Labels, err)
		}
		if s.Histogram != "" {
			if y.histogram, err = r.readHistogram(s.Histogram); err != nil {
				return nil, fmt.Errorf("labels %q: %w", s.Labels, err)
			}
		}
		all = append(all, y)
	}
	return all, nil
}

// readHistogram brings the text of a histogram into the form of [histogramText].
func (r *run) readHistogram(text string) (string, error) {
	_, values, err := r.opts.Parser.ParseSeriesDesc("{} " + text)
	switch {
	case err != nil:
		return "", err
	case len(values) != 1:
		return "", fmt.Errorf("expected 1 value, got %d", len(values))
	case values[0].Histogram == nil:
		return "", fmt.Errorf("expected histogram, got %v", values[0].Value)
	}
	return histogramText(values[0].Histogram), nil
}

// histogramText formats a histogram as test files have it; histograms are equal if their texts are.
func histogramText(h *histogram.FloatHistogram) string {
	if h == nil {
		return ""
	}
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	number := func(name string, v float64) {
		if v != 0 {
			add("%s:%g", name, v)
		}
	}
	if h.Schema != 0 {
		add("schema:%d", h.Schema)
	}
	number("count", h.Count)
	number("sum", h.Sum)
	number("z_bucket", h.ZeroCount)
	number("z_bucket_w", h.ZeroThreshold)
	if h.UsesCustomBuckets() {
		add("custom_values:%g", h.CustomValues)
	}
	switch h.CounterResetHint {
	case histogram.CounterReset:
		add("counter_reset_hint:reset")
	case histogram.NotCounterReset:
		add("counter_reset_hint:not_reset")
	case histogram.GaugeType:
		add("counter_reset_hint:gauge")
	case histogram.UnknownCounterReset:
	}
	for _, side := range []struct {
		prefix string
		spans  []histogram.Span
		counts []float64
	}{{"", h.PositiveSpans, h.PositiveBuckets}, {"n_", h.NegativeSpans, h.NegativeBuckets}} {
		offset, counts := dense(side.spans, side.counts)
		if offset != 0 {
			add("%soffset:%d", side.prefix, offset)
		}
		if len(counts) > 0 {
			add("%sbuckets:%g", side.prefix, counts)
		}
	}
	return "{{" + strings.Join(parts, " ") + "}}"
}

// dense returns the counts from the first to the last bucket that holds something, and the index of the first.
func dense(spans []histogram.Span, counts []float64) (offset int32, all []float64) {
	index, next := int32(0), 0
	for _, s := range spans {
		index += s.Offset
		for range s.Length {
			if n := counts[next]; n != 0 {
				if len(all) == 0 {
					offset = index
				}
				all = append(all, make([]float64, int(index-offset)-len(all))...)
				all = append(all, n)
			}
			index++
			next++
		}
	}
	return offset, all
}

func exactly(a, b float64) bool { return a == b }

// nearly also takes the two neighbours of a number for it.
func nearly(a, b float64) bool {
	return a == b || math.Nextafter(a, math.Inf(-1)) == b || math.Nextafter(a, math.Inf(1)) == b
}

// fail notes that lists differ.
func (r *run) fail(what string, want, got []string) {
	if r.opts.Diff {
		r.failures = append(r.failures, fmt.Errorf("%s,\n    diff (- expected, + got):%s", what, difference(want, got)))
		return
	}
	r.failures = append(r.failures, fmt.Errorf("%s,\n    exp:%s\n    got:%s", what, listed(want), listed(got)))
}

// listed formats a list, one entry a line.
func listed(items []string) string {
	if len(items) == 0 {
		return " nothing"
	}
	var b strings.Builder
	for _, item := range items {
		b.WriteString("\n      - " + strings.ReplaceAll(item, "\n", "\n        "))
	}
	return b.String()
}

// difference lists the lines that are in one of two sorted lists alone.
func difference(want, got []string) string {
	var b strings.Builder
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch {
		case j == len(got) || i < len(want) && want[i] < got[j]:
			b.WriteString("\n      - " + strings.ReplaceAll(want[i], "\n", "\n      - "))
			i++
		case i == len(want) || got[j] < want[i]:
			b.WriteString("\n      + " + strings.ReplaceAll(got[j], "\n", "\n      + "))
			j++
		default:
			i++
			j++
		}
	}
	return b.String()
}
