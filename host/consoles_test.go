package host

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestConsoles(t *testing.T) {
	s := start(t, "global: {external_labels: {dc: x}}")
	dir := t.TempDir()
	s.host.opts.ConsoleTemplates, s.host.opts.ConsoleLibraries = filepath.Join(dir, "c"), filepath.Join(dir, "l")
	for name, text := range map[string]string{
		"c/a.html":     `{{template "head" .}}{{ $params.x }} {{ index $rawParams "x" 1 }} {{ $path }} {{ $externalLabels.dc }} {{ query "vector(7)" | first | value }} {{ tmpl "head" . }} {{ "<b>" | safeHtml }}`,
		"c/bad.html":   `{{ query "sum(" }}`,
		"c/sub/b.html": "b",
		"l/head.lib":   `{{define "head"}}<h1>{{ .Path }}</h1>{{end}}`,
		"secret":       "secret",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(path string, wantStatus int, want string) {
		t.Helper()
		if status, body := s.do(http.MethodGet, path); status != wantStatus || want != "" && body != want {
			t.Errorf("%s: %d %q, want %d %q", path, status, body, wantStatus, want)
		}
	}
	check("/consoles/a.html?x=%3Ci%3E&x=2", http.StatusOK, "<h1>a.html</h1>&lt;i&gt; 2 a.html x 7 <h1>a.html</h1> <b>")
	check("/consoles/sub/b.html", http.StatusOK, "b")
	check("/consoles/missing.html", http.StatusNotFound, "")
	check("/consoles/sub", http.StatusNotFound, "")
	check("/consoles/..%2fsecret", http.StatusNotFound, "")
	check("/consoles/bad.html", http.StatusInternalServerError, "error executing template __console_/bad.html: template: __console_/bad.html:1:110: "+
		"executing \"__console_/bad.html\" at <query \"sum(\">: error calling query: 1:5: parse error: unclosed left parenthesis\n")
}
