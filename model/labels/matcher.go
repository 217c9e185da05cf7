package labels

import "strconv"

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
	return NewMatcherUnless(func() error { return nil }, t, name, value)
}

// NewMatcherUnless is [NewMatcher] for expressions that may be long: it asks ended now and then, and gives up with its
// error as it is.
func NewMatcherUnless(ended func() error, t MatchType, name, value string) (*Matcher, error) {
	m := &Matcher{Type: t, Name: name, Value: value}
	if t == MatchRegexp || t == MatchNotRegexp {
		re, err := newRegexMatcher(ended, value)
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
	return m.re.setMatches()
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
