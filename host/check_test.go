package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/config"
)

func TestCheckConfig(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "prometheus.yml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := CheckConfig(t.Context(), file, CheckOptions{Getenv: os.Getenv})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), file+":"+want)):
			t.Errorf("%q\n got %v\nwant FILE:%s…", text, err, want)
		}
	}
	check("scrape_configs:\n- job_name: a\n  tls_config: {insecure_skip_verify: true}\n", "")
	check("scrape_configs:\n- job_name: a\n- job_name: b\n  scheme: https\n  tls_config:\n    ca_file: none.pem\n",
		"5: scrape_configs[1].tls_config: make HTTP client for b: unable to read CA cert")
	check("scrape_configs:\n- job_name: a\n  authorization: {credentials_file: none}\n",
		"3: scrape_configs[0].authorization: file with credentials: stat ")
	check("scrape_configs:\n- job_name: a\n  basic_auth: {username: a, password_file: none}\n",
		"3: scrape_configs[0].basic_auth: file with credentials: stat ")
	check("scrape_configs:\n- job_name: a\n  oauth2: {client_id: a, client_secret_file: none, token_url: 'http://x'}\n",
		"3: scrape_configs[0].oauth2: file with credentials: stat ")
	check("alerting:\n  alertmanagers:\n  - authorization: {credentials_file: none}\n",
		"3: alerting.alertmanagers[0].authorization: file with credentials: stat ")
	check("alerting:\n  webhook_notify_config: []\n",
		"2: alerting.webhook_notify_config: unknown field; did you mean webhook_notify_configs?")
	check("scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [h:1]\n    labels: {__scrape_interval__: 0s}\n",
		"4: scrape_configs[0].static_configs[0].targets[0]: target h:1: scrape interval cannot be 0")
	check("scrape_configs:\n- job_name: a\n  static_configs:\n  - targets:\n    - h:1\n    - h:2\n    labels: {__scrape_timeout__: 2h}\n"+
		"  relabel_configs: [{source_labels: [__address__], regex: h:1, action: drop}]\n",
		"6: scrape_configs[0].static_configs[0].targets[1]: target h:2: scrape timeout 2h0m0s is greater than scrape interval 1m0s")
	check("scrape_configs:\n- job_name: a\n  bearer_token_file: none\n",
		"2: scrape_configs[0].authorization: file with credentials: stat ")
}

func TestCredentialsOfPluginsAreLookedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	text := "alerting:\n" +
		"  alertmanagers: [{http_sd_configs: [{url: 'http://x', basic_auth: {username: a, password_file: none}}]}]\n" +
		"  webhook_notify_configs: [{url: 'http://x', authorization: {credentials_file: none}}]\n" +
		"scrape_configs:\n- job_name: a\n  http_sd_configs:\n  - {url: 'http://x', authorization: {credentials_file: prometheus.yml}}\n" +
		"  - {url: 'http://x', authorization: {credentials_file: none}}\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	var want config.Errors
	if err := checkCredentials(cfg); !errors.As(err, &want) || len(want) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, place := range []string{
		"8: scrape_configs[0].http_sd_configs[1].authorization: file with credentials: stat ",
		"2: alerting.alertmanagers[0].http_sd_configs[0].basic_auth: file with credentials: stat ",
		"3: alerting.webhook_notify_configs[0].authorization: file with credentials: stat ",
	} {
		if !strings.HasPrefix(want[i].Error(), file+":"+place) {
			t.Errorf("got %v, want FILE:%s…", want[i], place)
		}
	}
}
