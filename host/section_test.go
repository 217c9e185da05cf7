package host

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSplitSection: a plugin that runs alone gets no credential either, and its requests carry it.
func TestSplitSection(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("open sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	rest, client, err := SplitSection(json.RawMessage(`{"url": "x", "authorization": {"credentials_file": "token"}}`), dir)
	if err != nil || string(rest) != `{"url":"x"}` {
		t.Fatalf("%s, %v", rest, err)
	}
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
	defer server.Close()
	answer, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	client.CloseIdleConnections()
	if header := <-got; header != "Bearer open sesame" {
		t.Errorf("the request has %q", header)
	}
	if rest, client, err := SplitSection(json.RawMessage(`{"url": "x"}`), dir); err != nil || client != nil || string(rest) != `{"url": "x"}` {
		t.Errorf("without fields: %s, %v, %v", rest, client, err)
	}
	for text, want := range map[string]string{
		`[]`:                                 "mapping",
		`{"basic_auth": {"user": "x"}}`:      "user",
		`{"sigv4": {"region": "eu-west-1"}}`: "sigv4: only a server",
	} {
		if _, _, err := SplitSection(json.RawMessage(text), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
