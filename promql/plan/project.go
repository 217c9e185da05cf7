package plan

import (
	"slices"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// projectLabels tells selectors which labels are needed: below an aggregation by labels no others are read, apart from
// those that annotations mention and that belong to the name.
//
//	sum by (job) (rate(x[5m]))  →  x is read with the labels __name__, __type__, __unit__ and job
//
// It takes a selector with one metric name: then series that lose their names stay different from each other, which
// could not be seen any more with labels missing.
func projectLabels(n Node) Node {
	Walk(n, func(n Node) {
		if a, ok := n.(*Aggregate); ok && !a.Without && foldsValues(a.Op) {
			a.project()
		}
	})
	return n
}

// foldsValues reports whether an aggregation looks at nothing of a series but its group and its values.
func foldsValues(op parser.AggregateOp) bool {
	switch op {
	case parser.AggTopK, parser.AggBottomK, parser.AggLimitK, parser.AggLimitRatio, parser.AggCountValues:
		return false
	default:
		return true
	}
}

func (n *Aggregate) project() {
	over := &n.Expr
	if inv, ok := (*over).(*StepInvariant); ok {
		over = &inv.Expr
	}
	switch e := (*over).(type) {
	case *Selector:
		e.project(n.Grouping)
	case *Window:
		s, ok := e.Over.(*Selector)
		if !ok || e.Func == "absent_over_time" {
			return
		}
		s.project(n.Grouping)
		e.NamesUnread = !e.KeepsName() && s.Hints.Project && !slices.ContainsFunc(n.Grouping, belongsToName)
	}
}

// NamesUnread reports whether the series of a part of a plan still have metric names that they should have lost.
func NamesUnread(n Node) bool {
	if inv, ok := n.(*StepInvariant); ok {
		n = inv.Expr
	}
	w, ok := n.(*Window)
	return ok && w.NamesUnread
}

func (n *Selector) project(grouping []string) {
	if !n.oneName() {
		return
	}
	needed := append([]string{labels.MetricName, labels.TypeLabel, labels.UnitLabel}, grouping...)
	slices.Sort(needed)
	n.Hints.Project, n.Hints.Labels = true, slices.Compact(needed)
}

// oneName reports whether all series of a selector have the same metric name.
func (n *Selector) oneName() bool {
	return slices.ContainsFunc(n.Matchers, func(m *labels.Matcher) bool {
		return m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value != ""
	})
}

// belongsToName reports whether a label goes when the name goes.
func belongsToName(label string) bool {
	return label == labels.MetricName || label == labels.TypeLabel || label == labels.UnitLabel
}
