package web

import (
	"io"
	"net/http"
	"testing"
)

// TestMethods checks which methods a path takes, as upstream has it.
func TestMethods(t *testing.T) {
	_, url := start(t, nil)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	check := func(method, path string, status int, allow string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || resp.Header.Get("Allow") != allow || method == http.MethodOptions && status == 200 && len(body) > 0 {
			t.Errorf("%s %s: %d, Allow %q, %q, %v", method, path, resp.StatusCode, resp.Header.Get("Allow"), body, err)
		}
	}
	for path, methods := range map[string]string{
		"/": "GET, OPTIONS", "/graph": "GET, OPTIONS", "/metrics": "GET, OPTIONS", "/version": "GET, OPTIONS", "/consoles/x": "GET, OPTIONS",
		"/-/healthy": "GET, HEAD, OPTIONS", "/-/reload": "GET, OPTIONS, POST, PUT", "/debug/pprof/heap": "GET, OPTIONS, POST",
	} {
		check(http.MethodOptions, path, 200, methods)
		check(http.MethodDelete, path, 405, methods)
	}
	check(http.MethodHead, "/-/healthy", 200, "")
	check(http.MethodHead, "/metrics", 405, "GET, OPTIONS")
	check(http.MethodGet, "/-/quit", 405, "")
	check(http.MethodPut, "/-/reload", 200, "")
	check(http.MethodOptions, "/nothing", 404, "")
	check(http.MethodGet, "/graph?g0.expr=up", 302, "")
	check(http.MethodPut, "/-/reload/", 307, "")
	check(http.MethodHead, "/metrics/", 405, "GET, OPTIONS")
	check(http.MethodGet, "/metrics/", 301, "")
	check(http.MethodGet, "/nothing/", 404, "")
	http.DefaultClient.CloseIdleConnections()
	client.CloseIdleConnections()
}
