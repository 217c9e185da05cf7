//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// commandFiles are what the command lines below are about.
var commandFiles = map[string]string{
	"good.yml":    "rule_files: [rules.yml]\nscrape_configs:\n- job_name: a\n  static_configs: [{targets: ['h:1']}]\n",
	"bad.yml":     "scrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n",
	"nocert.yml":  "scrape_configs:\n- job_name: a\n  tls_config: {cert_file: none.pem, key_file: none.key}\n",
	"norules.yml": "rule_files: [none.yml]\n",
	"rules.yml":   "groups:\n- name: g\n  rules: [{record: a, expr: b}, {alert: A, expr: b > 1}]\n",
	"twice.yml":   "groups:\n- name: g\n  rules: [{record: a, expr: b}, {record: a, expr: c}]\n",
	"broken.yml":  "groups:\n- name: g\n  rules: [{record: a, expr: 'sum('}]\n",
	"good.txt":    "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"2\"} 1\n# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
	"remarks.txt": "# TYPE requests counter\nrequests 1\n",
	"broken.txt":  "a{ 1\n",
	"web.yml":     "basic_auth_users: {me: $2y$04$uIsFqgBgHxrtgSjwQGoXdeSwPVDQCTZhAyi8/zkk6PXJkhyxKOIaC}\n",
	"badweb.yml":  "basic_auth_users: {me: secret}\n",
}

// commandLines are run by both programs, "< FILE" at the end is what they read. What is printed has to be the same where
// they begin with "=".
var commandLines = []string{
	"check config good.yml", "check config bad.yml", "check config good.yml bad.yml", "check config absent.yml", "check config",
	"check config nocert.yml", "check config norules.yml", "check config --syntax-only nocert.yml", "check config --lint=none --lint-fatal good.yml",
	"=check rules rules.yml", "check rules twice.yml", "check rules --lint-fatal twice.yml", "check rules --lint-fatal twice.yml broken.yml",
	"=check rules --lint=none twice.yml", "check rules broken.yml", "check rules absent.yml", "check rules --no-such-flag rules.yml",
	"=check metrics < good.txt", "=check metrics --extended < good.txt", "=check metrics < remarks.txt", "check metrics < broken.txt",
	"=check web-config web.yml", "check web-config badweb.yml", "check web-config web.yml absent.yml", "check web-config",
	"check", "check nothing", "query", "query instant", "query instant http://localhost:1 up",
	"=query instant --time={now} {server} up", "=query instant --time={now} -o json {server} up", "=query -o json instant --time={now} {server} 1+1",
	"query instant {server} sum(", "query instant --time=x {server} up", "query instant -o yaml {server} up",
	"=query range --start={before} --end={now} --step=1s {server} up", "=query range --start={before} --end={now} -o json {server} up",
	"query range --start={now} --end={before} {server} up", "query range --step=x {server} up",
	"=query series --match=up {server}", "=query series --match=up -o json {server}", "query series {server}", "query series --match=up{ {server}",
	"=query labels {server} job", "=query labels -o json {server} job", "query labels {server}",
	"debug metrics http://localhost:1", "debug metrics",
}

// TestCommandsBesidePromtool runs the same command lines through promtool and through ourselves under its name.
func TestCommandsBesidePromtool(t *testing.T) {
	t.Parallel()
	promtool := component(t, "promtool", "prometheus")
	target := newRecorder(t)
	s := start(t, options{config: "scrape_configs:\n" + staticJob("a", "100ms", target.address), args: []string{"--web.enable-remote-write-receiver"}})
	begin := time.Now()
	target.awaitMore(t, 2)
	s.await(10*time.Second, `up{job="a"} == 1`)
	dir := t.TempDir()
	for name, text := range commandFiles {
		write(t, filepath.Join(dir, name), text)
	}
	ours := filepath.Join(dir, "promtool")
	if err := os.Symlink(narthex, ours); err != nil {
		t.Fatal(err)
	}
	values := strings.NewReplacer("{server}", s.base, "{now}", fmt.Sprint(time.Now().Unix()), "{before}", fmt.Sprint(begin.Add(-5*time.Second).Unix()))
	for _, line := range commandLines {
		text, same := strings.CutPrefix(values.Replace(line), "=")
		words, file, _ := strings.Cut(text, " < ")
		run := func(program string) (out, errs string, code int) {
			return command(t, dir, commandFiles[file], program, strings.Fields(words)...)
		}
		theirs, theirErr, want := run(promtool)
		out, errs, got := run(ours)
		if got != want {
			t.Errorf("%s: our exit code is %d, theirs %d\n%s%s\n%s%s", line, got, want, out, errs, theirs, theirErr)
		}
		if same && (out != theirs || errs != theirErr) {
			t.Errorf("%s: we print\n%s%s\nthey\n%s%s", line, out, errs, theirs, theirErr)
		}
		if want == 1 && errs == "" || want == 0 && theirs != "" && out == "" {
			t.Errorf("%s: we print\n%s\nand on standard error\n%s", line, out, errs)
		}
	}
}

// TestPush writes metrics to a server, by both versions of remote write.
func TestPush(t *testing.T) {
	t.Parallel()
	s := start(t, options{config: "", args: []string{"--web.enable-remote-write-receiver"}})
	dir := t.TempDir()
	for name, text := range commandFiles {
		write(t, filepath.Join(dir, name), text)
	}
	for i, message := range []string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"} {
		job := fmt.Sprint("pushed", i)
		out := wantCommand(t, dir, narthex, "push", "metrics", "--label=job="+job, "--protobuf_message="+message, s.base, "good.txt", "remarks.txt")
		if strings.Count(out, "SUCCESS") != 2 {
			t.Errorf("it prints %s", out)
		}
		if got := s.query(`count({job="` + job + `"})`); len(got) != 1 || got[0].Value.v != 6 {
			t.Errorf("%s: the server has %v", message, got)
		}
	}
	out, errs, code := command(t, dir, "", narthex, "push", "metrics", s.base, "broken.txt", "good.txt")
	if code != 1 || strings.Count(out, "SUCCESS") != 1 || !strings.Contains(errs, "FAILED: broken.txt: line 1: ") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

const discoveredJob = `scrape_configs:
- job_name: a
  static_configs: [{targets: ['s:1', 's:2'], labels: {from: file}}]
  file_sd_configs: [{files: [targets.json]}]
  relabel_configs:
  - {source_labels: [__address__], regex: 's:2', action: drop}
  - {source_labels: [__meta_filepath], target_label: path}
`

// TestCheckDiscovery lists the targets of a job that a file and a plugin name.
func TestCheckDiscovery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.yml"), discoveredJob)
	write(t, filepath.Join(dir, "targets.json"), `[{"targets":["f:1","f:2"],"labels":{"x":"y"}},{"targets":["f:3"]}]`)
	var all []struct {
		Discovered map[string]string `json:"discoveredLabels"`
		Labels     map[string]string `json:"labels"`
	}
	text := wantCommand(t, dir, narthex, "check", "service-discovery", "p.yml", "a")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var found []string
	for _, one := range all {
		found = append(found, one.Discovered["__address__"]+" "+one.Labels["instance"]+" "+one.Labels["path"]+one.Labels["x"])
	}
	want := []string{"s:1 s:1 ", "s:2  ", "f:1 f:1 targets.jsony", "f:2 f:2 targets.jsony", "f:3 f:3 targets.json"}
	if !slices.Equal(found, want) {
		t.Errorf("it lists %q, want %q", found, want)
	}
}

// TestDebugArchive collects what a server says about itself.
func TestDebugArchive(t *testing.T) {
	t.Parallel()
	s := start(t, options{config: ""})
	dir := t.TempDir()
	out := wantCommand(t, dir, narthex, "debug", "all", "--seconds=1", s.base)
	if !strings.Contains(out, "collecting: "+s.base+"/debug/pprof/heap\n") || !strings.HasSuffix(out, "debug.tar.gz\n") {
		t.Errorf("it prints %s", out)
	}
	files, _, code := command(t, dir, "", "tar", "tzf", "debug.tar.gz")
	if want := "goroutine.pb\nheap.pb\nthreadcreate.pb\nblock.pb\nmutex.pb\ncpu.pb\ntrace.pb\nmetrics.txt\n"; code != 0 || files != want {
		t.Errorf("the archive has %s", files)
	}
}
