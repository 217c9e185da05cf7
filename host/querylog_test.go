package host

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestQueryLogIsReopened moves the query log away, and reloads.
func TestQueryLogIsReopened(t *testing.T) {
	s := start(t, "global: {query_log_file: q.log}")
	path := filepath.Join(filepath.Dir(s.config), "q.log")
	contains := func(path, want string) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), want) {
			t.Errorf("%v %s, want one line with %s", err, text, want)
		}
	}
	reload := func(want int) {
		t.Helper()
		if status, body := s.do(http.MethodPost, "/-/reload"); status != want {
			t.Fatal(status, body)
		}
	}
	s.do(http.MethodGet, "/api/v1/query?query=1")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	reload(http.StatusOK)
	s.do(http.MethodGet, "/api/v1/query?query=2")
	contains(path+".1", `"query":"1"`)
	contains(path, `"path":"/api/v1/query"`)
	s.write("global: {query_log_file: missing/q.log}")
	if status, body := s.do(http.MethodPost, "/-/reload"); status != http.StatusInternalServerError || !strings.Contains(body, ":1: global.query_log_file: ") {
		t.Error(status, body)
	}
	s.write("")
	reload(http.StatusOK)
	s.do(http.MethodGet, "/api/v1/query?query=3")
	contains(path, `"query":"2"`)
}

func TestRunningQueriesAreLogged(t *testing.T) {
	s := start(t, "")
	content, err := os.ReadFile(filepath.Join(s.host.opts.Storage.Dir, "queries.active"))
	if err != nil || len(content) != 20001 || content[0] != '[' {
		t.Fatal(err, len(content))
	}
}
