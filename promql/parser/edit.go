package parser

import (
	"fmt"

	"github.com/narthex-io/narthex/model/labels"
)

// SetMatcher parses an expression and returns it with m as the only matcher of each selector for m's label: in the place of
// those that it has, or added to it. What would not parse any more is an error.
func (p *Parser) SetMatcher(text string, m *labels.Matcher) (Expr, error) {
	return p.edit(text, m.Name, m)
}

// DropMatchers parses an expression and returns it without the matchers for a label. What would not parse any more is an
// error, as where a selector is left that matches everything.
func (p *Parser) DropMatchers(text, label string) (Expr, error) {
	return p.edit(text, label, nil)
}

// edit changes a tree that nobody else has seen, and returns that of its text, in which all positions are right.
func (p *Parser) edit(text, label string, with *labels.Matcher) (Expr, error) {
	e, err := p.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	Inspect(e, func(n Node, _ []Node) bool {
		if v, ok := n.(*VectorSelector); ok {
			v.replace(label, with)
		}
		return true
	})
	edited, err := p.ParseExpr(e.String())
	if err != nil {
		return nil, fmt.Errorf("it would become %s, which is no query: %w", e, err)
	}
	return edited, nil
}

// replace puts a matcher, unless it is nil, in the place of all those for a label.
func (v *VectorSelector) replace(label string, with *labels.Matcher) {
	kept := v.Matchers[:0]
	for _, m := range v.Matchers {
		if m.Name != label {
			kept = append(kept, m)
		}
	}
	if with != nil {
		kept = append(kept, with)
	}
	v.Matchers = kept
	if label != labels.MetricName {
		return
	}
	v.Name = ""
	if with != nil && with.Type == labels.MatchEqual && labels.IsValidLegacyMetricName(with.Value) {
		v.Name = with.Value
	}
}
