package template

import (
	"context"
	"errors"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
)

// answers is how queries are answered.
func answers(_ context.Context, query string, at time.Time) (promql.Vector, error) {
	switch query {
	case "up":
		return promql.Vector{
			{Labels: labels.FromStrings("__name__", "up", "i", "b", "__value__", "str"), F: 11},
			{Labels: labels.FromStrings("__name__", "up", "i", "a"), F: 21},
		}, nil
	case "time":
		return promql.Vector{{F: float64(at.Unix())}}, nil
	case "bad":
		return nil, errors.New("no such thing")
	default:
		return nil, nil
	}
}

func expand(t *testing.T, text string) (string, error) {
	t.Helper()
	external, err := url.Parse("http://mon.example:9090/path/prefix")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse("__alert_A", text, external)
	if err != nil {
		return "", err
	}
	data := Data{
		Labels: map[string]string{"i": "one", "instance": "h.example:9100"}, ExternalLabels: map[string]string{"dc": "x"},
		ExternalURL: external.String(), Value: 12.5,
	}
	return parsed.Expand(t.Context(), data, time.UnixMilli(1_500_000_000_250), answers)
}

// TestFunctions goes through all functions; each line is a text and what becomes of it.
func TestFunctions(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		if got, err := expand(t, text); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
	check("plain $labels.i", "plain $labels.i")
	check("{{ $labels.i }} {{ .Labels.i }} {{ $value }} {{ .Value }} {{ $externalLabels.dc }} {{ $externalURL }}", "one one 12.5 12.5 x http://mon.example:9090/path/prefix")
	check("[{{ $labels.missing }}]", "[]")
	check("{{ externalURL }} {{ pathPrefix }}", "http://mon.example:9090/path/prefix /path/prefix")
	check(`{{ query "up" | first | value }} {{ query "up" | first | label "i" }} {{ query "up" | first | strvalue }}`, "11 b str")
	check(`{{ range query "up" | sortByLabel "i" }}{{ .Labels.i }}={{ .Value }} {{ end }}`, "a=21 b=11 ")
	check(`{{ query "time" | first | value | humanizeTimestamp }}`, "2017-07-14 02:40:00 +0000 UTC")
	check("{{ now }}", "1.50000000025e+09")
	check(`{{ title "ab cD" }} {{ toUpper "ab" }} {{ toLower "AB" }}`, "Ab CD AB ab")
	check(`{{ match "a+" "baab" }} {{ reReplaceAll "(a)b" "${1}x" "abab" }}`, "true axax")
	check(`{{ graphLink "a + b" }} {{ tableLink "a" }}`, "/graph?g0.expr=a+%2B+b&g0.tab=0 /graph?g0.expr=a&g0.tab=1")
	check(`{{ stripPort "h:1" }} {{ stripPort "h" }} {{ stripPort "[::1]:1" }}`, "h h ::1")
	check(`{{ stripDomain "h.example:1" }} {{ stripDomain "h.example" }} {{ stripDomain "10.0.0.1:1" }} {{ stripDomain "[::1]:1" }}`, "h:1 h 10.0.0.1:1 [::1]:1")
	check(`{{ safeHtml "<b>" }} {{ urlQueryEscape "a b&" }}`, "<b> a+b%26")
	check(`{{ with args 1 "x" }}{{ .arg0 }}{{ .arg1 }}{{ end }}`, "1x")
	check(`{{ parseDuration "1h30m" }} {{ parseDuration "-1m" }} {{ (toTime 1.5).UnixMilli }} {{ toDuration "90" }}`, "5400 -60 1500 1m30s")
	check(`{{ humanizeDuration 3661.0 }} {{ humanizeDuration "0.0012" }} {{ humanizePercentage 0.12345 }} {{ humanizePercentage "1" }}`, "1h 1m 1s 1.2ms 12.35% 100%")
	check(`{{ define "x" }}[{{ . }}]{{ end }}{{ template "x" $value }}`, "[12.5]")
}

func TestHumanize(t *testing.T) {
	check := func(v float64, si, binary string) {
		t.Helper()
		gotSI, err1 := humanize(v)
		gotBinary, err2 := humanize1024(v)
		if gotSI != si || gotBinary != binary || err1 != nil || err2 != nil {
			t.Errorf("%v: got %s and %s, want %s and %s", v, gotSI, gotBinary, si, binary)
		}
	}
	check(0, "0", "0")
	check(1, "1", "1")
	check(999.99, "1000", "1000")
	check(1000, "1k", "1000")
	check(1234567, "1.235M", "1.177Mi")
	check(-1500, "-1.5k", "-1.465ki")
	check(1048576, "1.049M", "1Mi")
	check(0.0225, "22.5m", "0.0225")
	check(1e-9, "1n", "1e-09")
	check(1e27, "1000Y", "827.2Yi")
	check(math.NaN(), "NaN", "NaN")
	check(math.Inf(-1), "-Inf", "-Inf")
	if _, err := humanize("x"); err == nil {
		t.Error("a text that is no number is accepted")
	}
}

func TestBrokenTexts(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		if _, err := expand(t, text); err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	const at = "error executing template __alert_A: template: __alert_A:1:"
	check("{{", "template: __alert_A:1: unclosed action")
	check("{{ nonsense }}", `template: __alert_A:1: function "nonsense" not defined`)
	check(`{{ query "bad" }}`, at+`115: executing "__alert_A" at <query "bad">: error calling query: no such thing`)
	check(`{{ query "none" | first }}`, at+`130: executing "__alert_A" at <first>: error calling first: first() called on vector with no elements`)
	check(`{{ reReplaceAll "(" "" "" }}`, at+"115: executing \"__alert_A\" at <reReplaceAll \"(\" \"\" \"\">: error calling reReplaceAll: regexp: Compile(`(`): error parsing regexp: missing closing ): `(`")
	check(`{{ toTime "NaN" }}`, at+`115: executing "__alert_A" at <toTime "NaN">: error calling toTime: value is NaN or Inf`)
}

func TestQueries(t *testing.T) {
	check := func(text string, want bool) {
		t.Helper()
		parsed, err := Parse("a", text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Queries() != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	check("query", false)
	check("{{ $value }}", false)
	check(`{{ if true }}{{ with query "x" }}{{ end }}{{ end }}`, true)
	check(`{{ define "x" }}{{ query "x" }}{{ end }}`, true)
}

func BenchmarkExpand(b *testing.B) {
	parsed, err := Parse("__alert_A", "{{ $labels.instance }} has been down for {{ $value | humanizeDuration }}", nil)
	if err != nil {
		b.Fatal(err)
	}
	data := Data{Labels: map[string]string{"instance": "h:9100"}, Value: 600.0}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsed.Expand(b.Context(), data, time.Unix(0, 0), answers); err != nil {
			b.Fatal(err)
		}
	}
}
