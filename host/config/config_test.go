package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return parse("prometheus.yml", []byte(text), func(name string) string {
		return map[string]string{"REGION": "eu"}[name]
	})
}

func TestLoad(t *testing.T) {
	c, err := load(t, `
global:
  scrape_interval: 15s
  external_labels: {region: "${REGION}-1", price: "$$5"}
  parsers: [parser-a, {plugin: parser-b, config: {x: [1, {y: z}]}, content_types: [a/b]}]
storage: {tsdb: {retention: {time: 30d, size: 10GB}}}
plugins: {directory: guests}
scrape_configs:
- job_name: node
  exporters: [{plugin: exporter-node, config: {collectors: [cpu]}}]
- job_name: apps
  scrape_interval: 5s
  file_sd_configs: [{files: [targets/*.json]}]
  basic_auth: {username: u, password: hidden-word}
- job_name: parsed
  parser: {plugin: parser-c, config: {x: 1}}
- job_name: unparsed
  parsers: []
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Global.Labels().String(); got != `{price="$5", region="eu-1"}` {
		t.Errorf("external labels are %s", got)
	}
	if j := c.ScrapeConfigs[1]; j.Interval() != 5*time.Second || j.Timeout() != 5*time.Second || len(j.Discovery.Plugins) != 1 {
		t.Errorf("job is %+v", j)
	}
	if got, want := c.Origins[1].Position("file_sd_configs[0]"), "prometheus.yml:13: scrape_configs[1].file_sd_configs[0]"; got != want {
		t.Errorf("position is %s, want %s", got, want)
	}
	for i, want := range []int{2, 2, 1, 0} {
		if all, _ := c.ScrapeConfigs[i].AllParsers(); len(all) != want {
			t.Errorf("job %d has %d parsers, want %d", i, len(all), want)
		}
	}
	shown := c.String()
	if strings.Contains(shown, "hidden-word") || !strings.Contains(shown, "job_name: apps") || !strings.Contains(shown, "scrape_interval: 15s") {
		t.Errorf("shown as\n%s", shown)
	}
	if !strings.Contains(shown, "file_sd_configs") {
		t.Errorf("shown without the discovery:\n%s", shown)
	}
	again, err := load(t, strings.ReplaceAll(shown, "$", "$$"))
	if err != nil {
		t.Fatalf("what is shown does not load: %v\n%s", err, shown)
	}
	if again.String() != shown {
		t.Errorf("shown and loaded again:\n%s", again)
	}
}

// stock is what the configuration that comes with Prometheus says about parts that are missing here.
const stock = "alerting:\n  alertmanagers:\n  - static_configs:\n    - targets:\n      # - alertmanager:9093\nrule_files:\n  # - first.yml\n"

func TestEmptyFileIsValid(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "global:\nscrape_configs:\nrule_files:\n", stock} {
		c, err := load(t, text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if time.Duration(c.Global.ScrapeInterval) != time.Minute {
			t.Errorf("%q: scrape interval is %v", text, c.Global.ScrapeInterval)
		}
	}
}

func TestMistakes(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		_, err := load(t, text)
		if err == nil {
			t.Errorf("%q is accepted", text)
		} else if got := err.Error(); got != want {
			t.Errorf("%q\n got %s\nwant %s", text, got, want)
		}
	}
	check("scrape_configs:\n- job_nam: x", "prometheus.yml:2: scrape_configs[0].job_nam: unknown field; did you mean job_name?")
	check("scrap_configs: []", "prometheus.yml:1: scrap_configs: unknown field; did you mean scrape_configs?")
	check("global: {scrape_interval: 1}", `prometheus.yml:1: global.scrape_interval: not a valid duration string: "1"`)
	check("scrape_configs:\n- job_name: a\n- job_name: b\n- job_name: a",
		`prometheus.yml:4: scrape_configs[2].job_name: "a" is the name of the job at prometheus.yml:2: scrape_configs[0] too: names must differ`)
	check("scrape_configs:\n- job_name: a\n  scrape_interval: 5s\n  scrape_timeout: 10s",
		`prometheus.yml:4: scrape_configs[0].scrape_timeout: scrape timeout 10s is greater than scrape interval 5s of job "a"`)
	check("rule_files: [a.yml, a/*/b.yml]", `prometheus.yml:1: rule_files[1]: invalid rule file path "a/*/b.yml": one * in the last step of the path is allowed`)
	check("remote_write:\n- url: http://x\n  queue_config: {max_shards: 0}", "prometheus.yml:3: remote_write[0].queue_config.max_shards: remote write queue max_shards must be positive")
	check("remote_write:\n- name: x", "prometheus.yml:2: remote_write[0].url: url for remote_write is empty")
	check("a:\n\t- b", "prometheus.yml:2: a tab indents this line, where YAML takes spaces only")
	check("scrape_configs:\n-", "prometheus.yml:2: scrape_configs[0]: empty or null scrape config section")
}

func TestSeveralMistakesAreOneLineEach(t *testing.T) {
	_, err := load(t, "tracing: {endpoint: x}\nscrape_configs:\n- job_name: ''\n- job_name: b\n  scheme: ftp")
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Fatalf("got %v", err)
	}
}

func TestScrapeConfigFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("main.yml", "scrape_config_files: [more/*.yml]\nscrape_configs: [{job_name: one}]")
	write("more/two.yml", "scrape_configs:\n- job_name: two\n  basic_auth: {password_file: secret}\n")
	c, err := Load(filepath.Join(dir, "main.yml"), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.ScrapeConfigs) != 2 || c.ScrapeConfigs[1].HTTPClient.BasicAuth.PasswordFile != filepath.Join(dir, "more", "secret") {
		t.Fatalf("got %+v", c.ScrapeConfigs)
	}
	write("more/three.yml", "scrape_configs:\n- job_name: one\n")
	_, err = Load(filepath.Join(dir, "main.yml"), os.Getenv)
	if err == nil || !strings.Contains(err.Error(), "three.yml:2: scrape_configs[0].job_name") {
		t.Fatalf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("scrape_configs: [{job_name: a, static_configs: [{targets: [b]}]}]")
	f.Add("global: {external_labels: {a: $x}}\nplugins: {settings: {x: {limits: {memory: 3MiB}}}}")
	f.Fuzz(func(_ *testing.T, text string) {
		c, err := parse("f.yml", []byte(text), func(string) string { return "" })
		if err == nil {
			_ = c.String()
		}
	})
}

func TestReceivers(t *testing.T) {
	c, err := load(t, `
alerting:
  webhook_notify_configs:
  - url: http://x
    group_by: [alertname, job]
    group_wait: 5s
    basic_auth: {username: u, password: hidden-word}
  - name: other
    url: http://y/hidden-word?x=y
    send_resolved: false
    alert_relabel_configs: [{source_labels: [severity], regex: page, action: keep}]
  mail_notify_configs: [{to: a@b.example}]
`)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Alerting.Receivers
	if len(r) != 3 || r[0].Name != "webhook" || r[1].Name != "other" || r[2].Name != "mail" || !r[0].SendResolved || r[1].SendResolved ||
		time.Duration(r[0].GroupWait) != 5*time.Second || time.Duration(r[1].GroupInterval) != 5*time.Minute || r[1].Index != 1 {
		t.Errorf("receivers are %+v", r)
	}
	if got := string(r[2].JSON); got != `{"to":"a@b.example"}` {
		t.Errorf("the plugin's part is %s", got)
	}
	shown := c.String()
	if strings.Contains(shown, "hidden-word") || !strings.Contains(shown, "webhook_notify_configs:") {
		t.Errorf("shown as\n%s", shown)
	}
	again, err := load(t, shown)
	if err != nil || again.String() != shown {
		t.Errorf("shown and loaded again: %v\n%s\n%s", err, shown, again)
	}

	check := func(text, want string) {
		t.Helper()
		_, err := load(t, "alerting:\n  "+text)
		if err == nil || err.Error() != "prometheus.yml:2: alerting."+want {
			t.Errorf("%s\n got %v\nwant prometheus.yml:2: alerting.%s", text, err, want)
		}
	}
	check("x_notify_configs: {}", "x_notify_configs: a list is needed here")
	check("x_notify_configs: [5]", "x_notify_configs[0]: a mapping is needed here")
	check("x_notify_configs: [{name: a}, {name: a}]", `x_notify_configs[1]: "a" is the name of x_notify_configs[0] too: give each a name of its own`)
	check("x_notify_configs: [{name: ../a}]", `x_notify_configs[0].name: "../a" is not made of letters, digits, dots, _ and -, 64 at most`)
	check("x_notify_configs: [{group_wait: 5}]", `x_notify_configs[0].group_wait: not a valid duration string: "5"`)
	check("x_notify_configs: [{group_interval: 0s}]", "x_notify_configs[0].group_interval: the interval must be above zero")
	check("x_notify_configs: [{group_by: [..., a]}]", "x_notify_configs[0].group_by[0]: ... stands for all labels and stands alone")
	check("x_notify_configs: [{group_by: [a, a]}]", `x_notify_configs[0].group_by[1]: "a" is empty or given twice`)
}
