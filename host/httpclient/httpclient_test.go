package httpclient

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	httpconfig "github.com/prometheus/common/config"
)

// TestClient checks what a server gets to see of the configuration.
func TestClient(t *testing.T) {
	var seen []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}))
	defer server.Close()
	get := func(t *testing.T, c *http.Client, path string) int {
		t.Helper()
		resp, err := c.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.BasicAuth = &httpconfig.BasicAuth{Username: "u", PasswordFile: password}
	cfg.FollowRedirects = false
	c, err := New(cfg, Options{Name: "j", UserAgent: "Narthex/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()

	get(t, c, "/")
	if err := os.WriteFile(password, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status := get(t, c, "/redirect"); status != http.StatusFound {
		t.Errorf("a redirect was followed to status %d", status)
	}
	for i, want := range []string{"one", "two"} {
		if user, pass, _ := seen[i].BasicAuth(); user != "u" || pass != want || seen[i].UserAgent() != "Narthex/test" {
			t.Errorf("request %d: user %q, password %q, agent %q", i, user, pass, seen[i].UserAgent())
		}
	}
	if seen[0].RemoteAddr != seen[1].RemoteAddr {
		t.Error("the connection was not kept")
	}
}

func TestBadConfig(t *testing.T) {
	cfg := DefaultConfig()
	cfg.TLSConfig.CAFile = "/does/not/exist"
	if _, err := New(cfg, Options{Name: "j"}); err == nil {
		t.Error("a missing CA file was accepted")
	}
}
