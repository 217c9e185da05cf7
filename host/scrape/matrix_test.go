package scrape

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
)

// scraped scrapes real servers by hand: whatever a job's HTTP section can say, against a server that wants it.
type scraped struct {
	*testing.T
	m *Manager
}

// job makes the targets of one job.
func job(t *testing.T, config string) *scraped {
	t.Helper()
	m, err := New(Options{
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Storage: &taking{}, UserAgent: "Narthex/test",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &scraped{t, m}
	s.reconfigure(config)
	t.Cleanup(m.closeClients)
	return s
}

func (s *scraped) reconfigure(config string) {
	s.Helper()
	cfgs := parseConfigs(s.T, "- job_name: j\n"+config)
	change, err := s.m.Prepare(cfgs, labels.EmptyLabels(), nil)
	if err != nil {
		s.Fatal(err)
	}
	change.Apply()
	s.m.update(map[string][]sdk.Group{"j": cfgs[0].Discovery.Groups()})
}

// scrape scrapes all targets once and returns the last error, "" if all are up.
func (s *scraped) scrape() string {
	s.Helper()
	var loops []*loop
	s.m.each(func(p *pool) { loops = append(loops, p.active...) })
	for _, l := range loops {
		t, _ := l.current()
		l.scrape(s.Context(), t, time.Now())
	}
	for _, status := range s.m.Targets() {
		if status.Health != HealthGood {
			return status.LastError
		}
	}
	return ""
}

func (s *scraped) wantUp(what string) {
	s.Helper()
	if err := s.scrape(); err != "" {
		s.Errorf("%s: %s", what, err)
	}
}

func (s *scraped) wantDown(what, reason string) {
	s.Helper()
	if err := s.scrape(); err == "" || !strings.Contains(err, reason) {
		s.Errorf("%s: %q, want %q", what, err, reason)
	}
}

// guard serves metrics to those whose requests are as wanted.
func guard(wanted func(r *http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !wanted(r) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, "a 1\nb 2\nc 3\n")
	})
}

func serve(t *testing.T, h http.Handler) (target string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return staticTargets(server.Listener.Addr().String())
}

func staticTargets(addresses ...string) string {
	return "  static_configs: [{targets: ['" + strings.Join(addresses, "', '") + "']}]\n"
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	write(t, path, text)
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const forbidden = "server returned HTTP status 403 Forbidden"

func TestAuthMatrix(t *testing.T) {
	basic := func(user, password string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			u, p, ok := r.BasicAuth()
			return ok && u == user && p == password
		}
	}
	header := func(name, value string) func(*http.Request) bool {
		return func(r *http.Request) bool { return strings.Join(r.Header[http.CanonicalHeaderKey(name)], "|") == value }
	}
	up := func(name, config string, wanted func(*http.Request) bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			target := serve(t, guard(wanted))
			job(t, config+target).wantUp("with it")
			job(t, target).wantDown("without it", forbidden)
		})
	}
	up("basic", "  basic_auth: {username: u, password: p}\n", basic("u", "p"))
	up("basic files", "  basic_auth: {username_file: "+file(t, "u", "u\n")+", password_file: "+file(t, "p", "p\n")+"}\n", basic("u", "p"))
	up("user alone", "  basic_auth: {username: u}\n", basic("u", ""))
	up("authorization", "  authorization: {credentials: x}\n", header("Authorization", "Bearer x"))
	up("authorization type", "  authorization: {type: Token, credentials: x}\n", header("Authorization", "Token x"))
	up("authorization file", "  authorization: {credentials_file: "+file(t, "c", "x\n")+"}\n", header("Authorization", "Bearer x"))
	up("bearer_token", "  bearer_token: x\n", header("Authorization", "Bearer x"))
	up("bearer_token_file", "  bearer_token_file: "+file(t, "b", "x")+"\n", header("Authorization", "Bearer x"))
	up("http_headers", "  http_headers: {X-Scope: {values: [a], secrets: [b], files: ["+file(t, "h", "c")+"]}}\n", header("X-Scope", "a|b|c"))
	up("user agent cannot be lost", "  http_headers: {X-A: {values: [a]}}\n", func(r *http.Request) bool {
		return r.UserAgent() == "Narthex/test" && r.Header.Get("X-A") == "a"
	})
	up("params", "  params: {m: [a, b]}\n  relabel_configs: [{target_label: __param_m, replacement: c}]\n", func(r *http.Request) bool {
		return r.URL.RawQuery == "m=c&m=b"
	})
	up("metrics_path", "  metrics_path: /other\n", func(r *http.Request) bool { return r.URL.Path == "/other" })
	up("no compression", "  enable_compression: false\n", header("Accept-Encoding", "identity"))
	up("escaping", "  metric_name_escaping_scheme: dots\n", func(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "escaping=dots;") })
	up("timeout", "  scrape_timeout: 2500ms\n", header("X-Prometheus-Scrape-Timeout-Seconds", "2.5"))

	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if err := r.ParseForm(); err != nil || id != "id" || secret != "s" || r.Form.Get("scope") != "a b" || r.Form.Get("tenant") != "x" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"issued","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(tokens.Close)
	const oauth2 = "  oauth2: {client_id: id, %s, token_url: '%s', scopes: [a, b], endpoint_params: {tenant: x}}\n"
	up("oauth2", fmt.Sprintf(oauth2, "client_secret: s", tokens.URL), header("Authorization", "Bearer issued"))
	up("oauth2 file", fmt.Sprintf(oauth2, "client_secret_file: "+file(t, "s", "s"), tokens.URL), header("Authorization", "Bearer issued"))
	job(t, fmt.Sprintf(oauth2, "client_secret: wrong", tokens.URL)+serve(t, guard(basic("", "")))).wantDown("oauth2, wrong secret", "oauth2: ")
}

// TestCredentialsOfTargets checks that targets of one job are talked to with the credential that they name, which never
// becomes a label.
func TestCredentialsOfTargets(t *testing.T) {
	var seen atomic.Value
	server := httptest.NewServer(guard(func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		seen.Store(user + ":" + password + " " + r.Header.Get("Authorization"))
		return r.URL.Path == "/a" && password == "of-a" || r.URL.Path == "/b" && r.Header.Get("Authorization") == "Bearer of-b" ||
			r.URL.Path == "/c" && r.Header.Get("Authorization") == "Bearer of-job"
	}))
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	entry := func(path, ref string) string {
		return fmt.Sprintf("  - {targets: ['%s'], labels: {__metrics_path__: %s, __auth_ref__: '%s'}}\n", address, path, ref)
	}
	const credentials = "  authorization: {credentials: of-job}\n  credentials:\n    a: {basic_auth: {username: u, password: of-a}}\n    b: {authorization: {credentials: of-b}}\n"
	s := job(t, credentials+"  static_configs:\n"+entry("/a", "a")+entry("/b", "b")+entry("/c", ""))
	s.wantUp("each with its own")
	for _, status := range s.m.Targets() {
		if text := status.Labels.String() + status.Discovered.String(); strings.Contains(text, "of-") || strings.Contains(status.Labels.String(), "auth_ref") {
			t.Errorf("labels %s", text)
		}
	}
	s.reconfigure(strings.Replace(credentials, "of-b", "other", 1) + "  static_configs:\n" + entry("/b", "b"))
	s.wantDown("a credential that has changed", forbidden)
	s.reconfigure(credentials + "  static_configs:\n" + entry("/b", "z"))
	s.wantDown("unknown", `the target names the credential "z" in __auth_ref__, which is not among the job's credentials: a, b`)
	s.reconfigure("  static_configs:\n" + entry("/b", "z"))
	seen.Store("not asked")
	s.wantDown("none at all", `the target names the credential "z" in __auth_ref__, but the job has no credentials`)
	if seen.Load() != "not asked" {
		t.Errorf("the target was asked all the same: %v", seen.Load())
	}
}

// authority signs certificates.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{T: t}
	a.cert, a.key, a.pem, _ = a.issue("authority", nil)
	return a
}

// issue makes a certificate, signed by parent or by itself.
func (a *authority) issue(name string, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if name == "127.0.0.1" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	signer, signerKey := template, key
	if parent != nil {
		signer, signerKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signerKey)
	if err != nil {
		a.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// pair issues a certificate in the form that a TLS server takes.
func (a *authority) pair(name string) tls.Certificate {
	a.Helper()
	_, _, cert, key := a.issue(name, a)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		a.Fatal(err)
	}
	return pair
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func serveTLS(t *testing.T, h http.Handler, cfg *tls.Config) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS, server.EnableHTTP2 = cfg, true
	server.StartTLS()
	t.Cleanup(server.Close)
	return "  scheme: https\n" + staticTargets(server.Listener.Addr().String())
}

func anyone(*http.Request) bool { return true }

func TestTLSMatrix(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	caFile := file(t, "ca.pem", ca.pem)
	_, _, clientCert, clientKey := ca.issue("client", ca)
	certFile, keyFile := file(t, "c.pem", clientCert), file(t, "k.pem", clientKey)
	tlsConfig := func(fields string) string { return "  tls_config: {" + fields + "}\n" }
	inline := func(text string) string { return fmt.Sprintf("%q", text) }

	plain := serveTLS(t, guard(anyone), &tls.Config{Certificates: []tls.Certificate{ca.pair("127.0.0.1")}})
	job(t, tlsConfig("ca_file: "+caFile)+plain).wantUp("ca_file")
	job(t, tlsConfig("ca: "+inline(ca.pem))+plain).wantUp("ca")
	job(t, tlsConfig("insecure_skip_verify: true")+plain).wantUp("insecure_skip_verify")
	job(t, plain).wantDown("unknown authority", "certificate signed by unknown authority")
	job(t, tlsConfig("ca: "+inline(other.pem))+plain).wantDown("another authority", "certificate signed by unknown authority")
	job(t, strings.Replace(plain, "https", "http", 1)).wantDown("HTTP to a TLS server", "HTTP status 400")

	named := serveTLS(t, guard(anyone), &tls.Config{Certificates: []tls.Certificate{ca.pair("node.example")}})
	job(t, tlsConfig("ca_file: "+caFile+", server_name: node.example")+named).wantUp("server_name")
	job(t, tlsConfig("ca_file: "+caFile)+named).wantDown("another name", "cannot validate certificate for 127.0.0.1")

	mutual := serveTLS(t, guard(anyone), &tls.Config{
		Certificates: []tls.Certificate{ca.pair("127.0.0.1")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
	})
	job(t, tlsConfig("ca_file: "+caFile+", cert_file: "+certFile+", key_file: "+keyFile)+mutual).wantUp("client certificate")
	job(t, tlsConfig("ca_file: "+caFile+", cert: "+inline(clientCert)+", key: "+inline(clientKey))+mutual).wantUp("client certificate, inline")
	job(t, tlsConfig("ca_file: "+caFile)+mutual).wantDown("no client certificate", "") // The server may hang up before it is heard.

	old := serveTLS(t, guard(anyone), &tls.Config{Certificates: []tls.Certificate{ca.pair("127.0.0.1")}, MaxVersion: tls.VersionTLS12})
	job(t, tlsConfig("ca_file: "+caFile)+old).wantUp("TLS 1.2")
	job(t, tlsConfig("ca_file: "+caFile+", min_version: TLS13")+old).wantDown("min_version", "protocol version")
	recent := serveTLS(t, guard(anyone), &tls.Config{Certificates: []tls.Certificate{ca.pair("127.0.0.1")}, MinVersion: tls.VersionTLS13})
	job(t, tlsConfig("ca_file: "+caFile+", max_version: TLS12")+recent).wantDown("max_version", "protocol version")

	two := serveTLS(t, guard(func(r *http.Request) bool { return r.ProtoMajor == 2 }), &tls.Config{Certificates: []tls.Certificate{ca.pair("127.0.0.1")}})
	job(t, tlsConfig("ca_file: "+caFile)+two).wantUp("HTTP/2")
	job(t, "  enable_http2: false\n"+tlsConfig("ca_file: "+caFile)+two).wantDown("HTTP/1", forbidden)
}

func TestProxyMatrix(t *testing.T) {
	ca := newAuthority(t)
	var proxied, connected atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			if r.Header.Get("X-Proxy") == "secret" {
				connected.Add(1)
				tunnel(w, r)
			}
			return
		}
		proxied.Add(1)
		guard(func(r *http.Request) bool { return r.URL.Host == "node.example:80" }).ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	elsewhere := staticTargets("node.example:80")
	job(t, "  proxy_url: "+proxy.URL+"\n"+elsewhere).wantUp("proxy_url")
	if proxied.Load() != 1 {
		t.Error("the proxy was not asked")
	}
	direct := serve(t, guard(anyone))
	job(t, "  proxy_url: "+proxy.URL+"\n  no_proxy: 127.0.0.0/8\n"+direct).wantUp("no_proxy")
	if proxied.Load() != 1 {
		t.Error("the proxy was asked in spite of no_proxy")
	}
	secure := serveTLS(t, guard(anyone), &tls.Config{Certificates: []tls.Certificate{ca.pair("127.0.0.1")}})
	tlsConfig := "  tls_config: {ca_file: " + file(t, "ca.pem", ca.pem) + "}\n"
	job(t, "  proxy_url: "+proxy.URL+"\n  proxy_connect_header: {X-Proxy: [secret]}\n"+tlsConfig+secure).wantUp("proxy_connect_header")
	if connected.Load() != 1 {
		t.Error("the proxy has not connected")
	}
	t.Setenv("HTTP_PROXY", proxy.URL)
	job(t, "  proxy_from_environment: true\n"+elsewhere).wantUp("proxy_from_environment")
	job(t, "  proxy_url: http://127.0.0.1:1\n"+elsewhere).wantDown("no such proxy", "connection refused")
}

// tunnel joins the two sides of a CONNECT.
func tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(there, here)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
	_ = here.Close()
}

func TestOtherHTTPOptions(t *testing.T) {
	target := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			http.Redirect(w, r, "/real", http.StatusFound)
			return
		}
		guard(anyone).ServeHTTP(w, r)
	}))
	job(t, target).wantUp("follow_redirects")
	job(t, "  follow_redirects: false\n"+target).wantDown("redirect", "server returned HTTP status 302 Found")

	plain := serve(t, guard(anyone))
	job(t, "  sample_limit: 3\n"+plain).wantUp("sample_limit")
	job(t, "  sample_limit: 2\n"+plain).wantDown("sample_limit", "sample limit exceeded")
	job(t, "  body_size_limit: 13B\n"+plain).wantUp("body_size_limit")
	job(t, "  body_size_limit: 12B\n"+plain).wantDown("body_size_limit", "body size limit exceeded")
	job(t, "  label_limit: 3\n"+plain).wantUp("label_limit")
	job(t, "  label_limit: 2\n"+plain).wantDown("label_limit", "label_limit exceeded")
	job(t, "  label_name_length_limit: 7\n"+plain).wantDown("label_name_length_limit", "label_name_length_limit exceeded")
	job(t, "  label_value_length_limit: 1\n"+plain).wantDown("label_value_length_limit", "label_value_length_limit exceeded")
	job(t, "  target_limit: 1\n"+staticTargets("127.0.0.1:1", "127.0.0.1:2")).wantDown("target_limit", "target_limit exceeded")

	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(guard(func(r *http.Request) bool { return r.Host == "some.host" }))
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	job(t, "  static_configs: [{targets: [some.host], labels: {__unix_socket__: "+socket+"}}]\n").wantUp("__unix_socket__")
}

// TestRotation changes the files with secrets between scrapes.
func TestRotation(t *testing.T) {
	var wanted atomic.Pointer[string]
	want := func(s string) { wanted.Store(&s) }
	rotates := func(name, config, path, header string) {
		t.Helper()
		want("one")
		write(t, path, "one")
		s := job(t, config+serve(t, guard(func(r *http.Request) bool {
			value := r.Header.Get(header)
			if _, password, ok := r.BasicAuth(); ok {
				value = password
			}
			return strings.TrimPrefix(value, "Bearer ") == *wanted.Load()
		})))
		s.wantUp(name + ", first")
		want("two")
		s.wantDown(name+", outdated", forbidden)
		write(t, path, "two\n")
		s.wantUp(name + ", renewed")
	}
	path := file(t, "secret", "")
	rotates("password_file", "  basic_auth: {username: u, password_file: "+path+"}\n", path, "")
	rotates("credentials_file", "  authorization: {credentials_file: "+path+"}\n", path, "Authorization")
	rotates("bearer_token_file", "  bearer_token_file: "+path+"\n", path, "Authorization")
	rotates("header files", "  http_headers: {X-Key: {files: ["+path+"]}}\n", path, "X-Key")
}

// TestCertificateRotation exchanges the authority and the certificates of both sides between scrapes.
func TestCertificateRotation(t *testing.T) {
	var current atomic.Pointer[tls.Config]
	target := serveTLS(t, guard(anyone), &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.Load(), nil },
	})
	caFile, certFile, keyFile := file(t, "ca", ""), file(t, "cert", ""), file(t, "key", "")
	renewServer := func() *authority {
		ca := newAuthority(t)
		current.Store(&tls.Config{
			Certificates: []tls.Certificate{ca.pair("127.0.0.1")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
		})
		return ca
	}
	renewClient := func(ca *authority) {
		_, _, cert, key := ca.issue("client", ca)
		write(t, caFile, ca.pem)
		write(t, certFile, cert)
		write(t, keyFile, key)
	}
	renewClient(renewServer())
	s := job(t, fmt.Sprintf("  tls_config: {ca_file: %s, cert_file: %s, key_file: %s}\n", caFile, certFile, keyFile)+target)
	hangUp := func() { // A connection that is there goes on with the old certificates.
		s.m.closeClients()
	}
	s.wantUp("first")
	next := renewServer()
	hangUp()
	s.wantDown("outdated", "certificate signed by unknown authority")
	renewClient(next)
	s.wantUp("renewed")
}
