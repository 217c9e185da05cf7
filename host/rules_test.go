package host

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRules sees a recorded series, an alert in the API, and what a bad rule file does to a reload.
func TestRules(t *testing.T) {
	s := start(t, "")
	file := filepath.Join(filepath.Dir(s.config), "a.rules")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reload := func(want int) string {
		t.Helper()
		status, body := s.do(http.MethodPost, "/-/reload")
		if status != want {
			t.Fatal(status, body)
		}
		return body
	}
	write("groups:\n- name: g\n  interval: 50ms\n  rules:\n  - {record: one, expr: vector(1)}\n  - {alert: A, expr: one == 1, annotations: {a: '{{ $value }}'}}\n")
	s.write("rule_files: ['*.rules']\n")
	reload(http.StatusOK)
	s.eventually("/api/v1/query?query=one", `"metric":{"__name__":"one"}`)
	s.eventually("/api/v1/query?query=ALERTS", `"metric":{"__name__":"ALERTS","alertname":"A","alertstate":"firing"}`)
	s.eventually("/api/v1/alerts", `{"labels":{"alertname":"A"},"annotations":{"a":"1"},"state":"firing","activeAt":"2`)
	s.eventually("/metrics", `prometheus_rule_group_rules{rule_group="`+file+`;g"} 2`)

	write("groups:\n- name: g\n  rules:\n  - {record: one, expr: sum(}\n")
	body := reload(http.StatusInternalServerError)
	if want := file + `:4: groups[0].rules[0].expr: group "g", rule 1, "one": could not parse expression: 1:5: parse error: `; !strings.Contains(body, want) {
		t.Errorf("got %s, want %s", body, want)
	}
	s.eventually("/api/v1/rules?type=alert", `{"state":"firing","name":"A","query":"one == 1","duration":0,"keepFiringFor":0,"labels":{},"annotations":{"a":"{{ $value }}"},"alerts":[{"labels":`)

	write("groups: []\n")
	reload(http.StatusOK)
	s.eventually("/api/v1/query?query=one", `"result":[]`)
	s.eventually("/api/v1/rules", `{"groups":[]}`)
}
