package labels

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// regexMatcher matches a whole value. Running a regular expression costs ten to twenty times what comparing strings
// does (BenchmarkMatches), so the expression is expanded (expand.go) to the alternatives that it consists of, each
// literal text with gaps:
//
//	foo|ba[rz]           the set {bar, baz, foo}
//	^foo.*$, foo.+       text, gap of any runes
//	.*(foo|bar).*        gap, text, gap; twice
//	a(b|c).*d            ab, gap, d; ac, gap, d
//	5.., host-[0-9]+     text, gap of so many runes of a class
//	(?i)foo|bar          the set {BAR, FOO}, against which values are held with their case folded
//	foo([a-z]+-)*\bbar   foo, gap, bar: necessary, but not sufficient
//
// What the last kind lets through is decided by the expression itself. Invalid UTF-8 counts as package regexp counts
// it: each stray byte is one U+FFFD.
type regexMatcher struct {
	set literalSet
	// patterns are the alternatives that have gaps.
	patterns []pattern
	prefix   string
	// fold says that set and patterns are in folded case.
	fold bool
	// re is nil if no pattern needs it.
	re *regexp.Regexp
	// pieces match what a long list of alternatives holds besides set (pieces.go).
	pieces []*regexMatcher
}

// newRegexMatcher compiles an expression. What takes long is done piece by piece where it can be; ended is asked in
// between, and its error is returned as it is.
func newRegexMatcher(ended func() error, expr string) (*regexMatcher, error) {
	if pieces := piecesOf(expr); pieces != nil {
		m, err := newPiecesMatcher(ended, pieces)
		if endErr := ended(); endErr != nil {
			return nil, endErr
		}
		if err == nil {
			return m, nil
		} // Else compiling all of it makes the error that shows all of it.
	}
	// Parsed as the user wrote it, for the error to show that, and because it must not leave the group it is put into.
	parsed, err := syntax.Parse(expr, syntax.Perl|syntax.DotNL)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	x := expand(parsed, len(expr))
	m := &regexMatcher{set: newLiteralSet(x.literals), patterns: x.patterns, fold: x.fold}
	if !m.fold {
		m.prefix = commonPrefix(m.set.sorted, m.patterns)
	}
	anchored := "^(?s:" + expr + ")$"
	if len(expr) > maxPiece/2 {
		if err := ended(); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(m.patterns, func(p pattern) bool { return !p.exact }) {
		m.re, err = regexp.Compile(anchored)
	} else {
		_, err = syntax.Parse(anchored, syntax.Perl)
	}
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	return m, nil
}

// newPiecesMatcher compiles expressions of which one has to match. Their literals become one set.
func newPiecesMatcher(ended func() error, pieces []string) (*regexMatcher, error) {
	all := &regexMatcher{}
	var literals []string
	for _, piece := range pieces {
		if err := ended(); err != nil {
			return nil, err
		}
		m, err := newRegexMatcher(ended, piece)
		if err != nil {
			return nil, err
		}
		if !m.fold {
			literals = append(literals, m.set.sorted...)
			m.set = literalSet{}
		}
		if m.fold || len(m.patterns) > 0 {
			all.pieces = append(all.pieces, m)
		}
	}
	all.set = newLiteralSet(literals)
	if len(all.pieces) == 0 {
		all.prefix = commonPrefix(all.set.sorted, nil)
	}
	return all, nil
}

func (m *regexMatcher) match(s string) bool {
	if m.fold {
		return m.matchAnyCase(s)
	}
	return strings.HasPrefix(s, m.prefix) && m.matchFolded(s, s)
}

func (m *regexMatcher) matchAnyCase(s string) bool {
	var buf [128]byte
	folded := appendFolded(buf[:0], s)
	return m.matchFolded(unsafe.String(unsafe.SliceData(folded), len(folded)), s)
}

// matchFolded matches s, of which folded is the form that set and patterns are in.
func (m *regexMatcher) matchFolded(folded, s string) bool {
	if m.set.has(folded) {
		return true
	}
	undecided := false
	for i := range m.patterns {
		if p := &m.patterns[i]; p.match(folded) {
			if p.exact {
				return true
			}
			undecided = true
		}
	}
	return undecided && m.re.MatchString(s) || slices.ContainsFunc(m.pieces, func(p *regexMatcher) bool { return p.match(s) })
}

func (m *regexMatcher) setMatches() []string {
	if m.fold || len(m.patterns) > 0 || len(m.pieces) > 0 {
		return nil
	}
	return m.set.sorted
}

// commonPrefix returns what all literals, which are sorted, and all patterns start with, in whole runes.
func commonPrefix(literals []string, patterns []pattern) string {
	var prefix string
	switch {
	case len(literals) > 0:
		prefix = sharedPrefix(literals[0], literals[len(literals)-1])
	case len(patterns) > 0:
		prefix = patterns[0].head
	}
	for i := range patterns {
		prefix = sharedPrefix(prefix, patterns[i].head)
	}
	for !utf8.ValidString(prefix) {
		prefix = prefix[:len(prefix)-1]
	}
	return prefix
}

func sharedPrefix(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// maxScanned is how many literals are compared one by one. Comparing mostly ends at the length.
const maxScanned = 8

// literalSet is a set of strings.
type literalSet struct {
	sorted []string
	index  map[string]struct{}
}

func newLiteralSet(literals []string) literalSet {
	slices.SortFunc(literals, strings.Compare)
	s := literalSet{sorted: slices.Compact(literals)}
	if len(s.sorted) > maxScanned {
		s.index = make(map[string]struct{}, len(s.sorted))
		for _, l := range s.sorted {
			s.index[l] = struct{}{}
		}
	}
	return s
}

func (s *literalSet) has(v string) bool {
	if s.index != nil {
		_, ok := s.index[v]
		return ok
	}
	return slices.Contains(s.sorted, v)
}
