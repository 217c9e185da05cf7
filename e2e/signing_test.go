//go:build e2e && linux

package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// guarded is a server that lets signed requests through, and counts both.
type guarded struct {
	t       *testing.T
	address string
	// verify returns what is wrong with a request, whose body is given.
	verify func(r *http.Request, body []byte) error
	// alerts is where requests for an Alertmanager go.
	alerts http.Handler

	mu      sync.Mutex
	passed  map[string]int // by path
	refused []string
}

func newGuarded(t *testing.T, verify func(*http.Request, []byte) error) *guarded {
	t.Helper()
	g := &guarded{t: t, verify: verify, passed: map[string]int{}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.address = strings.TrimPrefix(server.URL, "http://")
	return g
}

// ServeHTTP serves a target at /metrics, a list of targets at /sd, and an Alertmanager at /api/v2/.
func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = g.verify(r, body)
	}
	g.mu.Lock()
	if err == nil {
		g.passed[r.URL.Path]++
	} else {
		g.refused = append(g.refused, r.Method+" "+r.URL.String()+": "+err.Error())
	}
	g.mu.Unlock()
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusForbidden)
	case r.URL.Path == "/sd":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `[{"targets": [%q]}]`, g.address)
	case strings.HasPrefix(r.URL.Path, "/api/v2/"):
		if g.alerts != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			g.alerts.ServeHTTP(w, r)
		}
	default:
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "guarded 1")
	}
}

func (g *guarded) count(path string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed[path]
}

// wantNoneRefused fails the test if requests were refused, whatever the path.
func (g *guarded) wantNoneRefused() {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.refused) > 0 {
		g.t.Errorf("%d requests were refused, the first is %s", len(g.refused), g.refused[0])
	}
}

// awaitMore waits for more requests for a path.
func (g *guarded) awaitMore(n int, path string) {
	g.t.Helper()
	before := g.count(path)
	eventually(g.t, 15*time.Second, fmt.Sprintf("%d more requests for %s", n, path), func() error {
		if more := g.count(path) - before; more < n {
			g.mu.Lock()
			defer g.mu.Unlock()
			return fmt.Errorf("there are %d, and %d were refused: %.1000q", more, len(g.refused), g.refused)
		}
		return nil
	})
}

// amazon knows keys, checks signatures with AWS's own signer, and hands out credentials for roles, which do not last.
type amazon struct {
	t     *testing.T
	lasts time.Duration

	mu   sync.Mutex
	keys map[string]aws.Credentials
	made int
}

// verify checks a request's signature, for the service aps in eu-west-1.
func (a *amazon) verify(r *http.Request, body []byte) error { return a.verifyFor(r, body, "aps") }

func (a *amazon) verifyFor(r *http.Request, body []byte, service string) error {
	auth := r.Header.Get("Authorization")
	_, rest, ok := strings.Cut(auth, "AWS4-HMAC-SHA256 Credential=")
	id, _, _ := strings.Cut(rest, "/")
	a.mu.Lock()
	key, known := a.keys[id]
	a.mu.Unlock()
	switch {
	case !ok:
		return fmt.Errorf("not signed: %q", auth)
	case !known:
		return fmt.Errorf("the key %q is unknown", id)
	case key.CanExpire && time.Now().After(key.Expires):
		return fmt.Errorf("the key %q has expired", id)
	case key.SessionToken != r.Header.Get("X-Amz-Security-Token"):
		return fmt.Errorf("the token of %q is another", id)
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > time.Minute {
		return fmt.Errorf("signed at %q: %w", r.Header.Get("X-Amz-Date"), err)
	}
	again := &http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}, Header: http.Header{}}
	_, names, _ := strings.Cut(auth, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	for name := range strings.SplitSeq(names, ";") {
		if name != "host" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), key, again, hex.EncodeToString(sum[:]), service, "eu-west-1", at); err != nil {
		return err
	}
	if want := again.Header.Get("Authorization"); want != auth {
		return fmt.Errorf("signed with %s instead of %s", auth, want)
	}
	return nil
}

// ServeHTTP is the Security Token Service.
func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = a.verifyFor(r, body, "sts")
	}
	if err != nil {
		a.t.Errorf("STS is asked by a request that is not good: %v", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made++
	key := aws.Credentials{
		AccessKeyID: fmt.Sprint("ASIA", a.made), SecretAccessKey: fmt.Sprint("secret/+=", a.made), SessionToken: fmt.Sprint("token/+=", a.made),
		CanExpire: true, Expires: time.Now().Add(a.lasts).Truncate(time.Second),
	}
	a.keys[key.AccessKeyID] = key
	fmt.Fprintf(w, "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>"+
		"<SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
		key.AccessKeyID, key.SecretAccessKey, key.SessionToken, key.Expires.UTC().Format(time.RFC3339))
}

// signedConfig has a job, a job whose targets are discovered, and an Alertmanager, each behind a guard, with a section that signs.
func signedConfig(t *testing.T, dir, address, auth string) string {
	t.Helper()
	write(t, filepath.Join(dir, "rules.yml"), "groups: [{name: g, interval: 300ms, rules: [{alert: Always, expr: vector(1)}]}]\n")
	return fmt.Sprintf(`global: {scrape_interval: 400ms, scrape_timeout: 400ms, scrape_failure_log_file: failures.log}
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - %[2]s
    static_configs: [{targets: ['%[1]s']}]
scrape_configs:
- job_name: plain
  params: {'match[]': ['{a="b c"}', '{a="d+e"}'], x: ['']}
  %[2]s
  static_configs: [{targets: ['%[1]s']}]
- job_name: found
  credentials: {one: {%[2]s}}
  relabel_configs: [{target_label: __auth_ref__, replacement: one}]
  http_sd_configs: [{url: 'http://%[1]s/sd', refresh_interval: 500ms, %[2]s}]
`, address, auth)
}

// TestSigV4: what goes out is signed so that AWS's own signer agrees, with credentials that change all the time, and a real
// Alertmanager behind the guard gets its alerts.
func TestSigV4(t *testing.T) {
	path := component(t, "prometheus-alertmanager", "prometheus-alertmanager")
	cloud := &amazon{t: t, lasts: 4 * time.Second, keys: map[string]aws.Credentials{
		"AKIDFILE": {AccessKeyID: "AKIDFILE", SecretAccessKey: "from file"},
	}}
	sts := httptest.NewServer(cloud)
	defer sts.Close()
	guard := newGuarded(t, cloud.verify)
	am := newAlertmanager(t, path)
	am.run()
	behind, err := url.Parse("http://" + am.address())
	if err != nil {
		t.Fatal(err)
	}
	guard.alerts = httputil.NewSingleHostReverseProxy(behind)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "credentials"), "[work]\naws_access_key_id = AKIDFILE\naws_secret_access_key = from file\n")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_STS": sts.URL, "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials"), "AWS_CONFIG_FILE": "/dev/null",
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "work", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	config := signedConfig(t, dir, guard.address, `sigv4: {role_arn: "arn:aws:iam::1:role/r", external_id: x}`)
	s := start(t, options{dir: dir, config: config, args: []string{"--rules.alert.resend-delay=1s"}})
	guard.awaitMore(3, "/metrics")
	guard.awaitMore(2, "/sd")
	guard.awaitMore(1, "/api/v2/alerts")
	s.awaitInstances(5*time.Second, "found", guard.address)
	eventually(t, 10*time.Second, "the Alertmanager has the alert", func() error {
		_, body, err := client{t: t, base: "http://" + am.address()}.try("GET", "/api/v2/alerts", nil)
		if err == nil && !strings.Contains(body, `"alertname":"Always"`) {
			err = fmt.Errorf("it has %s", body)
		}
		return err
	})
	eventually(t, 30*time.Second, "credentials have been replaced", func() error {
		cloud.mu.Lock()
		defer cloud.mu.Unlock()
		if cloud.made < 4 {
			return fmt.Errorf("there were %d", cloud.made)
		}
		return nil
	})
	guard.wantNoneRefused()
	s.wantNoFailures()
	p := s.plugin("auth-sigv4")
	if want := []string{"AWS_CONFIG_FILE", "AWS_EC2_METADATA_DISABLED", "AWS_ENDPOINT_URL_STS", "AWS_PROFILE", "AWS_REGION", "AWS_SHARED_CREDENTIALS_FILE"}; !slices.Equal(p.Given.Env, want) || !slices.Contains(p.Asks.Env, "AWS_SESSION_TOKEN") {
		t.Errorf("the plugin was given %v and asks for %v", p.Given.Env, p.Asks.Env)
	}

	// Without credentials nothing is sent, and the target says why.
	write(t, s.config, strings.ReplaceAll(config, `sigv4: {role_arn: "arn:aws:iam::1:role/r", external_id: x}`, `sigv4: {profile: none}`))
	if status, body := s.reload(); status != http.StatusOK {
		t.Fatalf("reload answers %d %s", status, body)
	}
	s.awaitError("plain", "sigv4: plugin auth-sigv4: there is no profile none in AWS's shared files")
	guard.wantNoneRefused()
	for text, want := range map[string]string{
		`sigv4: {access_key: x}`: ": plugin auth-sigv4: secret_key: missing",
		`sigv4: {regoin: x}`:     ": plugin auth-sigv4: regoin: unknown field",
		`sigv5_auth: {}`:         "no plugin claims the key sigv5_auth; searched ",
		`basc_auth: {}`:          "did you mean basic_auth?",
	} {
		write(t, s.config, strings.ReplaceAll(config, `sigv4: {role_arn: "arn:aws:iam::1:role/r", external_id: x}`, text))
		if status, body := s.reload(); status != http.StatusInternalServerError || !strings.Contains(body, want) || !strings.Contains(body, "narthex.yml:10: scrape_configs[0]."+text[:5]) {
			t.Errorf("%s: reload answers %d %s", text, status, body)
		}
	}
}

// wantNoFailures fails the test if a scrape has failed.
func (s *server) wantNoFailures() {
	s.t.Helper()
	if text := read(s.t, filepath.Join(s.dir, "failures.log")); text != "" {
		s.t.Errorf("scrapes failed:\n%s", text)
	}
}

// awaitError waits until a job's targets are down for a reason.
func (s *server) awaitError(job, want string) {
	s.t.Helper()
	eventually(s.t, 10*time.Second, "targets of "+job+" are down", func() error {
		for _, target := range s.targets(job) {
			if target.Health != "down" || !strings.Contains(target.LastError, want) {
				return fmt.Errorf("one is %s: %s", target.Health, target.LastError)
			}
		}
		return nil
	})
}

// TestAuthPlugin goes the whole way of a plugin that signs: written by narthex plugin new, built, used everywhere, its key rotated
// while it signs, its file exchanged twenty times, and gone. No request is refused.
func TestAuthPlugin(t *testing.T) {
	t.Setenv("GOPROXY", "off") // What the module cache has must do.
	work, plugins, dir := t.TempDir(), t.TempDir(), t.TempDir()
	wantCommand(t, work, narthex, "plugin", "new", "acme", "--kind", "auth")
	wantCommand(t, filepath.Join(work, "auth-acme"), "go", "test", "./...")
	wantCommand(t, work, narthex, "plugin", "build", "auth-acme", "-o", plugins)
	module := filepath.Join(plugins, "auth-acme.wasm")
	key, section := filepath.Join(dir, "key"), filepath.Join(dir, "section.yml")
	write(t, key, "one\n")
	write(t, section, "{user: bob, key_file: key}\n")
	out := wantCommand(t, dir, narthex, "plugin", "run", "--config", section, "--request", "GET http://h:1/x", module)
	if !strings.HasPrefix(out, "signed: GET http://h:1/x\nAuthorization: HMAC bob:") {
		t.Errorf("plugin run prints %s", out)
	}

	var mu sync.Mutex
	keys := []string{"one"}
	guard := newGuarded(t, func(r *http.Request, body []byte) error {
		at, err := strconv.ParseInt(r.Header.Get("X-Signed-At"), 10, 64)
		if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
			return fmt.Errorf("signed at %q: %w", r.Header.Get("X-Signed-At"), err)
		}
		sum := sha256.Sum256(body)
		mu.Lock()
		defer mu.Unlock()
		for _, k := range keys {
			mac := hmac.New(sha256.New, []byte(k))
			fmt.Fprintf(mac, "%s\nhttp://%s%s\n%d\n%x", r.Method, r.Host, r.RequestURI, at, sum)
			if r.Header.Get("Authorization") == fmt.Sprintf("HMAC bob:%x", mac.Sum(nil)) {
				return nil
			}
		}
		return fmt.Errorf("signed with %q", r.Header.Get("Authorization"))
	})
	s := start(t, options{
		dir: dir, plugins: plugins, config: signedConfig(t, dir, guard.address, "acme_auth: {user: bob, key_file: key}"),
		args: []string{"--rules.alert.resend-delay=500ms"},
	})
	for _, path := range []string{"/metrics", "/sd", "/api/v2/alerts"} {
		guard.awaitMore(2, path)
	}
	s.awaitInstances(5*time.Second, "found", guard.address)

	// A new key, which is known before it is used, as is the old one a little longer.
	for _, next := range []string{"two", "three"} {
		mu.Lock()
		keys = append(keys, next)
		mu.Unlock()
		replace(t, key, next)
		guard.awaitMore(4, "/metrics")
		mu.Lock()
		keys = keys[1:]
		mu.Unlock()
		guard.awaitMore(2, "/metrics")
		guard.awaitMore(2, "/sd")
	}

	// The plugin is exchanged under the scrapes.
	const swaps = 20
	code := read(t, module)
	variants := []string{code, code + "\x00\x06\x04swap!"} // A custom section changes nothing but the digest.
	for n := range swaps {
		replace(t, module, variants[(n+1)%2])
		if status, body := s.reload(); status != http.StatusOK {
			t.Fatalf("reload answers %d %s", status, body)
		}
		guard.awaitMore(2, "/metrics")
	}
	guard.awaitMore(2, "/sd")
	guard.awaitMore(2, "/api/v2/alerts")
	guard.wantNoneRefused()
	s.wantNoFailures()

	// What the plugin says is why the target is down, and nothing was sent.
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	s.awaitError("plain", "acme_auth: plugin auth-acme: read key: ")
	s.awaitError("found", "acme_auth: plugin auth-acme: read key: ")
	write(t, key, "three")
	guard.awaitMore(2, "/metrics")
	guard.wantNoneRefused()
}
