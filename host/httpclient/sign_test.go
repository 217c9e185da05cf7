package httpclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	httpconfig "github.com/prometheus/common/config"

	"github.com/narthex-io/narthex/sdk"
)

// signerFunc is a plugin in use: it implements Signers and sdk.Signer.
type signerFunc func(sdk.AuthRequest) (sdk.Header, error)

func (f signerFunc) Signer(a *Auth) (sdk.Signer, error) {
	if a.Key != "acme_auth" {
		return nil, errors.New("not running")
	}
	return f, nil
}

func (f signerFunc) Sign(_ context.Context, r sdk.AuthRequest) (sdk.Header, error) { return f(r) }

// received is what a server saw of a request.
type received struct {
	host, uri, body string
	header          http.Header
}

// recorder returns a server that answers with what handle says, and notes what it sees.
func recorder(t *testing.T, seen *[]received, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*seen = append(*seen, received{host: r.Host, uri: r.RequestURI, body: string(body), header: r.Header})
		if handle != nil {
			handle(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func newSigned(t *testing.T, cfg Config, f signerFunc) *http.Client {
	t.Helper()
	cfg.Auth = &Auth{Key: "acme_auth", JSON: json.RawMessage(`{}`)}
	c, err := New(cfg, Options{Name: "j", UserAgent: "Narthex/test", Signers: f})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestSignedLast: the plugin sees the request as it goes out, configured headers and user agent included, and the body's digest.
func TestSignedLast(t *testing.T) {
	cfg := DefaultConfig()
	file := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(file, []byte("from file"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.HTTPHeaders = &httpconfig.Headers{Headers: map[string]httpconfig.Header{"X-Tenant": {Values: []string{"a"}}, "X-File": {Files: []string{file}}}}
	var asked []sdk.AuthRequest
	client := newSigned(t, cfg, func(r sdk.AuthRequest) (sdk.Header, error) {
		asked = append(asked, r)
		return sdk.Header{"authorization": {"Acme 1"}, "X-Tenant": {"b", "c"}}, nil
	})
	var seen []received
	server := recorder(t, &seen, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(server.URL, "http://", "http://u:p@", 1)+"/x?q=a+b&r=%2B#f", io.NopCloser(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "old")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	sum := sha256.Sum256([]byte("body"))
	r := asked[0]
	if r.Method != http.MethodPost || r.URL != server.URL+"/x?q=a%20b&r=%2B" || r.BodySHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("asked to sign %+v", r)
	}
	for name, want := range map[string]string{"Host": host, "X-Tenant": "a", "X-File": "from file", "User-Agent": "Narthex/test"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("asked to sign with %s: %q, want %q", name, got, want)
		}
	}
	got := seen[0]
	if got.body != "body" || got.uri != "/x?q=a%20b&r=%2B" || got.header.Get("Content-Length") != "4" {
		t.Errorf("the server got %+v", got)
	}
	if a := got.header.Values("Authorization"); len(a) != 1 || a[0] != "Acme 1" || strings.Join(got.header.Values("X-Tenant"), " ") != "b c" {
		t.Errorf("the server got %v", got.header)
	}
	if req.Header.Get("Authorization") != "old" || req.URL.RawQuery != "q=a+b&r=%2B" {
		t.Error("the caller's request was changed")
	}

	for _, body := range []io.Reader{nil, http.NoBody, strings.NewReader("")} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if last := asked[len(asked)-1]; last.BodySHA256 != ofNothing {
			t.Errorf("the digest of no body is %s", last.BodySHA256)
		}
	}
}

// TestRedirects: each request of a chain is signed anew, for the configured origin and for no other, not even afterwards.
func TestRedirects(t *testing.T) {
	cfg := DefaultConfig()
	cfg.HTTPHeaders = &httpconfig.Headers{Headers: map[string]httpconfig.Header{"Cookie": {Values: []string{"c"}}}}
	client := newSigned(t, cfg, func(r sdk.AuthRequest) (sdk.Header, error) { return sdk.Header{"Authorization": {r.URL}}, nil })
	var seen, foreign []received
	var home *httptest.Server
	other := recorder(t, &foreign, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/back" {
			http.Redirect(w, r, home.URL+"/end", http.StatusTemporaryRedirect)
		}
	})
	home = recorder(t, &seen, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/end?a=b+c", http.StatusTemporaryRedirect)
		case "/away":
			http.Redirect(w, r, other.URL+"/end", http.StatusTemporaryRedirect)
		case "/back":
			http.Redirect(w, r, other.URL+"/back", http.StatusTemporaryRedirect)
		}
	})
	post := func(path string) {
		t.Helper()
		seen, foreign = nil, nil
		resp, err := client.Post(home.URL+path, "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	authorization := func(r received) string { return r.header.Get("Authorization") }

	post("/here")
	if len(seen) != 2 || authorization(seen[1]) != home.URL+"/end?a=b%20c" || seen[1].body != "body" {
		t.Errorf("after a redirect at home: %+v", seen)
	}
	post("/away")
	if len(foreign) != 1 || authorization(foreign[0]) != "" || foreign[0].header.Get("Cookie") != "" || foreign[0].body != "body" {
		t.Errorf("after a redirect to another host: %+v", foreign)
	}
	post("/back")
	if len(seen) != 2 || authorization(seen[0]) == "" || authorization(seen[1]) != "" {
		t.Errorf("after a redirect away and back: %+v", seen)
	}
}

// TestUnsigned: what cannot be signed is not sent.
func TestUnsigned(t *testing.T) {
	var seen []received
	server := recorder(t, &seen, nil)
	check := func(client *http.Client, want string) {
		t.Helper()
		resp, err := client.Post(server.URL, "text/plain", strings.NewReader("body"))
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(seen) > 0 {
			t.Errorf("%v with %d requests sent, want %q", err, len(seen), want)
		}
	}
	check(newSigned(t, DefaultConfig(), func(sdk.AuthRequest) (sdk.Header, error) { return nil, errors.New("plugin auth-acme: no key") }),
		"acme_auth: plugin auth-acme: no key")
	check(newSigned(t, DefaultConfig(), func(sdk.AuthRequest) (sdk.Header, error) { return sdk.Header{"host": {"evil"}}, nil }),
		"acme_auth: the plugin sets the header Host")
	cfg := DefaultConfig()
	cfg.Auth = &Auth{Key: "other_auth"}
	client, err := New(cfg, Options{Name: "j", Signers: signerFunc(nil)})
	if err != nil {
		t.Fatal(err)
	}
	check(client, "other_auth: not running")
	if _, err := New(cfg, Options{Name: "j"}); err == nil || !strings.Contains(err.Error(), "nothing here signs requests, as other_auth asks for") {
		t.Errorf("without signers: %v", err)
	}
}

func TestAuthSections(t *testing.T) {
	cfg, err := Parse([]byte(`{"sigv4":{"region":"r","secret_key":"hidden"},"follow_redirects":false}`))
	if err != nil || cfg.FollowRedirects || cfg.Auth.Key != "sigv4" || !strings.Contains(string(cfg.Auth.JSON), "hidden") {
		t.Fatalf("got %+v, %v", cfg, err)
	}
	check := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	check(`{"acme_auth":{},"bearer_token_file":"x"}`, "acme_auth: at most one of")
	check(`{"acme_auth":[]}`, "acme_auth: a mapping is needed here")
	check(`{"_auth":{}}`, "_auth: unknown field")
	section := map[string]json.RawMessage{"server": nil, "basic_auth": nil, "acme_auth": nil, "sigv4": nil, "auth": nil, "auth_token": nil}
	if taken := TakeJSON(section); len(taken) != 3 || len(section) != 3 {
		t.Errorf("taken are %v, left are %v", taken, section)
	}
}
