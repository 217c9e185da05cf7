package labels

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

const (
	// maxLiterals and maxPatterns bound what an expression is expanded into. An expression that lists more literals
	// than that may have one for each of its bytes.
	maxLiterals = 256
	maxPatterns = 128
	// maxSteps bounds the work of one attempt, in nodes visited and runs of 16 bytes copied; each byte of the
	// expression allows for some more. A step takes some 50 ns.
	maxSteps = 4096
)

// Each attempt to expand an expression leaves more of it in one piece; the first leaves nothing.
const (
	// keepClasses makes classes of runes gaps.
	keepClasses = iota + 1
	// keepChoices makes everything that has several alternatives an unknown.
	keepChoices
	attempts
)

// expansion turns an expression into literals and patterns of which one matches whenever the expression does.
type expansion struct {
	literals []string
	patterns []pattern
	// fold says that they are in folded case.
	fold bool

	attempt      int
	steps        int
	literalLimit int
}

// expand expands an expression of size bytes.
func expand(re *syntax.Regexp, size int) *expansion {
	fold := contains(re, ignoresCase) && !contains(re, heedsCase)
	for attempt := range attempts {
		x := &expansion{
			fold:         fold,
			attempt:      attempt,
			steps:        maxSteps + 2*size,
			literalLimit: max(maxLiterals, size),
		}
		x.walk(path{}, &todo{re: re})
		if x.steps >= 0 {
			return x
		}
	}
	return &expansion{patterns: []pattern{{last: gap{max: unbounded}}}}
}

// contains reports whether a part of the expression is what is looked for.
func contains(re *syntax.Regexp, is func(*syntax.Regexp) bool) bool {
	return is(re) || slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return contains(sub, is) })
}

func ignoresCase(re *syntax.Regexp) bool {
	return re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase != 0
}

// heedsCase reports whether a literal or class would be another one in folded case.
func heedsCase(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return re.Flags&syntax.FoldCase == 0 &&
			slices.ContainsFunc(re.Rune, func(r rune) bool { return unicode.SimpleFold(r) != r })
	case syntax.OpCharClass:
		return !closedUnderFolding(re.Rune)
	}
	return false
}

// todo lists what is left to walk of an alternative. A nil re stands for an unknown.
type todo struct {
	re   *syntax.Regexp
	next *todo
}

// spend takes from the work allowed and reports whether there was enough left.
func (x *expansion) spend(steps int) bool {
	x.steps -= steps
	return x.steps >= 0
}

// walk follows an alternative to its end, and others from where they branch off.
func (x *expansion) walk(p path, next *todo) {
	for next != nil {
		if !x.spend(1) {
			return
		}
		re := next.re
		next = next.next
		if re == nil {
			p.addUnknown(0, unbounded)
			continue
		}
		switch re.Op {
		case syntax.OpNoMatch:
			return
		case syntax.OpEmptyMatch:
		case syntax.OpLiteral:
			next = x.literal(&p, re, next)
		case syntax.OpCapture:
			next = &todo{re.Sub[0], next}
		case syntax.OpConcat:
			x.spend(len(re.Sub))
			for _, sub := range slices.Backward(re.Sub) {
				next = &todo{sub, next}
			}
		case syntax.OpAlternate:
			next = x.alternate(p, re, next)
		case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
			x.class(&p, re, next)
		case syntax.OpQuest:
			next = x.repeat(&p, re.Sub[0], 0, 1, next)
		case syntax.OpStar:
			next = x.repeat(&p, re.Sub[0], 0, unbounded, next)
		case syntax.OpPlus:
			next = x.repeat(&p, re.Sub[0], 1, unbounded, next)
		case syntax.OpRepeat:
			next = x.repeat(&p, re.Sub[0], re.Min, re.Max, next)
		default:
			p.addAssertion(re.Op)
		}
	}
	x.emit(&p)
}

func (x *expansion) literal(p *path, re *syntax.Regexp, next *todo) *todo {
	folded := re.Flags&syntax.FoldCase != 0
	switch {
	case slices.ContainsFunc(re.Rune, notText), folded && !x.fold && x.attempt >= keepClasses:
		p.addUnknown(len(re.Rune), len(re.Rune))
	case folded && !x.fold:
		x.spend(len(re.Rune))
		for _, r := range slices.Backward(re.Rune) {
			next = &todo{&syntax.Regexp{Op: syntax.OpCharClass, Rune: eachCase(r)}, next}
		}
	default:
		x.spend(len(re.Rune) / 16)
		for _, r := range re.Rune {
			if x.fold {
				r = foldRune(r)
			}
			p.addRune(r)
		}
	}
	return next
}

// alternate walks all alternatives but the last, which it puts before next.
func (x *expansion) alternate(p path, re *syntax.Regexp, next *todo) *todo {
	if x.attempt == keepChoices {
		return &todo{nil, next}
	}
	last := len(re.Sub) - 1
	for _, sub := range re.Sub[:last] {
		if x.steps < 0 {
			return nil
		}
		x.walk(p, &todo{sub, next})
	}
	return &todo{re.Sub[last], next}
}

// repeat handles low to high times re.
func (x *expansion) repeat(p *path, re *syntax.Regexp, low, high int, next *todo) *todo {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	switch {
	case isClass(re) && !x.expandable(re, high):
		p.addGap(gap{classOf(re), low, high})
		return next
	case high == unbounded, low != high && x.attempt == keepChoices:
		return x.times(re, low, &todo{nil, next})
	}
	for n := low; n < high && x.steps >= 0; n++ {
		x.walk(*p, x.times(re, n, next))
	}
	return x.times(re, high, next)
}

// times puts n times re before next.
func (x *expansion) times(re *syntax.Regexp, n int, next *todo) *todo {
	x.spend(n)
	for range n {
		next = &todo{re, next}
	}
	return next
}

// class handles one rune of a class: few are alternatives, many are a gap.
func (x *expansion) class(p *path, re *syntax.Regexp, next *todo) {
	if !x.expandable(re, 1) {
		x.spend(2)
		p.addGap(gap{classOf(re), 1, 1})
		return
	}
	last := -1
	for r := range runesOf(re.Rune) {
		if x.fold && foldRune(r) != r {
			continue
		}
		if last >= 0 && x.steps >= 0 {
			other := *p
			other.addRune(rune(last))
			x.walk(other, next)
		}
		last = int(r)
	}
	p.addRune(rune(last))
}

// expandable reports whether up to times runes of a class are few enough strings to be listed.
func (x *expansion) expandable(re *syntax.Regexp, times int) bool {
	x.spend(len(re.Rune) / 16)
	size := classSize(re.Rune)
	if x.attempt >= keepClasses || re.Op != syntax.OpCharClass || times == unbounded || size == 0 || size > maxLiterals {
		return false
	}
	n := 1
	for range times {
		if n *= size; n > maxLiterals {
			return false
		}
	}
	x.spend(size / 4)
	for r := range runesOf(re.Rune) {
		if notText(r) {
			return false
		}
	}
	return true
}

// emit adds an alternative that has been walked.
func (x *expansion) emit(p *path) {
	if !x.spend(1 + len(p.text)/16 + len(p.gaps)) {
		return
	}
	if len(p.gaps) == 0 && !p.inexact {
		x.literals = append(x.literals, string(p.text))
	} else {
		x.patterns = append(x.patterns, p.pattern())
	}
	if len(x.literals) > x.literalLimit || len(x.patterns) > maxPatterns {
		x.steps = -1
	}
}
