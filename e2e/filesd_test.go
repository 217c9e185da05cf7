//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// groupsOne and groupsTwo are lists of groups as files and endpoints hold them.
const (
	groupsOne = `[{"targets": ["a:1", "b:2", "[fd00::1]:3"], "labels": {"env": "größe", "__meta_rack": "7", "__param_x": "y"}}, {"targets": ["c"]}, {"targets": []}]`
	groupsTwo = `[{"targets": ["b:2", "d:4"], "labels": {"env": ""}}]`
)

// TestFiles: sd-file finds what Prometheus finds in files, and sees the same changes.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "sd", name) }
	write(t, at("one.json"), groupsOne)
	write(t, at("two.yml"), "- targets: ['e:5', e:6]\n  labels: {team: a, number: \"1\"}\n- targets:\n  - f:7\n")
	write(t, at("three.yaml"), groupsTwo) // JSON is YAML.
	config := "scrape_configs:\n"
	config += sdJob("globs", "file", fmt.Sprintf("files: ['%s', '%s', '%s']\nrefresh_interval: 1s", at("*.json"), at("t*.yml"), at("*.yaml")))
	config += sdJob("relative", "file", "files: [sd/one.json, sd/absent.json]\nrefresh_interval: 1s")
	p := startPair(t, dir, config, place{})
	p.want("start", "globs", 9, `env="größe"`, `__meta_filepath="`+at("one.json")+`"`)
	p.want("start", "relative", 4)

	replace(t, at("one.json"), groupsTwo)
	write(t, at("new.json"), `[{"targets": ["n:1"]}]`)
	write(t, at("three.yaml"), "[]")
	p.want("changed", "globs", 6, `__address__="d:4"`, `__address__="n:1"`)
	p.want("changed", "relative", 2)

	for _, bad := range []string{`[{"targets": ["x:1"]`, `[{"targets": ["x:1"], "tags": {}}]`, `{"targets": ["x:1"]}`, `[{"targets": "x:1"}]`, `[{"labels": {"1": 2}}]`} {
		write(t, at("one.json"), bad)
		write(t, at("three.yaml"), `[{"targets": ["mark:`+fmt.Sprint(len(bad))+`"]}]`)
		p.want("with "+bad, "globs", 7, fmt.Sprintf("mark:%d", len(bad))) // The last good content holds.
	}
	if err := os.Remove(at("two.yml")); err != nil {
		t.Fatal(err)
	}
	write(t, at("one.json"), groupsOne)
	p.want("removed", "globs", 6)
	p.want("removed", "relative", 4)
}

// TestHTTPDiscovery: sd-http finds what Prometheus finds at endpoints, and keeps the last good answer through bad ones.
func TestHTTPDiscovery(t *testing.T) {
	t.Parallel()
	e := &groupsEndpoint{body: groupsOne, contentType: "application/json; charset=utf-8", status: http.StatusOK}
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	config := "scrape_configs:\n"
	config += sdJob("plain", "http", "url: "+srv.URL+"/sd?x=1\nrefresh_interval: 1s")
	config += sdJob("password", "http", "url: "+srv.URL+"/secret\nrefresh_interval: 1s\nbasic_auth: {username: u, password: p}")
	config += sdJob("bearer", "http", "url: "+srv.URL+"/secret\nrefresh_interval: 1s\nauthorization: {credentials: t}\nhttp_headers: {X-Site: {values: [eu]}}")
	config += sdJob("moved", "http", "url: "+srv.URL+"/moved\nrefresh_interval: 1s")
	config += sdJob("not-followed", "http", "url: "+srv.URL+"/moved\nrefresh_interval: 1s\nfollow_redirects: false")
	p := startPair(t, t.TempDir(), config, place{})
	p.wantAll("start", map[string]int{"plain": 4, "password": 4, "bearer": 4, "moved": 4, "not-followed": 0})

	for i, bad := range []struct {
		body, contentType string
		status            int
	}{
		{groupsTwo, "text/plain", http.StatusOK},
		{groupsTwo, "application/json", http.StatusInternalServerError},
		{groupsTwo, "application/json", http.StatusNoContent},
		{`[{"targets": ["x:1"]`, "application/json", http.StatusOK},
		{`[null]`, "application/json", http.StatusOK},
		{`{"targets": []}`, "application/json", http.StatusOK},
	} {
		e.set(bad.body, bad.contentType, bad.status)
		eventually(t, settle, "both ask", func() error {
			if n := e.asked(); n < 6 {
				return fmt.Errorf("%d times", n)
			}
			return nil
		})
		p.want(fmt.Sprint("bad answer ", i), "plain", 4)
	}
	e.set(groupsTwo, "application/json", http.StatusOK)
	p.want("changed", "plain", 2, `__address__="d:4"`)
	e.set(`[{"targets": ["z:9"]}, {"targets": ["y:8"]}]`, "application/json", http.StatusOK)
	p.want("more", "bearer", 2, `__address__="y:8"`)
	e.set("[]", "application/json", http.StatusOK)
	p.want("none", "plain", 0)
}

// groupsEndpoint is what a test wants it to be. Below /secret it wants a password or a token.
type groupsEndpoint struct {
	mu                sync.Mutex
	body, contentType string
	status            int
	count             int // of questions to /sd
}

func (e *groupsEndpoint) set(body, contentType string, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.body, e.contentType, e.status, e.count = body, contentType, status, 0
}

func (e *groupsEndpoint) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

// ServeHTTP implements http.Handler.
func (e *groupsEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	bearer := r.Header.Get("Authorization") == "Bearer t" && r.Header.Get("X-Site") == "eu"
	switch {
	case r.URL.Path == "/moved":
		http.Redirect(w, r, "/sd", http.StatusFound)
		return
	case r.URL.Path == "/secret" && (user != "u" || password != "p") && !bearer:
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.URL.RawQuery == "x=1" {
		e.count++
	}
	w.Header().Set("Content-Type", e.contentType)
	w.WriteHeader(e.status)
	if e.status != http.StatusNoContent {
		fmt.Fprint(w, e.body)
	}
}
