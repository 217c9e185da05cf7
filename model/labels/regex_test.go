package labels

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSetMatchesAndPrefix(t *testing.T) {
	check := func(expr, set, prefix string) {
		t.Helper()
		m := MustNewMatcher(MatchRegexp, "n", expr)
		if got := strings.Join(m.SetMatches(), ","); got != set {
			t.Errorf("%s: set is %q, want %q", expr, got, set)
		}
		if got := m.Prefix(); got != prefix {
			t.Errorf("%s: prefix is %q, want %q", expr, got, prefix)
		}
	}
	check("foo|bar", "bar,foo", "")
	check("api-(a|b)", "api-a,api-b", "api-")
	check("^(?:api-[ab])$", "api-a,api-b", "api-")
	check("x[0-9]?[ab]{2}", digits("xDaa,xDab,xDba,xDbb")+",xaa,xab,xba,xbb", "x")
	check("[Ff]oo", "Foo,foo", "")
	check("(?i)foo", "", "")
	check("web.*", "", "web")
	check("web-a.*|web-b|web-.+c", "", "web-")
	check("a[0-9]{8}", "", "a")
	check(`foo([a-z]+-)*\bbar`, "", "foo")
	check("äx|äy|äz.*", "", "ä")
	check("ä|å", "ä,å", "")
	check(`\x{FFFD}a|\x{D800}`, "", "")
}

// digits lists the strings with each digit for D, in order.
func digits(list string) string {
	var out []string
	for d := range strings.SplitSeq("0123456789", "") {
		out = append(out, strings.ReplaceAll(list, "D", d))
	}
	return strings.Join(out, ",")
}

func TestLongAlternationsAreSets(t *testing.T) {
	var want []string
	for i := range 26 * 26 * 26 {
		want = append(want, string([]rune{rune('a' + i/676), 'x', rune('a' + i/26%26), '-', rune('a' + i%26)}))
	}
	m := MustNewMatcher(MatchRegexp, "n", strings.Join(want, "|"))
	if !slices.Equal(m.SetMatches(), want) {
		t.Fatalf("the set has %d values, want %d", len(m.SetMatches()), len(want))
	}
	if !m.Matches("qxq-q") || m.Matches("qxq-") {
		t.Fatal("the set is not what is matched")
	}
	if got := MustNewMatcher(MatchRegexp, "n", "[a-z]{2}").SetMatches(); got != nil {
		t.Fatalf("a product has %d values", len(got))
	}
}

// TestReductions: expressions that people write are decided without running them, the same way.
func TestReductions(t *testing.T) {
	values := []string{
		"", "f", "foo", "FOO", "Foo", "ﬁoo", "foobar", "foo-bar", "fooXbar", "barfoo", "bar", "BAR", "xbarx", "a\nb", "foo\n",
		"foo\xff", "\xfffoo", "\xff", "\xe2\x82", "foo\xe2\x82bar", "foo\uFFFDbar", "\uFFFD", "k", "K", "\u212a", "s\u017f", "sS", "500",
		"5€€", "5\xff\xff", "50", "5000", "host-1", "host-12x", "host-12", "host-١", "a.b.c", "a1b22c", "aab", "aaab", "a1a2b", "ab", "abab",
		"acd7", "äöü", "ÄÖÜ", "foofoo", "foo.foo.foo", "10.0.0.1:9100", "10.10.10.10:9100", "foobarfoobar",
	}
	check := func(reduced bool, exprs ...string) {
		t.Helper()
		for _, expr := range exprs {
			m := MustNewMatcher(MatchRegexp, "n", expr)
			if (m.re.re == nil) != reduced {
				t.Errorf("%s: reduced is %v, want %v", expr, m.re.re == nil, reduced)
			}
			for _, v := range values {
				checkAgainstPlain(t, m, v)
			}
		}
	}
	check(true, "", "()", "foo", "foo|bar", "foo|", "(foo|bar)?", "^foo$", "^(foo|bar)$", "f(oo|oobar)", "ba[rz]", "(ab){2}", "(ab){0,2}", "a?b?c?",
		".*", ".+", ".?", "..", "...+", "^.*$", "(.*)", "(?-s).*", "(?-s).+b",
		"foo.*", "foo.+", "foo.?", ".*foo", ".+foo", ".*foo.*", ".+foo.+", "foo.*bar", "foo.*foo", "foo.*foo.*foo", ".*o.*b.*r", ".*..foo",
		"(foo|bar).*", ".*(foo|bar)", ".*(foo|bar).*", "f(o|oo).*bar", "foo.*|.*bar|500", "[Ff]oo.*", "a.?b|.*c",
		"(?i)foo", "(?i)foo|bar", "(?i)foo.*", "(?i).*foo", "(?i).*foo.*", "(?i)f.*r", "(?i)äöü", "(?i)k", "(?i)ss", "(?i)foo|fob", "(?i)foo-[a-z]+",
		"5..", "5.{2,3}", "[45]..", "[0-9]+", "[0-9]*", "[0-9]{3}", "host-[0-9]+", `host-\d+`, "[^-]*", "[^-]+-[0-9]+", "[a-z]+-[a-z]+", `[^f]+`,
		"10.0.0.1:9100", `\d+\.\d+\.\d+\.\d+:9100`, "[a-z]*", "[a-z]+[a-z]", "[^a]{0,2}", "a[0-9]b.*", "a.b.*c", "[^\\x00-\\x{10FFFF}]|foo")
	check(false, `\bfoo`, "(foo)*", "(foo)+", "(foo|bar)+", "foo[0-9]*1bar.*foo", "a.*a[0-9]+b", "foo^bar", "foo$bar", "(?m)^foo$", "(?m)a$\n^b", "foo$.*",
		`\x{FFFD}`, `foo\x{FFFD}bar`, `\x{D800}|foo`, "[\uFFFC-\uFFFD]*foo.*[a-c]?o[^x]*o", "foo(?i:barfoobarfoobar)", "[a-z]+[0-9]+",
		"((a|bc)*c?){3}", "(?i)[a-z]*k.*", `(?i)\bk`, "[a-c][^d][a-c]{2}.*[0-9]?x{3}y?(abc)*")
}

// checkAgainstPlain: the short cuts give the same answer as the plain expression, and what is said about the values
// that match is true.
func checkAgainstPlain(t *testing.T, m *Matcher, value string) {
	t.Helper()
	plain, err := regexp.Compile("^(?s:" + m.Value + ")$")
	if err != nil {
		t.Fatalf("%q was accepted but does not compile: %v", m.Value, err)
	}
	want := plain.MatchString(value)
	if got := m.Matches(value); got != want {
		t.Fatalf("%q on %q: got %v, want %v", m.Value, value, got, want)
	}
	if set := m.SetMatches(); set != nil && slices.Contains(set, value) != want {
		t.Fatalf("%q matches %q: %v; but its set is %q", m.Value, value, want, set)
	}
	if want && !strings.HasPrefix(value, m.Prefix()) {
		t.Fatalf("%q matches %q, which lacks the prefix %q", m.Value, value, m.Prefix())
	}
}

// TestReductionIsBounded: no expression takes much longer than it takes to compile.
func TestReductionIsBounded(t *testing.T) {
	for _, expr := range []string{
		strings.Repeat("a?", 2000),
		strings.Repeat("[ab]", 3000),
		strings.Repeat("(|||a)", 2000),
		"[ab]{8}" + strings.Repeat("(x){1000}", 50),
		strings.Repeat("(a|b).*", 500),
		strings.Repeat("(a[0-9]{1,30}|b){0,30}", 5),
		strings.Repeat("(a|bc){0,1000}", 20),
		"(?i)" + strings.Repeat("[^k]kelvin", 2000),
		strings.Repeat("[Kk]elvin", 2000),
		"(?i)" + strings.Repeat(`(k|[\x{100}-\x{1ff}])`, 400),
		strings.Repeat(`(\pL|[0-9]|x)`, 100),
		strings.Repeat("(", 400) + "a|b" + strings.Repeat(")?", 400),
		strings.Repeat(".*[^a]", 5000),
		strings.Repeat("aaaaaaaa|", 5000) + ".*",
	} {
		start := time.Now()
		regexp.MustCompile(expr)
		compiled := time.Since(start)
		parsed := mustParse(t, expr)
		start = time.Now()
		x := expand(parsed, len(expr))
		t.Logf("%.20s: %v beside %v", expr, time.Since(start), compiled)
		// The clock of a busy machine proves nothing; what the steps leave does.
		if len(x.literals) > max(maxLiterals, len(expr)) || len(x.patterns) > maxPatterns {
			t.Errorf("%.20s: %d literals, %d patterns", expr, len(x.literals), len(x.patterns))
		}
	}
}

func mustParse(t *testing.T, expr string) *syntax.Regexp {
	t.Helper()
	re, err := syntax.Parse(expr, syntax.Perl|syntax.DotNL)
	if err != nil {
		t.Fatal(err)
	}
	return re
}

// FuzzRegexMatcher: the short cuts give the same answers as the plain expression.
func FuzzRegexMatcher(f *testing.F) {
	for _, seed := range [][2]string{
		{"foo|bar", "foo"},
		{"a(b|c)?d[0-9]", "acd7"},
		{"(?i)x.*|y+", "Xyz"},
		{"^a$|b", "a"},
		{"foo.*", "foo\xff"},
		{".+foo", "xfoo"},
		{".*foo.+", "\xe2foo\x82"},
		{"f(o|oo).*(bar|r)", "foobar"},
		{"foo.*bar.*foo", "foobarfoo"},
		{".*a..b.*", "aaxbb"},
		{"(?i)foo|BAR", "bAr"},
		{"(?i)k.*s", "\u212axx\u017f"},
		{"[Ff]oo[a-c]+", "Fooabc"},
		{"5..", "5\xffx"},
		{"[^:]+:9[0-9]{3}", "host:9100"},
		{`\d+\.\d+`, "10.20"},
		{"a.*[0-9]+b[^x]*", "a1bc"},
		{"(?-s).*b", "a\nb"},
		{`\bfoo\b|(?m)^x$`, "foo"},
		{"foo$.*|x^y", "foo"},
		{`\x{FFFD}+|\x{D800}`, "\xff"},
		{"[^a]{2,3}(bc){1,2}", "ddbcbc"},
		{"(a|b)*c?(?i:Q)", "ababcq"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, value string) {
		m, err := NewMatcher(MatchRegexp, "n", expr)
		if err != nil {
			return
		}
		checkAgainstPlain(t, m, value)
	})
}

// TestPieces: long lists of alternatives match what they do as one expression.
func TestPieces(t *testing.T) {
	var dots, sets, mixed []string
	for i := range 2000 {
		n := strconv.Itoa(i)
		dots, sets, mixed = append(dots, "10.0."+n+":9100"), append(sets, "host-"+n), append(mixed, `[|)\]]`+n, `a(b|c)`+n+`\|`, "host-"+n)
	}
	check := func(pieces int, expr string, values ...string) {
		t.Helper()
		if got := len(piecesOf(expr)); got != pieces {
			t.Errorf("%.20s…: %d pieces, want %d", expr, got, pieces)
		}
		m := MustNewMatcher(MatchRegexp, "n", expr)
		for _, v := range append(values, "", "x", "10.0.7:9100", "10x0.1999:9100", "10.0.2000:9100", "host-7", "HOST-7") {
			checkAgainstPlain(t, m, v)
		}
	}
	check(4, strings.Join(dots, "|"))
	check(4, "("+strings.Join(dots, "|")+")")
	check(3, "(?i)((?:"+strings.Join(sets, "|")+"))")
	check(3, strings.Join(sets, "|")+"|")
	check(8, strings.Join(mixed, "|"), "|17", ")17", "]17", "ab17|", "ac1999|", "ab17", "host-1999")
	check(2, "[[:alpha:]|]|[]|]|[^]|]|"+strings.Repeat(`y|`, 5000)+"z", "|", "]", "a", "z", "yy")
	// These stay whole.
	check(0, "x|y")
	check(0, "("+strings.Join(dots, "|")+")?")
	check(0, "("+strings.Join(dots, "|")+")|(?i)"+strings.Join(sets, "|"))
	check(0, `\Q|\E|`+strings.Join(dots, "|"), "|")
	check(0, "("+strings.Join(dots, ")(")+")")
}

func TestPiecesOfInvalidExpressions(t *testing.T) {
	long := strings.Repeat("abc|", 3000)
	for _, expr := range []string{long + "(", long + ")", long + "[", long + "*", "(" + long, long + `\`, long + "[z-a]"} {
		_, want := regexp.Compile(expr)
		_, err := NewMatcher(MatchRegexp, "n", expr)
		if want == nil || err == nil || err.Error() != want.Error() {
			t.Errorf("…%s: error %.100v, want %.100v", expr[len(expr)-5:], err, want)
		}
	}
}

// TestMatcherGivesUp: making a long expression ends when the caller does, at any of its questions.
func TestMatcherGivesUp(t *testing.T) {
	long := strings.Repeat("10.0.0.1:9100|", 3000)
	errEnded := errors.New("ended")
	asked := 0
	count := func() error { asked++; return nil }
	if _, err := NewMatcherUnless(count, MatchRegexp, "n", long); err != nil || asked < 10 {
		t.Fatalf("asked %d times, error %v", asked, err)
	}
	for last := range asked {
		left := last
		if _, err := NewMatcherUnless(func() error {
			if left--; left < 0 {
				return errEnded
			}
			return nil
		}, MatchRegexp, "n", long); !errors.Is(err, errEnded) {
			t.Fatalf("question %d: %v", last, err)
		}
	}
}
