//go:build e2e && linux

package e2e

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"
)

// issuer publishes keys and signs tokens.
type issuer struct {
	t    *testing.T
	url  string
	mu   sync.Mutex
	keys map[string]*ecdsa.PrivateKey
	down atomic.Bool
	// turned counts the requests that came while it was down.
	turned atomic.Int64
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, keys: map[string]*ecdsa.PrivateKey{}}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	i.url = s.URL
	i.publish("first")
	return i
}

// ServeHTTP answers with the public keys.
func (i *issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if i.down.Load() {
		i.turned.Add(1)
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	keys := []map[string]string{}
	for id, k := range i.keys {
		point, err := k.PublicKey.Bytes()
		if err != nil {
			i.t.Error(err)
			return
		}
		b64 := base64.RawURLEncoding.EncodeToString
		keys = append(keys, map[string]string{"kty": "EC", "crv": "P-256", "kid": id, "x": b64(point[1:33]), "y": b64(point[33:])})
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"keys": keys}); err != nil {
		i.t.Error(err)
	}
}

// publish makes a new key and leaves only those that are named, and it, in the set.
func (i *issuer) publish(id string, keep ...string) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	maps.DeleteFunc(i.keys, func(id string, _ *ecdsa.PrivateKey) bool { return !slices.Contains(keep, id) })
	i.keys[id] = key
}

// token returns a good token of somebody, with a key of the set and more claims.
func (i *issuer) token(key, user string, more jwt.MapClaims) string {
	i.t.Helper()
	claims := jwt.MapClaims{"iss": "https://issuer.example", "aud": "narthex", "sub": user, "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, more)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = key
	i.mu.Lock()
	private := i.keys[key]
	i.mu.Unlock()
	text, err := token.SignedString(crypto.Signer(private))
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// web is the section web that trusts the issuer.
func (i *issuer) web() string {
	return "web:\n  auth:\n    - jwt_auth:\n        jwks_url: " + i.url + "/keys\n        issuer: https://issuer.example\n" +
		"        audience: narthex\n        refresh_interval: 1s\n        rules:\n" +
		"          - {claim: groups, contains: admins}\n" +
		"          - {paths: ['/-/*', '/api/v1/admin/*', '/debug/*'], allow: false}\n" +
		"          - {methods: [GET, POST]}\n"
}

// section is the plugin's part of that.
func (i *issuer) section() string {
	return "{jwks_url: '" + i.url + "/keys', issuer: https://issuer.example, audience: narthex, rules: [{methods: [GET]}]}"
}

// as returns a client that sends a token.
func (c client) as(token string) client {
	c.token = token
	return c
}

func (c client) wantStatus(want int, method, path string) (body string) {
	c.t.Helper()
	status, body := c.do(method, path, nil)
	if status != want {
		c.t.Errorf("%s %s answers %d, want %d: %.200s", method, path, status, want, body)
	}
	return body
}

// everything are paths of all kinds that a server answers.
func everything() []string {
	return []string{
		"/", "/graph", "/query", "/metrics", "/version", "/federate", "/api/v1/query?query=1", "/api/v1/targets", "/api/v1/status/config",
		"/api/v1/plugins", "/api/v1/nothing", "/-/reload", "/-/quit", "/debug/pprof/", "/debug/pprof/heap", "/plugins/exporter-node/", "/consoles/x",
		"/nothing", "/api/v1/admin/tsdb/snapshot", "/api/v1/write", "/api", "/api/",
	}
}

func TestTokens(t *testing.T) {
	i := newIssuer(t)
	dir := t.TempDir()
	alice, admin := i.token("first", "alice", nil), i.token("first", "root", jwt.MapClaims{"groups": []string{"admins"}})
	write(t, filepath.Join(dir, "token"), alice+"\n")
	s := start(t, options{dir: dir, config: "global: {query_log_file: queries.log}\n" + i.web() + "scrape_configs:\n" +
		"  - {job_name: open, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: ['SELF']}]}\n" +
		"  - {job_name: self, scrape_interval: 200ms, scrape_timeout: 200ms, authorization: {credentials_file: token}, static_configs: [{targets: ['SELF']}]}\n"})

	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"} {
		for _, path := range everything() {
			s.wantStatus(401, method, path)
		}
	}
	s.wantStatus(200, "GET", "/-/healthy")
	s.wantStatus(200, "GET", "/-/ready")
	if got := s.wantStatus(401, "GET", "/api/v1/query?query=1"); got != `{"status":"error","errorType":"unauthorized","error":"the request has no token"}` {
		t.Errorf("the API answers %s", got)
	}
	s.as(alice).wantStatus(200, "GET", "/api/v1/query?query=vector(42)")
	s.as(alice).wantStatus(200, "GET", "/metrics")
	s.as(alice).wantStatus(200, "GET", "/graph")
	s.as(alice).wantStatus(403, "POST", "/-/reload")
	s.as(alice).wantStatus(403, "POST", "/-/quit")
	s.as(alice).wantStatus(403, "GET", "/debug/pprof/heap")
	s.as(alice).wantStatus(403, "POST", "/api/v1/admin/tsdb/snapshot")
	s.as(alice).wantStatus(403, "DELETE", "/api/v1/query")
	s.as(admin).wantStatus(200, "GET", "/debug/pprof/cmdline")
	for name, token := range map[string]string{
		"expired":  i.token("first", "alice", jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}),
		"early":    i.token("first", "alice", jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}),
		"audience": i.token("first", "alice", jwt.MapClaims{"aud": "grafana"}),
		"issuer":   i.token("first", "alice", jwt.MapClaims{"iss": "https://evil.example"}),
		"forged":   alice[:len(alice)-10] + "AAAAAAAAAA",
		"none":     base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(alice, ".")[1] + ".",
		"huge":     strings.Repeat("a.", 20000),
	} {
		s.as(token).wantStatus(401, "GET", "/api/v1/query?query=1")
		t.Log(name)
	}
	wantRefused(t, s, alice)

	s.client = s.as(admin)
	write(t, s.config, strings.ReplaceAll(read(t, s.config), "SELF", strings.TrimPrefix(s.base, "http://")))
	if status, body := s.reload(); status != 200 {
		t.Fatalf("reload answers %d %s", status, body)
	}
	eventually(t, 10*time.Second, "the server scrapes itself", func() error {
		if up := s.query(`up{job="self"} == 1`); len(up) != 1 {
			return fmt.Errorf("up is %v", up)
		}
		if up := s.query(`up{job="open"} == 0`); len(up) != 1 {
			return fmt.Errorf("without a token up is %v", up)
		}
		return nil
	})
	if log := read(t, filepath.Join(dir, "queries.log")); !strings.Contains(log, `"user":"alice"`) {
		t.Errorf("the query log does not say who asked: %s", lastLines(log, 3))
	}
	if log := s.output(); !strings.Contains(log, `msg="administrative request" component=web user=root method=POST path=/-/reload`) {
		t.Error("the log does not say who reloaded")
	}

	// A configuration that is refused leaves everything as it is; one that is taken counts at once.
	good := read(t, s.config)
	for _, bad := range []string{
		strings.Replace(good, "issuer: https", "isuer: https", 1), strings.Replace(good, "jwt_auth", "nobodys_auth", 1), "web: {auth: []}",
	} {
		write(t, s.config, bad)
		if status, _ := s.reload(); status != 500 {
			t.Errorf("a bad configuration is taken with %d", status)
		}
		s.as("").wantStatus(401, "GET", "/metrics")
		s.as(alice).wantStatus(200, "GET", "/metrics")
	}
	write(t, s.config, strings.Replace(good, "web:\n", "web:\n  public_paths: [/-/ready, /metrics]\n", 1))
	if status, body := s.reload(); status != 200 {
		t.Fatalf("reload answers %d %s", status, body)
	}
	s.as("").wantStatus(200, "GET", "/metrics")
	s.as("").wantStatus(401, "GET", "/-/healthy")
}

// wantRefused sends what no client library would.
func wantRefused(t *testing.T, s *server, token string) {
	t.Helper()
	bearer := "Authorization: Bearer " + token + "\r\n"
	for request, want := range map[string]string{
		"GET /metrics HTTP/1.1\r\n" + bearer:                                                            "200",
		"GET /metrics HTTP/1.1\r\n" + bearer + bearer:                                                   "401",
		"GET /metrics HTTP/1.1\r\n" + bearer + "authorization: x\r\n":                                   "401",
		"GET /metrics HTTP/1.1\r\nAuthorization: \r\n" + bearer:                                         "401",
		"GET /metrics HTTP/1.1\r\nAuthorization : Bearer " + token + "\r\n":                             "400",
		"GET /metrics HTTP/1.1\r\nX-Authorization: Bearer " + token + "\r\n":                            "401",
		"GET /metrics HTTP/1.1\r\nAuthorization: Bearer\r\n " + token + "\r\n":                          "200", // one field, folded
		"GET //metrics HTTP/1.1\r\n":                                                                    "401",
		"GET /-/healthy/../../metrics HTTP/1.1\r\n":                                                     "400",
		"GET /-/healthy/%2e%2e/%2e%2e/metrics HTTP/1.1\r\n":                                             "400",
		"GET /-/ready%2f..%2f..%2fmetrics HTTP/1.1\r\n":                                                 "400",
		"GET http://x/-/healthy/../metrics HTTP/1.1\r\n":                                                "400",
		"GET http://x/metrics HTTP/1.1\r\n":                                                             "401",
		"POST /%2d/reload HTTP/1.1\r\nContent-Length: 0\r\n" + bearer:                                   "403",
		"POST /-%2freload HTTP/1.1\r\nContent-Length: 0\r\n" + bearer:                                   "403",
		"POST //-//reload HTTP/1.1\r\nContent-Length: 0\r\n" + bearer:                                   "403",
		"POST /api/v1/%2fadmin/tsdb/snapshot HTTP/1.1\r\nContent-Length: 0\r\n" + bearer:                "403",
		"OPTIONS * HTTP/1.1\r\n":                                                                        "401",
		"CONNECT /metrics HTTP/1.1\r\n":                                                                 "401",
		"OPTIONS /api/v1/query HTTP/1.1\r\nOrigin: http://g\r\nAccess-Control-Request-Method: POST\r\n": "204",
		"OPTIONS /-/reload HTTP/1.1\r\nOrigin: http://g\r\nAccess-Control-Request-Method: POST\r\n":     "401",
		"GET /metrics HTTP/1.0\r\n":                                                                     "401",
		"PRI * HTTP/2.0\r\n":                                                                            "4",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(conn, request+"Host: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Error(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if _, status, _ := strings.Cut(line, " "); !strings.HasPrefix(status, want) {
			t.Errorf("%s\nanswers %q, %v, want %s", request, line, err, want)
		}
		_ = conn.Close()
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestNobodyGetsInWhileTheServerStarts asks all the time from the first moment on.
func TestNobodyGetsInWhileTheServerStarts(t *testing.T) {
	i := newIssuer(t)
	token, port := i.token("first", "alice", nil), freePort(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "narthex.yml"), i.web())
	c := client{t: t, base: "http://127.0.0.1:" + port}
	p := launch(t, dir, narthex, "--config.file=narthex.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:"+port,
		"--plugins.cache-directory="+t.TempDir()) // so that it takes a while to compile the plugin
	seen := map[int]int{}
	eventually(t, startTimeout, "the server lets alice in", func() error {
		if status, _, err := c.try("GET", "/metrics", nil); err == nil {
			seen[status]++
		}
		status, _, err := c.as(token).try("GET", "/api/v1/query?query=1", nil)
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	c.wantStatus(401, "GET", "/metrics")
	if seen[200] > 0 || seen[503] == 0 {
		t.Errorf("without a token it answered %v", seen)
	}
	p.stop()
}

// TestKeysRotateAndVanish is about the issuer's part of it.
func TestKeysRotateAndVanish(t *testing.T) {
	i := newIssuer(t)
	i.down.Store(true)
	s := start(t, options{config: i.web()})
	first := i.token("first", "alice", jwt.MapClaims{"groups": "admins"})
	s.as(first).wantStatus(503, "GET", "/metrics")
	if body := s.as(first).wantStatus(503, "GET", "/api/v1/query?query=1"); body !=
		`{"status":"error","errorType":"unavailable","error":"web.auth[0].jwt_auth cannot judge requests now; the log says why"}` {
		t.Errorf("the API answers %s", body)
	}
	if log := s.output(); !strings.Contains(log, "answers with status 502") {
		t.Error("the log does not say why")
	}
	s.as("").wantStatus(401, "GET", "/metrics")
	i.down.Store(false)
	answers := func(token string, want int) {
		t.Helper()
		eventually(t, 15*time.Second, fmt.Sprintf("the answer is %d", want), func() error {
			if status, body := s.as(token).do("GET", "/metrics", nil); status != want {
				return fmt.Errorf("it is %d %s", status, body)
			}
			return nil
		})
	}
	answers(first, 200)
	i.publish("second", "first")
	second := i.token("second", "alice", nil)
	answers(second, 200)
	s.as(first).wantStatus(200, "GET", "/metrics")
	i.publish("third", "second")
	third := i.token("third", "alice", nil)
	answers(first, 401)
	answers(third, 200)
	s.as(second).wantStatus(200, "GET", "/metrics")
	i.down.Store(true)
	before := i.turned.Load()
	eventually(t, time.Minute, "the keys are asked for in vain, more than once", func() error {
		s.as(second).wantStatus(200, "GET", "/metrics") // Requests are what makes it look for newer keys.
		if n := i.turned.Load() - before; n < 2 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	s.as(i.token("third", "bob", nil)).wantStatus(200, "GET", "/metrics")
}

// TestIssuerIsDownDuringReloads: whoever could get in still can when the plugin is started anew while the issuer is down: by a reload that
// changes its section, by one that changes its file, and after its process has died. Unknown keys stay unknown.
func TestIssuerIsDownDuringReloads(t *testing.T) {
	i := newIssuer(t)
	plugins := t.TempDir()
	module := read(t, filepath.Join(root, "bin", "plugins", "auth-jwt.wasm"))
	file := filepath.Join(plugins, "auth-jwt.wasm")
	write(t, file, module)
	config := i.web() + "plugins: {settings: {auth-jwt: {isolation: worker}}}\n"
	s := start(t, options{config: config, plugins: plugins})
	admin := s.as(i.token("first", "root", jwt.MapClaims{"groups": "admins"}))
	admin.wantStatus(200, "GET", "/metrics")

	i.down.Store(true)
	lives := func(what string) {
		t.Helper()
		before := i.turned.Load()
		admin.wantStatus(200, "GET", "/metrics")
		s.as(i.token("first", what, nil)).wantStatus(200, "GET", "/metrics")
		if i.turned.Load() == before {
			t.Errorf("%s: nobody asked the issuer first", what)
		}
	}
	reload := func(what string) {
		t.Helper()
		if status, body := admin.do("POST", "/-/reload", nil); status != 200 {
			t.Fatalf("%s: reload answers %d %s", what, status, body)
		}
		lives(what)
	}
	write(t, s.config, strings.Replace(config, "refresh_interval: 1s", "refresh_interval: 2s", 1))
	reload("another section")
	replace(t, file, module+"\x00\x06\x04swap!")
	reload("another file")
	for _, c := range children(t, s.cmd.Process.Pid) {
		if err := syscall.Kill(c.pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	eventually(t, 20*time.Second, "the plugin is started again", func() error {
		if status, body := admin.do("GET", "/metrics", nil); status != 200 {
			return fmt.Errorf("status %d %s", status, body)
		}
		return nil
	})
	s.as(i.token("first", "after a crash", nil)).wantStatus(200, "GET", "/metrics")
	if log := s.output(); !strings.Contains(log, "the issuer does not answer; its keys of") {
		t.Error("the log does not say that the keys are old")
	}

	i.publish("second")
	second := i.token("second", "alice", nil)
	s.as(second).wantStatus(503, "GET", "/metrics") // It may be good.
	i.down.Store(false)
	eventually(t, 20*time.Second, "the new key counts", func() error {
		if status, body := s.as(second).do("GET", "/metrics", nil); status != 200 {
			return fmt.Errorf("status %d %s", status, body)
		}
		return nil
	})
	eventually(t, 20*time.Second, "the old key does not", func() error {
		if status, body := admin.do("GET", "/metrics", nil); status != 401 {
			return fmt.Errorf("status %d %s", status, body)
		}
		return nil
	})
}

// TestAuthenticatorsAreSwapped exchanges the plugin's file under a stream of requests, none of which fails.
func TestAuthenticatorsAreSwapped(t *testing.T) {
	const swaps, clients = 20, 4
	i := newIssuer(t)
	plugins := t.TempDir()
	module := read(t, filepath.Join(root, "bin", "plugins", "auth-jwt.wasm"))
	file := filepath.Join(plugins, "auth-jwt.wasm")
	variants := []string{module, module + "\x00\x06\x04swap!"} // A custom section changes nothing but the digest.
	write(t, file, variants[0])
	s := start(t, options{config: i.web(), plugins: plugins})
	admin := s.as(i.token("first", "root", jwt.MapClaims{"groups": "admins"}))

	var asked atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	failures := make(chan error, clients)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for n := range clients {
		token := i.token("first", fmt.Sprint("user", n), nil)
		stranger := token[:len(token)-10] + "AAAAAAAAAA"
		running.Go(func() {
			for ctx.Err() == nil {
				for token, want := range map[string]int{token: 200, stranger: 401} {
					if status, body, err := s.as(token).try("GET", "/api/v1/query?query=1", nil); ctx.Err() == nil && (err != nil || status != want) {
						failures <- fmt.Errorf("after %d requests status %d instead of %d: %s, %w", asked.Load(), status, want, body, err)
						return
					}
					asked.Add(1)
				}
			}
		})
	}
	for n := range swaps {
		replace(t, file, variants[(n+1)%2])
		if n == swaps/2 {
			i.publish("second", "first")
		}
		before := asked.Load()
		if status, body := admin.do("POST", "/-/reload", nil); status != 200 {
			t.Fatalf("reload answers %d %s", status, body)
		}
		eventually(t, 20*time.Second, "requests go on", func() error {
			if asked.Load() < before+10*clients {
				return errors.New("they do not")
			}
			return nil
		})
	}
	stop()
	running.Wait()
	t.Logf("%d requests during %d swaps", asked.Load(), swaps)
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if _, body := admin.do("GET", "/metrics", nil); !strings.Contains(body, `narthex_web_auth_requests_total{result="accepted"}`) || strings.Contains(body, `narthex_web_auth_requests_total{result="failed"} `) {
		t.Error("the metrics do not say that all requests were judged")
	}
}

// TestPasswordsAndTokens: with both, both have to be right, and the token comes in a field of its own. TLS is around it all.
func TestPasswordsAndTokens(t *testing.T) {
	i := newIssuer(t)
	dir, port := t.TempDir(), freePort(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	trusted := writeCertificate(t, dir)
	write(t, filepath.Join(dir, "web.yml"), "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {alice: '"+string(hash)+"'}\n")
	write(t, filepath.Join(dir, "narthex.yml"), strings.Replace(i.web(), "        audience", "        header: X-Token\n        audience", 1))
	p := launch(t, dir, narthex, "--config.file=narthex.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:"+port, "--web.config.file=web.yml")
	ask := func(password, token string) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+port+"/metrics", nil)
		if err != nil {
			return 0, err
		}
		if password != "" {
			req.SetBasicAuth("alice", password)
		}
		if token != "" {
			req.Header.Set("X-Token", token)
		}
		resp, err := trusted.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	token := i.token("first", "alice", nil)
	eventually(t, startTimeout, "password and token are taken", func() error {
		if status, err := ask("secret", token); err != nil || status != 200 {
			return fmt.Errorf("status %d, %w", status, err)
		}
		return nil
	})
	for _, wrong := range [][2]string{{"", ""}, {"secret", ""}, {"", token}, {"wrong", token}, {"secret", token[:len(token)-10] + "AAAAAAAAAA"}} {
		if status, err := ask(wrong[0], wrong[1]); err != nil || status != 401 {
			t.Errorf("password %q, token %.10q: status %d, %v", wrong[0], wrong[1], status, err)
		}
	}
	p.stop()
}

// writeCertificate writes cert.pem and key.pem for 127.0.0.1 and returns a client that trusts them.
func writeCertificate(t *testing.T, dir string) *http.Client {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	cert := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return s.Client()
}
