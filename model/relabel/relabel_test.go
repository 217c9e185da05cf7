package relabel

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/model/labels"
)

func rules(tb testing.TB, text string) []*Config {
	tb.Helper()
	var cfgs []*Config
	if err := yaml.Unmarshal([]byte("["+text+"]"), &cfgs); err != nil {
		tb.Fatal(err)
	}
	return cfgs
}

// process is Process for a set.
func process(ls labels.Labels, cfgs []*Config) (labels.Labels, bool) {
	b := labels.NewBuilder(ls)
	if !Process(cfgs, b) {
		return labels.Labels{}, false
	}
	return b.Labels(), true
}

// TestActions applies rules to a="foo", b="bar", c="baz", __name__="m".
func TestActions(t *testing.T) {
	base := labels.FromStrings("a", "foo", "b", "bar", "c", "baz", labels.MetricName, "m")
	const same = `{__name__="m", a="foo", b="bar", c="baz"}`
	becomes := func(text, want string) {
		t.Helper()
		got, keep := process(base, rules(t, text))
		shown := got.String()
		if !keep {
			shown = "dropped"
		}
		if shown != want {
			t.Errorf("%s: got %s, want %s", text, shown, want)
		}
	}
	const dropped = "dropped"
	// replace
	becomes("{source_labels: [a], target_label: d}", `{__name__="m", a="foo", b="bar", c="baz", d="foo"}`)
	becomes("{source_labels: [a, b], target_label: d}", `{__name__="m", a="foo", b="bar", c="baz", d="foo;bar"}`)
	becomes("{source_labels: [a, b], separator: '', target_label: d}", `{__name__="m", a="foo", b="bar", c="baz", d="foobar"}`)
	becomes("{source_labels: [a], regex: f(.*), target_label: a, replacement: 'b${1}-$$'}", `{__name__="m", a="boo-$", b="bar", c="baz"}`)
	becomes("{source_labels: [a], regex: 'f(?P<rest>.*)', target_label: d, replacement: $rest}", `{__name__="m", a="foo", b="bar", c="baz", d="oo"}`)
	becomes("{source_labels: [a], regex: f, target_label: d}", same) // Anchored.
	becomes("{source_labels: [a], regex: f(.*), target_label: a, replacement: ''}", `{__name__="m", b="bar", c="baz"}`)
	becomes("{source_labels: [a], regex: f(.*), target_label: a, replacement: $2}", `{__name__="m", b="bar", c="baz"}`)
	becomes("{source_labels: [missing], target_label: a}", `{__name__="m", b="bar", c="baz"}`)
	becomes("{source_labels: [a], regex: '(.)(.*)', target_label: '${1}x', replacement: $2}", `{__name__="m", a="foo", b="bar", c="baz", fx="oo"}`)
	becomes("{source_labels: [missing], target_label: '${1}', replacement: x}", same) // No name comes out.
	becomes("{target_label: d, replacement: x}", `{__name__="m", a="foo", b="bar", c="baz", d="x"}`)
	becomes("{source_labels: [a], target_label: 'wörld'}", `{__name__="m", a="foo", b="bar", c="baz", "wörld"="foo"}`)
	becomes("{source_labels: [a], regex: '(?i)FOO', target_label: d, replacement: x}", `{__name__="m", a="foo", b="bar", c="baz", d="x"}`)
	// keep, drop and their equal forms
	becomes("{source_labels: [a], regex: foo, action: keep}", same)
	becomes("{source_labels: [a], regex: fo, action: keep}", dropped)
	becomes("{source_labels: [a], regex: fo.*, action: drop}", dropped)
	becomes("{source_labels: [a], regex: bar, action: drop}", same)
	becomes("{source_labels: [missing], regex: '', action: drop}", dropped)
	becomes("{source_labels: [a], target_label: b, action: keepequal}", dropped)
	becomes("{source_labels: [a], target_label: b, action: dropequal}", same)
	becomes("{source_labels: [a], target_label: d, replacement: $1}, {source_labels: [d], target_label: a, action: keepequal}",
		`{__name__="m", a="foo", b="bar", c="baz", d="foo"}`)
	becomes("{source_labels: [a], target_label: a, action: DropEqual}", dropped)
	// hashmod: the number is that of Prometheus
	becomes("{source_labels: [c], target_label: d, modulus: 1000, action: hashmod}", `{__name__="m", a="foo", b="bar", c="baz", d="976"}`)
	// names
	becomes("{regex: '(b|c)', action: labelmap, replacement: 'x_$1'}", `{__name__="m", a="foo", b="bar", c="baz", x_b="bar", x_c="baz"}`)
	becomes("{regex: 'b|c', action: labeldrop}", `{__name__="m", a="foo"}`)
	becomes("{regex: 'b|c', action: labelkeep}", `{b="bar", c="baz"}`)
	// case
	becomes("{source_labels: [a, b], target_label: a, action: uppercase}", `{__name__="m", a="FOO;BAR", b="bar", c="baz"}`)
	becomes("{source_labels: [a], target_label: a, action: uppercase}, {source_labels: [a], target_label: a, action: Lowercase}", same)
	// order
	becomes("{source_labels: [a], target_label: b}, {source_labels: [b], regex: foo, action: drop}", dropped)
}

func TestLineBreaksMatch(t *testing.T) {
	ls := labels.FromStrings("a", "x\ny")
	if _, keep := process(ls, rules(t, "{source_labels: [a], regex: x.y, action: keep}")); !keep {
		t.Error("the dot does not match a line break")
	}
}

func TestUnchangedIsTheSame(t *testing.T) {
	ls := labels.FromStrings("a", "foo")
	got, keep := process(ls, rules(t, "{source_labels: [a], target_label: a}"))
	if !keep || !labels.Equal(got, ls) {
		t.Errorf("got %s", got)
	}
}

func TestValidation(t *testing.T) {
	fails := func(text, want string) {
		t.Helper()
		var cfgs []*Config
		err := yaml.Unmarshal([]byte("["+text+"]"), &cfgs)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	fails("{action: bogus}", `action: unknown action "bogus"; there are replace, keep, drop, keepequal, dropequal, hashmod, labelmap, `)
	fails("{action: Repalce}", `action: unknown action "repalce"; did you mean replace?`)
	fails("{regexp: x}", "regexp: unknown field")
	fails("{source_labels: [a]}", "target_label: action replace needs a target_label")
	fails("{regex: '(', target_label: a}", "regex: ")
	fails("{action: hashmod, target_label: a}", "modulus: ")
	fails("{action: hashmod, modulus: 1}", "target_label: ")
	fails("{action: lowercase}", "target_label: ")
	fails("{action: lowercase, target_label: a, replacement: x}", "replacement: action lowercase takes no replacement")
	fails("{action: dropequal, source_labels: [a], target_label: b, regex: (.*)}", "action dropequal takes source_labels and target_label only")
	fails("{action: keepequal, source_labels: [a], target_label: b, regex: x}", "action keepequal takes source_labels and target_label only")
	fails("{action: labeldrop, source_labels: [a]}", "action labeldrop takes regex only")
	fails("{action: labelkeep, target_label: a}", "action labelkeep takes regex only")
	fails("{action: labelmap, replacement: ''}", "replacement: ")

	legacy := func(c Config, valid bool) {
		t.Helper()
		if err := c.Validate(true); (err == nil) != valid {
			t.Errorf("%+v: got %v, want valid %v", c, err, valid)
		}
	}
	with := func(target string) Config {
		c := Default()
		c.TargetLabel = target
		return c
	}
	legacy(with("abc"), true)
	legacy(with("a-b"), false)
	legacy(with("${1}_x"), true)
	legacy(with("${1}-x"), false)
}

// TestNothingAllocated checks that rules which change nothing cost no memory.
func TestNothingAllocated(t *testing.T) {
	cfgs := rules(t, `{source_labels: [a], regex: foo, action: keep}, {source_labels: [a], target_label: a}, {source_labels: [b], regex: x.*, action: drop}`)
	ls := labels.FromStrings("a", "foo", "b", "bar")
	b := labels.NewBuilder(ls)
	if n := testing.AllocsPerRun(100, func() {
		b.Reset(ls)
		Process(cfgs, b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkProcess(b *testing.B) {
	for name, text := range map[string]string{
		"keep":      "{source_labels: [__name__], regex: 'go_.*|process_.*|http_.*', action: keep}",
		"drop":      "{source_labels: [__name__, code], regex: 'go_gc_.*;5..', action: drop}",
		"replace":   "{source_labels: [instance], regex: '([^:]+):.*', target_label: host}",
		"labeldrop": "{regex: 'id|uid', action: labeldrop}",
		"hashmod":   "{source_labels: [instance], modulus: 8, target_label: __tmp_hash, action: hashmod}",
	} {
		b.Run("action="+name, func(b *testing.B) {
			cfgs := rules(b, text)
			ls := labels.FromStrings(labels.MetricName, "http_requests_total", "instance", "10.0.0.1:8080", "job", "app",
				"code", "200", "method", "GET", "handler", "/api/v1/query")
			builder := labels.NewBuilder(ls)
			b.ReportAllocs()
			for b.Loop() {
				builder.Reset(ls)
				Process(cfgs, builder)
			}
		})
	}
}

// TestShownRulesCanBeRead checks that a rule is shown with the regex that was written, and without one where none may be.
func TestShownRulesCanBeRead(t *testing.T) {
	for rule, regex := range map[string]bool{
		"{source_labels: [a], target_label: b, action: keepequal}":  false,
		"{source_labels: [a], target_label: b}":                     false,
		"{source_labels: [a], target_label: b, regex: null}":        false,
		"{source_labels: [a], target_label: b, regex: (.*)}":        true,
		"{source_labels: [a], target_label: b, regex: ''}":          true,
		"{source_labels: [a], target_label: regex, regex: 'x(.*)'}": true,
	} {
		var c, again Config
		if err := yaml.Unmarshal([]byte(rule), &c); err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal([]*Config{&c})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "  regex:"); got != regex {
			t.Errorf("%s is shown as\n%s", rule, text)
		}
		var list []Config
		if err := yaml.Unmarshal(text, &list); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if again = list[0]; again.Regex != c.Regex || again.Action != c.Action {
			t.Errorf("%s is read again as %+v", rule, again)
		}
	}
}
