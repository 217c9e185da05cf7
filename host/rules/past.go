package rules

import (
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// Name returns the group's name.
func (g *Group) Name() string { return g.name }

// File returns the path of the file that the group is from.
func (g *Group) File() string { return g.file }

// Interval returns the time between two evaluations.
func (g *Group) Interval() time.Duration { return g.interval }

// Offset returns how far before the time of its evaluation the group looks.
func (g *Group) Offset() time.Duration { return g.offset }

// Next returns the first moment of the group's schedule that is not before t.
func (g *Group) Next(t time.Time) time.Time {
	at := g.slot(t)
	if at.Before(t) {
		at = at.Add(g.interval)
	}
	return at
}

// Recording is a recording rule of a group.
type Recording struct {
	Group *Group
	// Derived says that the rule may read what other recording rules write.
	Derived bool
	// Pinned says that what the expression yields at one time depends on where a range query starts and ends.
	Pinned bool
	rule   *rule
}

// Query returns the expression.
func (r *Recording) Query() string { return r.rule.query }

// Name returns the name of the series that the rule makes.
func (r *Recording) Name() string { return r.rule.name }

// Labels returns the labels of the series that is made of one that the expression yields.
func (r *Recording) Labels(ls labels.Labels) labels.Labels {
	b := labels.NewBuilder(ls)
	b.Set(labels.MetricName, r.rule.name)
	for name, value := range r.rule.labels.All() {
		b.Set(name, value)
	}
	return b.Labels()
}

// Recordings returns the recording rules of groups, in the order in which they are to be evaluated for the same range of
// time, so that each finds what it reads: that of the files, without those that need others ahead of them.
func Recordings(groups []*Group) (ordered []Recording) {
	var all []Recording
	var rules []*rule
	for _, g := range groups {
		for _, r := range g.rules {
			if r.alerting == nil {
				all = append(all, Recording{Group: g, rule: r, Pinned: pinned(r.expr)})
				rules = append(rules, r)
			}
		}
	}
	known := factsOfAll(rules)
	for i := range all {
		all[i].Derived = readsAny(known, i)
	}
	for _, batch := range batches(rules) {
		for _, i := range batch {
			ordered = append(ordered, all[i])
		}
	}
	return ordered
}

// Expressions returns the expressions of groups that yield for each time of a range what they yield for this time alone.
func Expressions(groups []*Group) map[string]bool {
	found := map[string]bool{}
	for _, g := range groups {
		for _, r := range g.rules {
			if !pinned(r.expr) {
				found[r.query] = true
			}
		}
	}
	return found
}

// Ahead returns those of [Expressions] that can be evaluated for a range before other rules have been evaluated for the
// times in it: they read nothing that rules write.
func Ahead(groups []*Group) map[string]bool {
	var rules []*rule
	for _, g := range groups {
		rules = append(rules, g.rules...)
	}
	known, found := factsOfAll(rules), Expressions(groups)
	for i, r := range rules {
		if readsAny(known, i) {
			delete(found, r.query)
		}
	}
	return found
}

func factsOfAll(rules []*rule) []facts {
	known := make([]facts, len(rules))
	for i, r := range rules {
		known[i] = factsOf(r)
	}
	return known
}

// readsAny reports whether rule i may read what any rule writes.
func readsAny(known []facts, i int) bool {
	if known[i].everything {
		return true
	}
	for j := range known {
		if known[i].mayRead(&known[j]) {
			return true
		}
	}
	return false
}

// pinned reports whether an expression refers to the start, end or step of the query that it is part of.
func pinned(expr parser.Expr) (found bool) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) bool {
		switch n := n.(type) {
		case *parser.VectorSelector:
			found = found || n.StartOrEnd != parser.AnchorNone
		case *parser.SubqueryExpr:
			found = found || n.StartOrEnd != parser.AnchorNone
		case *parser.DurationExpr:
			found = true
		case *parser.Call:
			switch n.Func.Name {
			case "start", "end", "step", "range":
				found = true
			}
		}
		return true
	})
	return found
}
