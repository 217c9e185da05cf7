package host

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// oneSample is a remote write request with one sample of the series x, at the time 1,760,000,000,000.
const oneSample = "\x23\x88\x0a\x21\x0a\x0d\x0a\x08__name__\x12\x01x\x12\x10\x09\x00\x00\x00\x00\x00\x00\x45\x40\x10\x80\x80\xb3\xc1\x9c\x33"

func (s *server) postSample(change ...func(*http.Request)) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url.String()+"/api/v1/write", strings.NewReader(oneSample))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := io.Copy(&body, resp.Body); err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, body.String()
}

func TestReceivesRemoteWrite(t *testing.T) {
	s := start(t, "global: {}", func(o *Options) { o.RemoteWrite.Receive = true })
	if status, body := s.postSample(); status != http.StatusNoContent || body != "" {
		t.Fatalf("answer %d %q, want 204 without a body", status, body)
	}
	if _, body := s.do(http.MethodGet, "/api/v1/query?query=x&time=1760000000"); !strings.Contains(body, `[1760000000,"42"]`) {
		t.Errorf("the sample is not found: %s", body)
	}
	if _, body := s.do(http.MethodGet, "/api/v1/features"); !strings.Contains(body, `"remote_write_receiver":true`) {
		t.Errorf("the feature is not shown: %s", body)
	}
	if _, body := s.do(http.MethodGet, "/metrics"); !strings.Contains(body, `prometheus_http_requests_total{code="204",handler="/api/v1/write"} 1`) {
		t.Error("the request is not counted")
	}
}

// TestReceivesWithPasswordOnly when the web configuration asks for one.
func TestReceivesWithPasswordOnly(t *testing.T) {
	web := filepath.Join(t.TempDir(), "web.yml")
	const hash = "$2a$04$Vf67qS/BosTYHpOVY7iV8.UOYmaetztwE9/IsbGRyEDJumTqISuX2" // Of "secret".
	if err := os.WriteFile(web, []byte("basic_auth_users: {alice: '"+hash+"'}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "global: {}", func(o *Options) { o.RemoteWrite.Receive, o.WebConfigFile = true, web })
	as := func(password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth("alice", password) }
	}
	if status, _ := s.postSample(); status != http.StatusUnauthorized {
		t.Errorf("status %d without a password", status)
	}
	if status, _ := s.postSample(as("wrong")); status != http.StatusUnauthorized {
		t.Errorf("status %d with a wrong password", status)
	}
	if status, body := s.postSample(as("secret")); status != http.StatusNoContent {
		t.Errorf("answer %d %s with the password", status, body)
	}
}

func TestReceivesNothingByDefault(t *testing.T) {
	s := start(t, "global: {}")
	if status, body := s.postSample(); status != http.StatusNotFound || !strings.Contains(body, "--web.enable-remote-write-receiver") {
		t.Errorf("answer %d %q, want 404 and the flag", status, body)
	}
	if status, _ := s.do(http.MethodGet, "/api/v1/write"); status != http.StatusMethodNotAllowed {
		t.Errorf("GET is answered with %d, want 405", status)
	}
}
