package plan

import (
	"slices"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql/parser"
)

// Info adds labels of info series to the series of an expression.
type Info struct {
	Expr Node
	// Names select the names of info metrics, Data their other labels.
	Names, Data []*labels.Matcher
	// Shift is where info series are looked at: at the time of the samples that the expression is made of.
	Shift
	position
}

// Type implements [Node].
func (*Info) Type() parser.ValueType { return parser.ValueTypeVector }

func (n *Info) children() []*Node { return []*Node{&n.Expr} }

func (b *builder) info(e *parser.Call) (Node, error) {
	child, err := b.lower(e.Args[0], Hints{Func: e.Func.Name})
	if err != nil {
		return nil, err
	}
	n := &Info{Expr: child, Shift: commonShift(child), position: position{e.PosRange}}
	if len(e.Args) > 1 {
		if s, ok := e.Args[1].(*parser.VectorSelector); ok {
			for _, m := range s.Matchers {
				if m.Name == labels.MetricName {
					n.Names = append(n.Names, m)
				} else {
					n.Data = append(n.Data, m)
				}
			}
		}
	}
	n.Names = infoNames(n.Names)
	return n, nil
}

// infoNames adds a matcher unless one says which names are meant, and not just which are not.
func infoNames(ms []*labels.Matcher) []*labels.Matcher {
	for _, m := range ms {
		if m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp {
			return ms
		}
	}
	if len(ms) == 0 {
		return []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "target_info")}
	}
	return append([]*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+_info")}, ms...)
}

// commonShift returns the shift that all selectors of a plan have in common, those of the subqueries around them
// included; if they have none in common, it is none.
func commonShift(n Node) Shift {
	var c shifts
	c.visit(n, nil)
	if c.differ || c.first == nil {
		return Shift{}
	}
	return *c.first
}

type shifts struct {
	first  *Shift
	differ bool
}

// visit looks at a node below some subqueries, the innermost last, and reports whether a selector is in it.
func (c *shifts) visit(n Node, around []*Subquery) bool {
	if t := n.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeMatrix {
		return false
	}
	switch n := n.(type) {
	case *Selector:
		c.add(n.within(around))
		return true
	case *Subquery:
		around = append(slices.Clip(around), n)
	}
	found := false
	for _, child := range n.children() {
		found = c.visit(*child, around) || found
	}
	if !found {
		c.differ = true // A vector that comes from nowhere is of the time of evaluation.
	}
	return found
}

func (c *shifts) add(s Shift) {
	if c.first == nil {
		c.first = &s
	} else if (s.At == nil) != (c.first.At == nil) || s.Reference(0) != c.first.Reference(0) {
		c.differ = true
	}
}

// within returns the shift of a selector as seen from outside of the subqueries around it. Those outside of an @ do
// not matter.
func (s Shift) within(around []*Subquery) Shift {
	for i := len(around) - 1; i >= 0 && s.At == nil; i-- {
		s.Offset += around[i].Offset
		s.At = around[i].At
	}
	return s
}
