package plan

import (
	"slices"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// propagateMatchers copies matchers from one operand of a binary operator to the other, where series that they leave
// out could not have found a partner:
//
//	errors{zone="a"} / requests  →  errors{zone="a"} / requests{zone="a"}
//
// Annotations and errors must not get lost. So operands must be silent, which means that none of their series can lead to
// one: those of a rate can, as it tells of histograms among floats. And on the side where a group may have one element only,
// it must not be possible that it has several, as they would be an error even without a partner.
func propagateMatchers(n Node) Node {
	Walk(n, func(n Node) {
		b, ok := n.(*Binary)
		if !ok || b.Matching == nil || b.Matching.FillLHS != nil || b.Matching.FillRHS != nil {
			return
		}
		l, r := operandOf(b.LHS), operandOf(b.RHS)
		if l == nil || r == nil {
			return
		}
		switch {
		case b.Op == parser.OpOr:
		case b.Op == parser.OpUnless:
			b.propagate(l, r)
		case b.Op == parser.OpAnd, b.Matching.Card == parser.CardOneToMany && l.unique(b.Matching),
			b.Matching.Card != parser.CardOneToMany && r.unique(b.Matching):
			before := l.selector.Matchers
			b.propagate(r, l)
			if len(l.selector.Matchers) != len(before) {
				// What came from the right is there already.
				b.propagate(&operand{selector: &Selector{Matchers: before}, keeps: l.keeps}, r)
			} else {
				b.propagate(l, r)
			}
		}
	})
	return n
}

// operand is a silent part of a plan over one selector.
type operand struct {
	selector *Selector
	// keeps reports whether each series of the result has the label's value of the series that it is made of.
	keeps func(label string) bool
	// groups are the labels of an aggregation, which make a series unique; nil if there is none.
	groups []string
	// whole says that the selector must not lose any series: those that become the same without their names are an error.
	whole bool
}

// operandOf returns nil if a part of a plan is not silent, or has not one selector.
func operandOf(n Node) *operand {
	switch n := n.(type) {
	case *StepInvariant:
		return operandOf(n.Expr)
	case *Selector:
		if n.Smoothed || n.Anchored {
			return nil
		}
		return &operand{selector: n, keeps: func(label string) bool { return label != labels.MetricName }}
	case *Window:
		return n.operand()
	case *Aggregate:
		child := operandOf(n.Expr)
		if child == nil || n.Without || n.Op != parser.AggCount && n.Op != parser.AggGroup {
			return nil
		}
		return &operand{
			selector: child.selector,
			keeps:    func(label string) bool { return slices.Contains(n.Grouping, label) && child.keeps(label) },
			groups:   append([]string{}, n.Grouping...),
			whole:    child.whole,
		}
	default:
		return nil
	}
}

// operand is operandOf for functions that take floats and histograms alike: only those have nothing to tell.
func (n *Window) operand() *operand {
	s, ok := n.Over.(*Selector)
	if !ok || !slices.Contains([]string{"count_over_time", "last_over_time", "first_over_time", "present_over_time"}, n.Func) {
		return nil
	}
	o := operandOf(s)
	if o != nil && !n.KeepsName() {
		o.keeps, o.whole = func(label string) bool { return !belongsToName(label) }, true
	}
	return o
}

// unique reports whether no two series of an operand can be in the same match group.
func (o *operand) unique(m *parser.VectorMatching) bool {
	if o.groups != nil {
		return !slices.ContainsFunc(o.groups, func(label string) bool { return !matchesBy(m, label) })
	}
	return !m.On && len(m.Labels) == 0 && o.selector.oneName()
}

// matchesBy reports whether elements must agree in a label to be matched.
func matchesBy(m *parser.VectorMatching, label string) bool {
	return label != labels.MetricName && slices.Contains(m.Labels, label) == m.On
}

// propagate adds the matchers of one operand to the selector of the other, as far as both keep the label and are
// matched by it.
func (n *Binary) propagate(from, to *operand) {
	if to.whole {
		return
	}
	have := make(map[string]bool, len(to.selector.Matchers))
	for _, m := range to.selector.Matchers {
		have[m.String()] = true
	}
	matchers := slices.Clip(to.selector.Matchers) // Others may have the same array.
	for _, m := range from.selector.Matchers {
		if !matchesBy(n.Matching, m.Name) || !from.keeps(m.Name) || !to.keeps(m.Name) {
			continue
		}
		if text := m.String(); !have[text] {
			have[text] = true
			matchers = append(matchers, m)
		}
	}
	to.selector.Matchers = matchers
}
