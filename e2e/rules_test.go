//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// waveRules are rules about the time itself, so that two servers that evaluate them in the same second find the same.
const waveRules = `groups:
- name: wave
  interval: 1s
  rules:
  - {record: e2e_wave, expr: floor(vector(time() / 4)) % 2}
  - {record: 'e2e_wave:double', expr: e2e_wave * 2, labels: {of: wave}}
  - {record: e2e_high, expr: e2e_wave == 1}
  - record: e2e_conflict
    expr: label_replace(e2e_wave, "i", "1", "", "") or label_replace(e2e_wave, "i", "2", "", "")
    labels: {i: same}
  - alert: E2EHigh
    expr: e2e_wave == 1
    for: 2s
    labels: {severity: '{{ if gt $value 0.5 }}page{{ end }}'}
    annotations: {summary: 'wave is {{ $value | humanize }} in {{ $externalLabels.dc }}', broken: '{{ first (query "nothing") }}'}
  - {alert: E2EKeep, expr: e2e_wave == 1, keep_firing_for: 2s}
  - {alert: E2ELong, expr: vector(1), for: 4s}
- name: limited
  interval: 2s
  limit: 1
  rules:
  - {alert: E2ELimited, expr: 'label_replace(vector(1), "i", "1", "", "") or vector(1)'}
`

// amRecorder keeps what is sent to an Alertmanager.
type amRecorder struct {
	address string
	mu      sync.Mutex
	alerts  []sentAlert
}

type sentAlert struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
}

func newAMRecorder(t *testing.T) *amRecorder {
	t.Helper()
	r := &amRecorder{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var batch []sentAlert
		if err := json.NewDecoder(req.Body).Decode(&batch); err != nil || req.URL.Path != "/api/v2/alerts" {
			t.Errorf("%s: %v", req.URL, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.alerts = append(r.alerts, batch...)
	}))
	t.Cleanup(server.Close)
	r.address = strings.TrimPrefix(server.URL, "http://")
	return r
}

// lines describes what was sent of alerts that began between two seconds.
func (r *amRecorder) lines(from, to int64) (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.alerts {
		if s := a.StartsAt.Unix(); s >= from && s < to && a.Labels["alertname"] != "E2ELong" {
			lines = append(lines, fmt.Sprint(a.Labels, a.Annotations, s, a.EndsAt.Unix(), a.GeneratorURL))
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// ruled is a server that evaluates rules.
type ruled struct {
	*server
	am *amRecorder
}

// ruleResults returns the samples of all series that rules make, as NAME SECOND VALUE, between two seconds. What depends
// on when the server was started is left out.
func (r *ruled) ruleResults(from, to int64) (lines []string) {
	for _, s := range r.query(`{__name__=~"e2e_.*|ALERTS.*",alertname!="E2ELong"}[5m]`) {
		for _, p := range s.Values {
			if second := p.t / 1000; second >= from && second < to {
				lines = append(lines, fmt.Sprintf("%s %d %v", s.name(), second, p.v))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// ruleStates returns health and error of each rule, as the API has them.
func (r *ruled) ruleStates() (lines []string) {
	var data struct {
		Groups []struct {
			Name  string
			Rules []struct{ Name, Query, Health, LastError, Type string }
		}
	}
	r.get("/rules", nil, &data)
	for _, g := range data.Groups {
		for _, rule := range g.Rules {
			lines = append(lines, fmt.Sprintf("%s %+v", g.Name, rule))
		}
	}
	return lines
}

// long describes the alert E2ELong: its state and the second since when it is active.
func (r *ruled) long() string {
	var data struct {
		Alerts []struct {
			Labels   map[string]string
			State    string
			ActiveAt time.Time
		}
	}
	r.get("/alerts", nil, &data)
	for _, a := range data.Alerts {
		if a.Labels["alertname"] == "E2ELong" {
			return fmt.Sprint(a.State, a.ActiveAt.Unix())
		}
	}
	return ""
}

// TestRulesBesidePrometheus has Prometheus and us evaluate the same file: series, alerts and what is sent are the same,
// and stay so over a restart and a reload.
func TestRulesBesidePrometheus(t *testing.T) {
	t.Parallel()
	component(t, "prometheus", "prometheus")
	dir := t.TempDir()
	file := filepath.Join(dir, "wave.yml")
	write(t, file, waveRules)
	flags := []string{"--web.external-url=http://mon.example/p", "--web.route-prefix=/", "--rules.alert.for-grace-period=1s"}
	config := func(am *amRecorder) string {
		return "global: {external_labels: {dc: x}}\nrule_files: ['" + file + "']\nalerting: {alertmanagers: [{static_configs: [{targets: ['" + am.address + "']}]}]}\n"
	}
	theirData := filepath.Join(t.TempDir(), "data")
	ours, theirs := &ruled{am: newAMRecorder(t)}, &ruled{am: newAMRecorder(t)}
	boot := func() {
		ours.server = start(t, options{dir: dir, config: config(ours.am), args: flags})
		theirs.server = startPrometheus(t, config(theirs.am), theirData, flags...)
	}
	boot()
	// The first evaluations do not write the series of alerts, and Prometheus learns after five seconds of the Alertmanager;
	// after that, two waves.
	from := time.Now().Unix() + 7
	to := from + 16
	time.Sleep(time.Until(time.Unix(to+1, 0))) // What is compared is what comes about with time.
	same := func(what string, got, want []string) {
		t.Helper()
		if len(want) == 0 {
			t.Errorf("%s: nothing to compare", what)
		}
		wantLines(t, what, got, want)
	}
	same("series", ours.ruleResults(from, to), theirs.ruleResults(from, to))
	same("states", ours.ruleStates(), theirs.ruleStates())
	same("sent", ours.am.lines(from, to-8), theirs.am.lines(from, to-8))

	before := ours.long()
	if !strings.HasPrefix(before, "firing") {
		t.Fatal(before)
	}
	theirBefore := theirs.long()
	ours.stop()
	theirs.stop()
	boot()
	eventually(t, 15*time.Second, "alert is restored", func() error {
		if a, b := ours.long(), theirs.long(); a != before || b != theirBefore {
			return fmt.Errorf("ours is %s, was %s; theirs is %s, was %s", a, before, b, theirBefore)
		}
		return nil
	})

	write(t, file, strings.Replace(waveRules, "  - {record: e2e_high, expr: e2e_wave == 1}\n", "  - {record: e2e_new, expr: e2e_wave + 1}\n", 1))
	for _, s := range []*ruled{ours, theirs} {
		if status, body := s.reload(); status != http.StatusOK {
			t.Fatal(status, body)
		}
	}
	from = time.Now().Unix() + 3
	to = from + 8
	time.Sleep(time.Until(time.Unix(to+1, 0)))
	same("series after a reload", ours.ruleResults(from, to), theirs.ruleResults(from, to))
	if a, b := ours.long(), theirs.long(); a != before || b != theirBefore {
		t.Errorf("ours is %s, was %s; theirs is %s, was %s", a, before, b, theirBefore)
	}
}

const toolRules = `groups:
- name: wave
  interval: 1s
  rules:
  - {record: e2e_wave, expr: floor(vector(time() / 4)) % 2}
  - {alert: E2EHigh, expr: e2e_wave == 1, for: 2s, labels: {severity: page}, annotations: {summary: 'wave is {{ $value }}'}}
`

// TestRuleTools takes a rule from being written to being in force.
func TestRuleTools(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), toolRules)
	write(t, filepath.Join(dir, "test.yml"), `rule_files: [rules.yml]
evaluation_interval: 1s
tests:
- alert_rule_test:
  - {eval_time: 5s, alertname: E2EHigh}
  - {eval_time: 6s, alertname: E2EHigh, exp_alerts: [{exp_labels: {severity: page}, exp_annotations: {summary: wave is one}}]}
`)
	if out := wantCommand(t, dir, narthex, "check", "rules", "rules.yml"); out != "Checking rules.yml\n  SUCCESS: 2 rules found\n\n" {
		t.Error(out)
	}
	_, stderr, code := command(t, dir, "", narthex, "test", "rules", "--junit=junit.xml", "test.yml")
	if code != 1 || !strings.Contains(stderr, "  FAILED:\n  unnamed#0: ") || !strings.Contains(stderr, `annotations: {summary="wave is 1"}`) {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "junit.xml")); err != nil || !strings.Contains(string(text), `tests="1" failures="1"`) {
		t.Errorf("%v %s", err, text)
	}
	// What a server has recorded can be asked for by URL, and be read from its directory while it runs.
	s := start(t, options{dir: dir, config: "rule_files: [rules.yml]\n"})
	s.await(20*time.Second, `ALERTS{alertname="E2EHigh",alertstate="firing"}`)
	begin, end := seconds(time.Now().Add(-time.Minute)), seconds(time.Now())
	replay := []string{"rules", "replay", "--start=" + begin, "--end=" + end, "--alert=E2EHigh", "rules.yml"}
	for _, source := range []string{"--url=" + s.base, "--data-dir=data"} {
		stdout, _, _ := command(t, dir, "", narthex, append(replay, source)...)
		if !strings.Contains(stdout, ` pending  {alertname="E2EHigh", severity="page"}`) || !strings.Contains(stdout, ` firing   {alertname="E2EHigh", severity="page"}`) {
			t.Errorf("%s: %s", source, stdout)
		}
	}
	s.stop()
	out := wantCommand(t, dir, narthex, "rules", "backfill", "--data-dir=data", "--output-dir=filled", "--start="+begin, "--end="+end, "rules.yml")
	if !strings.Contains(out, " block 0") {
		t.Error(out)
	}
	again := wantCommand(t, dir, narthex, "rules", "backfill", "--data-dir=data", "--output-dir=filled", "--start="+begin, "--end="+end, "rules.yml")
	if !strings.Contains(again, "is there already") {
		t.Error(again)
	}
}

// unitTests are test files over toolRules. Those that end in bad are to fail.
var unitTests = map[string]string{
	"series":     "- interval: 1s\n  input_series: [{series: a, values: '1+1x5 _x2 stale'}]\n  promql_expr_test: [{expr: a, eval_time: 3s, exp_samples: [{labels: a, value: 4}]}, {expr: a, eval_time: 8s}]\n",
	"series-bad": "- interval: 1s\n  input_series: [{series: a, values: '1+1x5'}]\n  promql_expr_test: [{expr: a, eval_time: 3s, exp_samples: [{labels: a, value: 5}]}]\n",
	"rule":       "- promql_expr_test: [{expr: e2e_wave, eval_time: 4s, exp_samples: [{labels: e2e_wave, value: 1}]}, {expr: count_over_time(e2e_wave[4s]), eval_time: 9s500ms, exp_samples: [{labels: '{}', value: 4}]}]\n",
	"alert":      "- alert_rule_test: [{eval_time: 5s, alertname: E2EHigh}, {eval_time: 6s500ms, alertname: E2EHigh, exp_alerts: [{exp_labels: {severity: page}, exp_annotations: {summary: wave is 1}}]}]\n",
	"alert-bad":  "- alert_rule_test: [{eval_time: 6s, alertname: E2EHigh, exp_alerts: [{exp_labels: {severity: ticket}, exp_annotations: {summary: wave is 1}}]}]\n",
	"early-bad":  "- alert_rule_test: [{eval_time: 5s, alertname: E2EHigh, exp_alerts: [{exp_labels: {severity: page}, exp_annotations: {summary: wave is 1}}]}]\n",
	"name-bad":   "- alert_rule_test: [{eval_time: 5s}]\n",
	"unknown":    "- alert_rule_test: [{eval_time: 5s, alertname: None}]\n",
	"field-bad":  "- alert_rule_tests: []\n",
	"expr-bad":   "- promql_expr_test: [{expr: 'sum(', eval_time: 4s}]\n",
	"values-bad": "- interval: 1s\n  input_series: [{series: a, values: '1+x5'}]\n  promql_expr_test: [{expr: a, eval_time: 3s}]\n",
	"conflict":   "- interval: 1s\n  input_series: [{series: e2e_wave, values: '7x10'}]\n  promql_expr_test: [{expr: e2e_wave, eval_time: 4s, exp_samples: [{labels: e2e_wave, value: 7}]}]\n",
	"alerts":     "- promql_expr_test: [{expr: ALERTS, eval_time: 6s, exp_samples: [{labels: 'ALERTS{alertname=\"E2EHigh\",alertstate=\"firing\",severity=\"page\"}', value: 1}]}]\n",
	"interval":   "- interval: 2s\n  input_series: [{series: a, values: '1+1x5'}]\n  promql_expr_test: [{expr: a, eval_time: 3s, exp_samples: [{labels: a, value: 2}]}]\n",
	"scalar":     "- promql_expr_test: [{expr: '1 + 1', exp_samples: [{labels: '{}', value: 2}]}]\n",
	"nan-bad":    "- promql_expr_test: [{expr: vector(NaN), exp_samples: [{labels: '{}', value: .nan}]}]\n",
	"infinite":   "- promql_expr_test: [{expr: vector(+Inf), exp_samples: [{labels: '{}', value: .inf}]}]\n",
	"external":   "- external_labels: {dc: x}\n  promql_expr_test: [{expr: e2e_wave, eval_time: 4s, exp_samples: [{labels: e2e_wave, value: 1}]}]\n",
	"two":        "- name: one\n  promql_expr_test: [{expr: e2e_wave, eval_time: 4s, exp_samples: [{labels: e2e_wave, value: 1}]}]\n- name: two\n  promql_expr_test: [{expr: e2e_wave, eval_time: 1s, exp_samples: [{labels: e2e_wave, value: 0}]}]\n",
}

// TestUnitTestVerdicts has promtool and us run the same unit tests.
func TestUnitTestVerdicts(t *testing.T) {
	t.Parallel()
	promtool := component(t, "promtool", "prometheus")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), toolRules)
	for name, text := range unitTests {
		file := name + ".yml"
		write(t, filepath.Join(dir, file), "rule_files: [rules.yml]\nevaluation_interval: 1s\ntests:\n"+text)
		theirs, theirErr, want := command(t, dir, "", promtool, "test", "rules", file)
		ours, ourErr, got := command(t, dir, "", narthex, "test", "rules", file)
		if got != want {
			t.Errorf("%s: our exit code is %d, theirs %d\n%s%s%s%s", name, got, want, ours, ourErr, theirs, theirErr)
		}
	}
}
