package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestQueryCommands runs the commands against a server that notes what it is asked.
func TestQueryCommands(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		asked = r.Method + " " + r.URL.Path + " " + string(body)
		switch {
		case strings.HasSuffix(r.URL.Path, "/7/cancel"):
			w.WriteHeader(http.StatusNoContent)
		case strings.HasSuffix(r.URL.Path, "/cancel"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"not_found","error":"no query"}`)
		case strings.HasSuffix(r.URL.Path, "/queries"):
			_, _ = io.WriteString(w, `{"status":"success","data":{"queries":[{"id":"7","state":"waiting","query":"sum(\n  up)","seconds":1.25,"ruleGroup":{"file":"r.yml","name":"g"}}]}}`)
		case strings.HasPrefix(r.URL.Path, "/other"):
			_, _ = io.WriteString(w, `<html>`)
		default:
			_, _ = io.WriteString(w, `{"status":"success","data":{"query":"up","stepMillis":15000,"plan":{"operator":"selector","detail":"up"},"optimized":{"operator":"selector","detail":"up"}}}`)
		}
	}))
	defer server.Close()
	run := func(want, wantAsked string, args ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "out")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		asked = ""
		root := rootCommand(streams{os.Stdin, f, f})
		root.SetArgs(append([]string{"query"}, args...))
		err = root.ExecuteContext(t.Context())
		text, readErr := os.ReadFile(file)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err != nil {
			text = append(text, err.Error()...)
		}
		if !strings.Contains(string(text), want) || !strings.HasPrefix(asked, wantAsked) {
			t.Errorf("%v: asked %q, printed %s; want %q and %s", args, asked, text, wantAsked, want)
		}
	}
	run("every 15s: 1 steps\n\nplan\n  selector up\n", "POST /api/v1/query_range end=2&explain=analyze&query=up&start=1&step=15s",
		"explain", "--analyze", "--start=1", "--end=2", "--step=15s", server.URL, "up")
	run(`"operator": "selector"`, "POST /p/api/v1/query explain=plan&query=up&time=5", "explain", "--json", "--start=5", server.URL+"/p/", "up")
	run("--end is for range queries", "", "explain", "--end=5", server.URL, "up")
	run("1 argument where 2 are needed", "", "explain", server.URL)
	run(`"up" is no URL of a server`, "", "explain", "up", "up")
	run("not as an API of this kind", "POST /other", "explain", server.URL+"/other", "up")
	run("7   waiting  1.2      0             0             0           r.yml;g  sum( up)\n", "GET /api/v1/status/queries", "list", server.URL)
	run("query 7 is being canceled", "POST /api/v1/admin/queries/7/cancel", "cancel", server.URL, "7")
	run("no query", "POST /api/v1/admin/queries/8/cancel", "cancel", server.URL, "8")
}
