package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	check("scrape_configs:\n- job_name: a\n  bearer_token_file: none\n",
		"2: scrape_configs[0].authorization: file with credentials: stat ")
}
