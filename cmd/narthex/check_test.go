package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/rules"
	"github.com/narthex-io/narthex/promql"
)

// linted prepares checks, applies them to a file with a duplicate and to a slow job, and returns what is printed and the
// verdict.
func linted(t *testing.T, c ruleChecks) (string, error) {
	t.Helper()
	if c.lookback == "" {
		c.lookback = "5m"
	}
	if _, err := c.prepare(); err != nil {
		return "", err
	}
	text := "groups: [{name: g, rules: [{record: a, expr: b}, {record: a, expr: c}, {alert: a, expr: b, labels: {x: y}}]}]"
	f, err := rules.Parse("r.yml", []byte(text), rules.LoadOptions{Parser: queryParser(promql.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.valid(&out, f)
	c.intervals(&out, "p.yml", map[string]time.Duration{"fast": time.Minute, "slow": 5 * time.Minute})
	return out.String(), c.verdict()
}

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 rules", 1: "1 rule", 2: "2 rules"} {
		if got := counted(n, "rule"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLint(t *testing.T) {
	const valid = "r.yml: valid, 3 rules\n"
	const twice = "r.yml: warning: 2 rules make a with the labels {}\n"
	const slow = "p.yml: warning: job \"slow\" has the scrape interval 5m, and selectors look back 5m: its series have gaps\n"
	check := func(c ruleChecks, want string, fails bool) {
		t.Helper()
		got, err := linted(t, c)
		if got != want || (err != nil) != fails {
			t.Errorf("%+v: %v\n got %s\nwant %s", c, err, got, want)
		}
	}
	check(ruleChecks{lint: "duplicate-rules"}, valid+twice, false)
	check(ruleChecks{lint: "duplicate-rules", fatal: true}, valid+twice, true)
	check(ruleChecks{lint: "none", fatal: true}, valid, false)
	check(ruleChecks{lint: "too-long-scrape-interval", fatal: true}, valid+slow, true)
	check(ruleChecks{lint: "all"}, valid+twice+slow, false)
	check(ruleChecks{lint: "all", lookback: "10m"}, valid+twice, false)
	for _, bad := range []ruleChecks{{lint: "some"}, {lint: "all", lookback: "x"}, {lint: "all", features: []string{"auto-reload-config"}}} {
		if _, err := linted(t, bad); err == nil || !strings.Contains(err.Error(), "--") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestAbsentPluginDirectories(t *testing.T) {
	there := t.TempDir()
	out, err := os.Create(filepath.Join(there, "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	warnOfAbsent(streams{err: out}, []string{there, filepath.Join(there, "none")})
	const want = "/none is not there: no plugins come from it\n"
	if text, err := os.ReadFile(out.Name()); err != nil || strings.Count(string(text), "\n") != 1 || !strings.HasSuffix(string(text), want) {
		t.Errorf("got %q, %v", text, err)
	}
}
