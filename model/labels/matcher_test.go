package labels

import "testing"

func TestMatchers(t *testing.T) {
	check := func(mt MatchType, expr, value string, want bool) {
		t.Helper()
		m := MustNewMatcher(mt, "n", expr)
		if got := m.Matches(value); got != want {
			t.Errorf("%s on %q: got %v", m, value, got)
		}
		if m.Inverse().Matches(value) == want {
			t.Errorf("the inverse of %s on %q agrees with it", m, value)
		}
	}
	check(MatchEqual, "a", "a", true)
	check(MatchNotEqual, "a", "", true)
	check(MatchRegexp, "a|b", "b", true)
	check(MatchRegexp, "a|b", "ab", false)
	check(MatchRegexp, "", "", true)
	check(MatchRegexp, ".*", "", true)
	check(MatchRegexp, ".+", "", false)
	check(MatchRegexp, ".+", "a\nb", true)
	check(MatchRegexp, "foo.*", "foobar", true)
	check(MatchRegexp, "foo.*", "barfoo", false)
	check(MatchRegexp, "(?i)abc", "ABC", true)
	check(MatchRegexp, "x(1[0-2]|2)y?", "x12y", true)
	check(MatchRegexp, "x(1[0-2]|2)y?", "x13", false)
	check(MatchNotRegexp, "a.c", "abc", false)
	if _, err := NewMatcher(MatchRegexp, "n", "a("); err == nil {
		t.Error("an unbalanced parenthesis is accepted")
	}
}
