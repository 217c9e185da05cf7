package labels

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// MatchType says how a matcher compares.
type MatchType uint8

// The four ways to compare.
const (
	MatchEqual MatchType = iota
	MatchNotEqual
	MatchRegexp
	MatchNotRegexp
)

// String returns the operator: =, !=, =~ or !~.
func (t MatchType) String() string {
	return [...]string{"=", "!=", "=~", "!~"}[t]
}

// Matcher selects series by one label. A label that a series lacks counts as the empty string. Build it with
// [NewMatcher]; it is immutable afterwards.
type Matcher struct {
	Type  MatchType
	Name  string
	Value string

	re *regexMatcher
}

// NewMatcher returns a matcher. A regular expression (RE2) is anchored at both ends; an invalid one is an error.
func NewMatcher(t MatchType, name, value string) (*Matcher, error) {
	m := &Matcher{Type: t, Name: name, Value: value}
	if t == MatchRegexp || t == MatchNotRegexp {
		re, err := newRegexMatcher(value)
		if err != nil {
			return nil, err
		}
		m.re = re
	}
	return m, nil
}

// MustNewMatcher is [NewMatcher] for values known to be valid; it panics on an error.
func MustNewMatcher(t MatchType, name, value string) *Matcher {
	m, err := NewMatcher(t, name, value)
	if err != nil {
		panic(err)
	}
	return m
}

// Matches reports whether a label value is selected.
func (m *Matcher) Matches(value string) bool {
	switch m.Type {
	case MatchEqual:
		return value == m.Value
	case MatchNotEqual:
		return value != m.Value
	case MatchRegexp:
		return m.re.match(value)
	default:
		return !m.re.match(value)
	}
}

// MatchesLabels reports whether the set is selected by all matchers.
func MatchesLabels(ls Labels, ms ...*Matcher) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Inverse returns the matcher that selects exactly what m does not.
func (m *Matcher) Inverse() *Matcher {
	inv := *m
	inv.Type = [...]MatchType{MatchNotEqual, MatchEqual, MatchNotRegexp, MatchRegexp}[m.Type]
	return &inv
}

// SetMatches returns the values among which every value matched by the expression of an =~ or !~ matcher lies, when
// the expression is equivalent to a small set of literals; else nil.
func (m *Matcher) SetMatches() []string {
	if m.re == nil {
		return nil
	}
	return m.re.set
}

// Prefix returns the literal that every value matched by the expression starts with; "" if none is known.
func (m *Matcher) Prefix() string {
	if m.re == nil {
		return ""
	}
	return m.re.prefix
}

// String formats the matcher as name="value", quoting the name where needed.
func (m *Matcher) String() string {
	name := m.Name
	if !IsValidLegacyLabelName(name) {
		name = strconv.Quote(name)
	}
	return name + m.Type.String() + strconv.Quote(m.Value)
}

// maxSetMatches bounds the literals that an expression is expanded into.
const maxSetMatches = 256

// regexMatcher matches anchored, with the expression reduced to literals or a prefix where it allows that.
type regexMatcher struct {
	re     *regexp.Regexp
	set    []string
	prefix string
	// any: the expression is .* or .+; nonEmpty tells which.
	any, nonEmpty bool
}

func newRegexMatcher(expr string) (*regexMatcher, error) {
	re, err := regexp.Compile("^(?s:" + expr + ")$")
	if err != nil {
		// The expression as the user wrote it, not as it was wrapped.
		if _, own := syntax.Parse(expr, syntax.Perl); own != nil {
			err = own
		}
		return nil, fmt.Errorf("%w", err)
	}
	m := &regexMatcher{re: re}
	parsed, err := syntax.Parse(expr, syntax.Perl|syntax.DotNL)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	parsed = parsed.Simplify()
	switch {
	case parsed.Op == syntax.OpStar && parsed.Sub[0].Op == syntax.OpAnyChar:
		m.any = true
	case parsed.Op == syntax.OpPlus && parsed.Sub[0].Op == syntax.OpAnyChar:
		m.any, m.nonEmpty = true, true
	default:
		if set, ok := literals(parsed); ok {
			slices.Sort(set)
			m.set = slices.Compact(set)
		}
		m.prefix = literalPrefix(parsed)
	}
	return m, nil
}

func (m *regexMatcher) match(s string) bool {
	switch {
	case m.any:
		return !m.nonEmpty || s != ""
	case m.set != nil:
		_, found := slices.BinarySearch(m.set, s)
		return found
	case !strings.HasPrefix(s, m.prefix):
		return false
	}
	return m.re.MatchString(s)
}

// literals returns the strings that the expression matches, if they are few and no part ignores case.
func literals(re *syntax.Regexp) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCapture:
		return literals(re.Sub[0])
	case syntax.OpCharClass:
		return classLiterals(re.Rune)
	case syntax.OpQuest:
		sub, ok := literals(re.Sub[0])
		return append(sub, ""), ok
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			ss, ok := literals(sub)
			if !ok || len(all)+len(ss) > maxSetMatches {
				return nil, false
			}
			all = append(all, ss...)
		}
		return all, true
	case syntax.OpConcat:
		return concatLiterals(re.Sub)
	}
	return nil, false
}

func classLiterals(ranges []rune) ([]string, bool) {
	var all []string
	for i := 0; i < len(ranges); i += 2 {
		if int(ranges[i+1]-ranges[i]) >= maxSetMatches-len(all) {
			return nil, false
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			all = append(all, string(r))
		}
	}
	return all, true
}

func concatLiterals(subs []*syntax.Regexp) ([]string, bool) {
	all := []string{""}
	for _, sub := range subs {
		tails, ok := literals(sub)
		if !ok || len(all)*len(tails) > maxSetMatches {
			return nil, false
		}
		next := make([]string, 0, len(all)*len(tails))
		for _, head := range all {
			for _, tail := range tails {
				next = append(next, head+tail)
			}
		}
		all = next
	}
	return all, true
}

func literalPrefix(re *syntax.Regexp) string {
	for re.Op == syntax.OpCapture || re.Op == syntax.OpConcat {
		if len(re.Sub) == 0 {
			return ""
		}
		re = re.Sub[0]
	}
	if re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0 {
		return string(re.Rune)
	}
	return ""
}
