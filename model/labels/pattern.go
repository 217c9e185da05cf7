package labels

import (
	"strings"
	"unicode/utf8"
)

// pattern is literal text with gaps: parts[0] gaps[0] parts[1] … gaps[n-1] parts[n], with at least one gap. The first
// and the last part may be empty. Parts are valid UTF-8, so comparing bytes is comparing runes.
//
// Matching never goes back. The first and the last part have their places at the ends. From the left, a gap is tight
// if its end can only be in one place: it has a fixed length, or its class excludes what follows. After the tight gaps,
// a part is taken where it is found first, which is right as long as only free gaps follow.
type pattern struct {
	parts []string
	gaps  []gap
	// tight is the number of leading gaps that are tight. The last gap is none of them: it is what remains.
	tight int
	// exact says that a match is a match of the expression; else it only may be one.
	exact bool
}

// newPattern takes over its arguments. Gaps that are neither tight nor free are widened, which makes it inexact.
func newPattern(parts []string, gaps []gap, exact bool) pattern {
	p := pattern{parts: parts, gaps: gaps, exact: exact}
	last := len(gaps) - 1
	for p.tight < last && gaps[p.tight].endsAt(parts[p.tight+1]) {
		p.tight++
	}
	if p.tight == last {
		return p
	}
	for i := p.tight; i <= last; i++ {
		if !gaps[i].free() {
			gaps[i] = gap{min: gaps[i].min, max: unbounded}
			p.exact = false
		}
	}
	return p
}

func (p *pattern) match(s string) bool {
	last := len(p.gaps) - 1
	head, tail := p.parts[0], p.parts[last+1]
	if len(s) < len(head)+len(tail) || !strings.HasPrefix(s, head) || !strings.HasSuffix(s, tail) {
		return false
	}
	s = s[len(head) : len(s)-len(tail)]
	for i := range last {
		g, part := &p.gaps[i], p.parts[i+1]
		at := 0
		if i < p.tight {
			at = g.run(s)
			if at < 0 || !strings.HasPrefix(s[at:], part) {
				return false
			}
		} else {
			skipped := g.skip(s)
			if skipped < 0 {
				return false
			}
			found := strings.Index(s[skipped:], part)
			if found < 0 {
				return false
			}
			at = skipped + found
		}
		s = s[at+len(part):]
	}
	return p.gaps[last].matches(s)
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
	i := 0
	for n := 0; n != g.max; n++ {
		if i == len(s) || g.class != nil && !g.class.starts(s[i:]) {
			if n < g.min {
				return -1
			}
			break
		}
		i += runeLen(s[i:])
	}
	return i
}

// skip returns the length of the least that the gap takes of s, or -1 if s is too short. The gap is free.
func (g *gap) skip(s string) int {
	least := gap{min: g.min, max: g.min}
	return least.run(s)
}

func runeLen(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}
