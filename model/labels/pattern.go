package labels

import (
	"strings"
	"unicode/utf8"
)

// pattern is literal text with gaps: head, then each of the parts after its gap, then the last gap and tail. Head and
// tail may be empty. Text is valid UTF-8, so comparing bytes is comparing runes.
//
// Matching never goes back. Head and tail have their places at the ends. From the left, a gap is tight if its end can
// only be in one place: it has a fixed length, or its class excludes what follows. After the tight gaps, a part is
// taken where it is found first, which is right as long as only free gaps follow.
type pattern struct {
	head, tail string
	parts      []part
	last       gap
	// tight is the number of leading parts whose gaps are tight.
	tight int
	// exact says that a match is a match of the expression; else it only may be one.
	exact bool
}

type part struct {
	gap  gap
	text string
}

// newPattern takes over its arguments. Gaps that are neither tight nor free are widened, which makes it inexact.
func newPattern(head string, parts []part, last gap, tail string, exact bool) pattern {
	p := pattern{head: head, parts: parts, last: last, tail: tail, exact: exact}
	for p.tight < len(parts) && parts[p.tight].gap.endsAt(parts[p.tight].text) {
		p.tight++
	}
	if p.tight < len(parts) {
		for i := p.tight; i < len(parts); i++ {
			p.free(&parts[i].gap)
		}
		p.free(&p.last)
	}
	return p
}

func (p *pattern) free(g *gap) {
	if !g.free() {
		*g = gap{min: g.min, max: unbounded}
		p.exact = false
	}
}

func (p *pattern) match(s string) bool {
	if len(s) < len(p.head)+len(p.tail) || !strings.HasPrefix(s, p.head) || !strings.HasSuffix(s, p.tail) {
		return false
	}
	s = s[len(p.head) : len(s)-len(p.tail)]
	for i := range p.parts {
		end := p.parts[i].end(s, i < p.tight)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return p.last.matches(s)
}

// end returns where the text ends in s, or -1 if it isn't there after the gap.
func (p *part) end(s string, tight bool) int {
	if tight {
		at := p.gap.run(s)
		if at < 0 || !strings.HasPrefix(s[at:], p.text) {
			return -1
		}
		return at + len(p.text)
	}
	at := p.gap.skip(s)
	if at < 0 {
		return -1
	}
	found := strings.Index(s[at:], p.text)
	if found < 0 {
		return -1
	}
	return at + found + len(p.text)
}

const unbounded = -1

// gap stands for min to max runes of a class. A nil class is that of all runes.
type gap struct {
	class    *runeClass
	min, max int
}

// free reports whether the gap holds anything that is long enough.
func (g *gap) free() bool { return g.class == nil && g.max == unbounded }

// endsAt reports whether the gap can only end in one place if part follows.
func (g *gap) endsAt(part string) bool {
	if g.min == g.max {
		return true
	}
	r, _ := utf8.DecodeRuneInString(part)
	return g.class != nil && !g.class.has(r)
}

// matches reports whether s as a whole fits into the gap.
func (g *gap) matches(s string) bool {
	if g.free() && g.min <= 1 {
		return len(s) >= g.min
	}
	return g.run(s) == len(s)
}

// run returns the length of the longest start of s that fits into the gap, or -1 if none does.
func (g *gap) run(s string) int {
	n, i := 0, 0
	for i < len(s) && n != g.max {
		size := 1
		if c := s[i]; c < utf8.RuneSelf {
			if g.class != nil && !g.class.ascii[c] {
				break
			}
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if g.class != nil && !g.class.has(r) {
				break
			}
		}
		n++
		i += size
	}
	if n < g.min {
		return -1
	}
	return i
}

// skip returns the length of the least that the gap takes of s, or -1 if s is too short. The gap is free.
func (g *gap) skip(s string) int {
	if g.min == 0 {
		return 0
	}
	least := gap{min: g.min, max: g.min}
	return least.run(s)
}
