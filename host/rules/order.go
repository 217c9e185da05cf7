package rules

import (
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// batches splits the rules of a group into batches, to be evaluated one after the other, such that the rules of a batch
// can be evaluated in any order, or at the same time, with the same outcome as one by one in the order of the file. Two
// rules must keep their order if one reads what the other writes, or if both may write the same series.
func batches(rules []*rule) [][]int {
	facts := make([]facts, len(rules))
	for i, r := range rules {
		facts[i] = factsOf(r)
	}
	level := make([]int, len(rules))
	var out [][]int
	for i := range rules {
		for j := range i {
			if level[j] >= level[i] && facts[i].conflicts(&facts[j]) {
				level[i] = level[j] + 1
			}
		}
		if level[i] == len(out) {
			out = append(out, nil)
		}
		out[level[i]] = append(out[level[i]], i)
	}
	return out
}

// facts are what is known about a rule before it is evaluated.
type facts struct {
	// reads are the selectors of the expression; everything says that it may read any series.
	reads      [][]*labels.Matcher
	everything bool
	// names are those of the series that it writes, fixed their labels whose values are known.
	names []string
	fixed labels.Labels
}

func factsOf(r *rule) facts {
	f := facts{names: []string{r.name}, fixed: r.labels}
	parser.Inspect(r.expr, func(n parser.Node, _ []parser.Node) bool {
		switch n := n.(type) {
		case *parser.VectorSelector:
			f.reads = append(f.reads, n.Matchers)
		case *parser.Call:
			f.everything = f.everything || n.Func.Name == "info" // Which series it looks up shows in the data.
		}
		return true
	})
	a := r.alerting
	if a == nil {
		return f
	}
	b := labels.NewBuilder(labels.Labels{})
	for _, t := range a.labelTexts {
		if f.everything = f.everything || t.text.Queries(); t.text.Literal() {
			b.Set(t.name, r.labels.Get(t.name))
		}
	}
	for _, t := range a.annotationTexts {
		f.everything = f.everything || t.text.Queries()
	}
	f.names, f.fixed = []string{alertsName, forStateName}, b.Set(alertName, r.name).Labels()
	return f
}

// conflicts reports whether two rules must keep their order.
func (f *facts) conflicts(other *facts) bool {
	return f.everything || other.everything || f.mayRead(other) || other.mayRead(f) || f.mayShare(other)
}

// mayRead reports whether f may read what other writes.
func (f *facts) mayRead(other *facts) bool {
	for _, selector := range f.reads {
		for _, name := range other.names {
			if other.maySelect(selector, name) {
				return true
			}
		}
	}
	return false
}

// maySelect reports whether a selector may select a series of f with that name.
func (f *facts) maySelect(selector []*labels.Matcher, name string) bool {
	for _, m := range selector {
		known := f.fixed.Get(m.Name)
		if m.Name == labels.MetricName {
			known = name
		}
		if known != "" && !m.Matches(known) {
			return false
		}
	}
	return true
}

// mayShare reports whether both may write the same series.
func (f *facts) mayShare(other *facts) bool {
	if f.names[0] != other.names[0] {
		return false
	}
	for name, value := range f.fixed.All() {
		if v := other.fixed.Get(name); v != "" && v != value {
			return false
		}
	}
	return true
}
