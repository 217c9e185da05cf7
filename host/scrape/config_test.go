package scrape

import (
	"strings"
	"testing"
)

func TestConfigErrors(t *testing.T) {
	fails := func(config, want string) {
		t.Helper()
		_, err := loadConfigs("- job_name: j\n" + config)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
	fails("  bogus: 1\n", "3: scrape_configs[0].bogus: unknown field")
	fails("  sample_limit: -1\n", `3: scrape_configs[0].sample_limit: "-1" is not a whole number`)
	fails("  scrape_interval: soon\n", "3: scrape_configs[0].scrape_interval: ")
	fails("  scrape_timeout: 11s\n", "scrape_configs[0].scrape_timeout: scrape timeout 11s is greater than scrape interval 10s of job \"j\"")
	fails("  body_size_limit: 10\n", `scrape_configs[0].body_size_limit: "10" has no known unit`)
	fails("  scheme: ftp\n", `scrape_configs[0].scheme: "ftp" is neither http nor https`)
	fails("  scrape_protocols: []\n", "scrape_configs[0].scrape_protocols: scrape_protocols cannot be empty")
	fails("  scrape_protocols: [PrometheusText0.0.4, PrometheusText0.0.4]\n", "scrape_protocols[1]: protocol PrometheusText0.0.4 is listed twice")
	fails("  scrape_protocols: [x]\n", `scrape_protocols[0]: unknown scrape protocol "x"`)
	fails("  fallback_scrape_protocol: x\n", `fallback_scrape_protocol: unknown scrape protocol "x"`)
	fails("  metric_name_validation_scheme: x\n", "metric_name_validation_scheme: \"x\" is neither utf8 nor legacy")
	fails("  metric_name_validation_scheme: legacy\n  metric_name_escaping_scheme: allow-utf-8\n", "metric_name_escaping_scheme: allow-utf-8 asks for names")
	fails("  credentials: {a: {basic_auth: {user: x}}}\n", "3: scrape_configs[0].credentials.a.basic_auth.user: unknown field")
	fails("  credentials: {a: null}\n", "credentials.a: empty or null credential")
	fails("  credentials: {a: {basic_auth: {username: x}, oauth2: {}}}\n", "scrape_configs[0].credentials.a.basic_auth: ")
	fails("  relabel_configs: [{regex: '(', target_label: x}]\n", "3: scrape_configs[0].relabel_configs[0].regex: ")
	fails("  relabel_configs: [{action: x}]\n", `relabel_configs[0].action: unknown action "x"`)
	fails("  metric_relabel_configs: [null]\n", "metric_relabel_configs[0]: empty or null rule")
	fails("  static_configs: [{targets: ['http://x']}]\n", `static_configs[0].targets[0]: "http://x" is not a valid hostname`)
	fails("  static_configs: [{hosts: ['x']}]\n", "3: scrape_configs[0].static_configs[0].hosts: unknown field")
	fails("  static_config: []\n", "3: scrape_configs[0].static_config: unknown field; did you mean static_configs?")
	fails("  statc_configs: []\n", "3: scrape_configs[0].statc_configs: unknown field; did you mean static_configs?")
	fails("  kubernetes_sd_confgs: []\n", "3: scrape_configs[0].kubernetes_sd_confgs: unknown field; did you mean kubernetes_sd_configs?")
	fails("  file_sd_config: []\n", "3: scrape_configs[0].file_sd_config: unknown field; did you mean file_sd_configs?")
	fails("  static_configs: [null]\n", "static_configs[0]: empty or null entry")
	fails("  basic_auth: {username: a, pass: b}\n", "3: scrape_configs[0].basic_auth.pass: unknown field")
	fails("  basic_auth: {username: a}\n  bearer_token: x\n", "at most one of basic_auth, oauth2, bearer_token")
	fails("  parser: {config: {}}\n", "3: scrape_configs[0].parser.plugin: a plugin's name is needed")
	fails("  parser: ''\n", "3: scrape_configs[0].parser.plugin: a plugin's name is needed")
	fails("  parser: [a]\n", "3: scrape_configs[0].parser: ")
	fails("  parser: {plugin: a, confg: {}}\n", "3: scrape_configs[0].parser.confg: unknown field; did you mean config?")
	fails("  parser: {plugin: a, content_types: [a/b]}\n", "3: scrape_configs[0].parser.content_types: parser reads every body of the job")
	fails("  parser: a\n  parsers: [b]\n", "3: scrape_configs[0].parser: parser reads every body of the job, so that nothing is left for parsers")
	fails("  parsers: {a: b}\n", "3: scrape_configs[0].parsers: ")
	fails("  parsers: [a, null]\n", "3: scrape_configs[0].parsers[1]: empty entry")
	fails("  parsers: [{plugin: a, content_types: []}]\n", "3: scrape_configs[0].parsers[0].content_types: the list is empty")
	fails("  parsers: [{plugin: a, content_types: [json]}]\n", `parsers[0].content_types[0]: "json" is no media type`)
	fails("  parsers: [{plugin: a, content_types: [a/b, a/*]}]\n", `parsers[0].content_types[1]: "a/*" is no media type`)
	fails("  parsers: [{plugin: a, content_types: [a/b; c=d]}]\n", `parsers[0].content_types[0]: "a/b; c=d" is no media type`)
	fails("  parsers: [{plugin: a, content_types: [a/b]}, {plugin: b, content_types: [A/B]}]\n", "parsers[1].content_types[0]: a/b is read by entry 0 already")
	fails("  exporters: [{config: {}}]\n", "exporters[0].plugin: a plugin's name is needed")
	fails("  exporters: [{plugin: a}, {plugin: b}, {plugin: a}]\n", "exporters[2]: has the plugin and the labels of entry 0")
	fails("  exporters: [{plugin: a, extra: 1}]\n", "exporters[0].extra: unknown field")
}

func TestConfigInherits(t *testing.T) {
	cfgs := parseConfigs(t, `
- job_name: j
  scrape_interval: 5s
  body_size_limit: 1.5KB
  follow_redirects: false
  file_sd_configs: [{files: [a.yml]}]
  acme_sd_configs: [{server: x, token: hidden}, {server: y}]
`)
	c := cfgs[0]
	if c.Interval().Seconds() != 5 || c.Timeout().Seconds() != 5 || c.BodySizeLimit != 1536 || c.HTTPClient.FollowRedirects ||
		!c.HTTPClient.EnableHTTP2 || !c.HonorTimestamps || c.MetricsPath != "/metrics" {
		t.Errorf("config %+v", c)
	}
	p := c.Discovery.Plugins
	if len(p) != 3 || p[0].Name() != "file_sd_configs[0]" || string(p[1].JSON) != `{"server":"x","token":"hidden"}` || p[2].Index != 1 || p[2].Line != 8 {
		t.Errorf("plugins %+v", p)
	}
}

func TestByteSize(t *testing.T) {
	is := func(text string, want ByteSize, shown string) {
		t.Helper()
		got, err := ParseByteSize(text)
		if err != nil || got != want || got.String() != shown {
			t.Errorf("%s: got %d, shown as %s, %v, want %d", text, got, got, err, want)
		}
	}
	is("0", 0, "0B")
	is("10B", 10, "10B")
	is("1KB", 1024, "1KiB")
	is("2MiB", 2<<20, "2MiB")
	is("1.5GB", 3<<29, "1GiB512MiB")
	is("1GiB512MiB", 3<<29, "1GiB512MiB")
	is("1MiB476KB", 1500<<10, "1MiB476KiB")
	for _, bad := range []string{"", "1", "KB", "-1KB", "1XB", "1K", "1KKB", "9EB9", "100EB", "1KiB5", "KiB1KiB", "1..5KB", "1iB", "1KBB"} {
		if got, err := ParseByteSize(bad); err == nil {
			t.Errorf("%s: got %d, want an error", bad, got)
		}
	}
}
