package parser

import (
	"fmt"

	"github.com/narthex-io/narthex/model/labels"
)

// SetMatcher parses an expression and returns it with m as the only matcher for its label in each selector, whether there
// were others or none. It is an error if the result cannot be parsed any more.
func (p *Parser) SetMatcher(text string, m *labels.Matcher) (Expr, error) {
	return p.edit(text, m.Name, m)
}

// DropMatchers parses an expression and returns it without the matchers for a label. It is an error if the result cannot be
// parsed any more, as when a selector is left that matches everything.
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

// replace replaces all matchers for a label by one, or by none if that is nil.
func (e *VectorSelector) replace(label string, with *labels.Matcher) {
	kept := e.Matchers[:0]
	for _, m := range e.Matchers {
		if m.Name != label {
			kept = append(kept, m)
		}
	}
	if with != nil {
		kept = append(kept, with)
	}
	e.Matchers = kept
	if label != labels.MetricName {
		return
	}
	e.Name = ""
	if with != nil && with.Type == labels.MatchEqual && labels.IsValidLegacyMetricName(with.Value) {
		e.Name = with.Value
	}
}
