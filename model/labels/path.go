package labels

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// path is an alternative of an expression while it is being walked. It is copied where alternatives branch off; what
// is appended to one copy does not show in another that is walked later.
type path struct {
	// text is all literal text, gaps[i] lies before text[at[i]].
	text []byte
	gaps []gap
	at   []int
	// inexact says that the path lets through more than the expression does.
	inexact bool
	// ended says that the end of the value has been asked for.
	ended bool
}

func (p *path) addRune(r rune) {
	p.inexact = p.inexact || p.ended
	p.text = utf8.AppendRune(p.text, r)
}

// addGap adds a gap, to the one that the path ends in, if it does. Together, different classes make an unknown.
func (p *path) addGap(g gap) {
	if g.max == 0 {
		return
	}
	p.inexact = p.inexact || p.ended
	n := len(p.gaps)
	if n == 0 || p.at[n-1] != len(p.text) {
		p.gaps, p.at = append(p.gaps, g), append(p.at, len(p.text))
		return
	}
	last := p.gaps[n-1]
	switch {
	case !last.class.equal(g.class):
		p.inexact = true
		g = gap{min: last.min + g.min, max: unbounded}
	case last.max == unbounded || g.max == unbounded:
		g.min, g.max = last.min+g.min, unbounded
	default:
		g.min, g.max = last.min+g.min, last.max+g.max
	}
	// Other copies share the gap.
	p.gaps = append(slices.Clone(p.gaps[:n-1]), g)
}

// addUnknown adds a gap that low to high runes of an unknown sort fit into.
func (p *path) addUnknown(low, high int) {
	p.inexact = true
	p.addGap(gap{min: low, max: high})
}

// addAssertion adds what takes no room but asks for its place.
func (p *path) addAssertion(op syntax.Op) {
	switch {
	case op == syntax.OpEndText:
		p.ended = true
	case op != syntax.OpBeginText || len(p.text) > 0 || len(p.gaps) > 0:
		p.inexact = true
	}
}

// pattern returns the path as a pattern. Text alone gets a gap for nothing.
func (p *path) pattern() pattern {
	text := string(p.text)
	if len(p.gaps) == 0 {
		return newPattern(text, nil, gap{}, "", !p.inexact)
	}
	last := len(p.gaps) - 1
	var parts []part
	for i, g := range p.gaps[:last] {
		parts = append(parts, part{g, text[p.at[i]:p.at[i+1]]})
	}
	return newPattern(text[:p.at[0]], parts, p.gaps[last], text[p.at[last]:], !p.inexact)
}
