//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// badConfig is a mistake at the end of a configuration, with the field that a report has to name and a word of the reason.
type badConfig struct{ mistake, more, path, reason string }

var badConfigs = []badConfig{
	{"unknown field", "  - {job_name: b, scrape_intervall: 5s}\n", "scrape_configs[1].scrape_intervall", "scrape_intervall"},
	{"wrong type", "  - {job_name: b, honor_labels: [1, 2]}\n", "scrape_configs[1].honor_labels", "bool"},
	{"duplicate job", "  - {job_name: steady}\n", "scrape_configs[1].job_name", `"steady"`},
	{"timeout over interval", "  - {job_name: b, scrape_interval: 1s, scrape_timeout: 2s}\n", "scrape_configs[1].scrape_timeout", "interval"},
	{"bad regex", "  - job_name: b\n    relabel_configs: [{source_labels: [job], target_label: x, regex: 'a('}]\n", "scrape_configs[1].relabel_configs[0].regex", "missing closing )"},
	{"bad duration", "  - {job_name: b, scrape_interval: 5 parsecs}\n", "scrape_configs[1].scrape_interval", "duration"},
	{"key that no plugin claims", "  - job_name: b\n    foo_sd_configs: [{a: b}]\n", "scrape_configs[1].foo_sd_configs[0]", "no plugin claims the key foo_sd_configs"},
	{"empty list that no plugin claims", "  - job_name: b\n    foo_sd_configs: []\n", "scrape_configs[1].foo_sd_configs", "no plugin claims the key foo_sd_configs"},
	{"exporter that is not there", "  - job_name: b\n    exporters: [{plugin: exporter-nowhere}]\n", "scrape_configs[1].exporters[0]", "exporter-nowhere"},
	{"section that a discovery refuses", "  - job_name: b\n    file_sd_configs: [{files: ['a/*/b.yml']}]\n", "scrape_configs[1].file_sd_configs[0]", "files"},
	{"section that an exporter refuses", "  - job_name: b\n    exporters: [{plugin: exporter-node, config: {collectors: [horoscope]}}]\n", "scrape_configs[1].exporters[0]", "horoscope"},
	{"pattern that cannot be", "rule_files: [rules*/a.yml]\n", "rule_files[0]", "invalid rule file path"},
	{"YAML that is none", "  - {job_name: b\n", "", ""},
}

// wantReported checks that a report is one line with file, line, field and reason.
func (bad badConfig) wantReported(t *testing.T, report string) {
	t.Helper()
	want := regexp.MustCompile(`^narthex\.yml:\d+: ` + regexp.QuoteMeta(bad.path) + `[^\n]*$`)
	if !want.MatchString(report) || !strings.Contains(report, bad.reason) {
		t.Errorf("%s is reported as\n%s\nwant file, line, %q and %q, on one line", bad.mistake, report, bad.path, bad.reason)
	}
}

// TestCheckConfig: what a reload would refuse, `narthex check config` finds beforehand, in the same words.
func TestCheckConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := "scrape_configs:\n" + staticJob("steady", "400ms", "localhost:1")
	write(t, filepath.Join(dir, "narthex.yml"), good)
	if out := wantCommand(t, dir, narthex, "check", "config", "narthex.yml"); out != "Checking narthex.yml\n  SUCCESS: narthex.yml is valid, with 1 scrape config\n\n" {
		t.Errorf("it prints %s", out)
	}
	for _, bad := range badConfigs {
		write(t, filepath.Join(dir, "narthex.yml"), good+bad.more)
		_, stderr, code := command(t, dir, "", narthex, "check", "config", "narthex.yml")
		if code != 1 {
			t.Errorf("%s: exit code %d", bad.mistake, code)
		}
		bad.wantReported(t, strings.TrimSpace(strings.TrimPrefix(stderr, "  FAILED:\n")))
	}
}

// TestReload: a bad configuration changes nothing at all, a good one changes what it says, and a job that is in both
// misses no scrape.
func TestReload(t *testing.T) {
	steady := newRecorder(t)
	const interval = 400 * time.Millisecond
	good := "scrape_configs:\n" + staticJob("steady", "400ms", steady.address)
	s := start(t, options{config: good})
	steady.awaitMore(t, 2)
	inForce := s.configInForce()

	for _, bad := range badConfigs {
		for _, reload := range []func() string{s.reloadByHTTP, s.reloadBySignal} {
			s.wantReload(good)
			s.awaitReloadState(1)
			write(t, s.config, good+bad.more)
			answer := reload()
			bad.wantReported(t, answer)
			s.wantUnchanged(bad.mistake, inForce)
		}
	}

	// Good ones add and remove jobs.
	other, third := newRecorder(t), newRecorder(t)
	s.wantReload(good + staticJob("other", "200ms", other.address))
	s.await(5*time.Second, `up{job="other"} == 1`)
	write(t, s.config, good+staticJob("third", "200ms", third.address))
	s.signal(syscall.SIGHUP)
	s.await(5*time.Second, `up{job="third"} == 1`)
	eventually(t, 5*time.Second, "the series of the removed job end", func() error {
		if got := s.query(`{job="other"}`); len(got) > 0 {
			return fmt.Errorf("there are %v", got)
		}
		return nil
	})
	if got := s.jobs(); !slices.Equal(got, []string{"steady", "third"}) {
		t.Errorf("the jobs are %v", got)
	}
	s.awaitReloadState(1)
	steady.wantCadence(t, interval)
	if got := s.query(`min_over_time(up[5m]) == 0`); len(got) > 0 {
		t.Errorf("scrapes failed: %v", got)
	}
}

// reloadByHTTP reloads a bad configuration and returns what the answer says about it.
func (s *server) reloadByHTTP() string {
	s.t.Helper()
	status, body := s.reload()
	reason, ok := strings.CutPrefix(strings.TrimSuffix(body, "\n"), "failed to reload config: ")
	if status != http.StatusInternalServerError || !ok {
		s.t.Errorf("the answer is %d %s", status, body)
	}
	return reason
}

var notLoaded = regexp.MustCompile(`msg="configuration not loaded, the old one stays in force" file=narthex.yml err=("(?:[^"\\]|\\.)*")`)

// reloadBySignal reloads a bad configuration and returns what the log says about it.
func (s *server) reloadBySignal() (reason string) {
	s.t.Helper()
	before := len(s.output())
	s.signal(syscall.SIGHUP)
	eventually(s.t, 10*time.Second, "the log says what is wrong", func() error {
		match := notLoaded.FindStringSubmatch(s.output()[before:])
		if match == nil {
			return errors.New("it does not")
		}
		var err error
		reason, err = strconv.Unquote(match[1])
		return err
	})
	return reason
}

func (s *server) configInForce() string {
	s.t.Helper()
	var data struct{ YAML string }
	s.get("/status/config", nil, &data)
	return data.YAML
}

// awaitReloadState waits until the last reload has succeeded (1) or failed (0).
func (s *server) awaitReloadState(want float64) {
	s.t.Helper()
	eventually(s.t, 10*time.Second, fmt.Sprintf("prometheus_config_last_reload_successful is %v", want), func() error {
		if got, _ := s.metric("prometheus_config_last_reload_successful", ""); got != want {
			return errors.New("it is not")
		}
		return nil
	})
}

// wantUnchanged checks that everything is as before, after a mistake.
func (s *server) wantUnchanged(mistake, inForce string) {
	s.t.Helper()
	s.awaitReloadState(0)
	if got := s.configInForce(); got != inForce {
		s.t.Errorf("after %s the configuration in force has become\n%s", mistake, got)
	}
	if got := s.jobs(); !slices.Equal(got, []string{"steady"}) {
		s.t.Errorf("after %s the jobs are %v", mistake, got)
	}
}

// jobs are the names of the scrape pools.
func (s *server) jobs() []string {
	s.t.Helper()
	var data struct{ ScrapePools []string }
	s.get("/scrape_pools", nil, &data)
	return data.ScrapePools
}
