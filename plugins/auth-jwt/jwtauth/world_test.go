package jwtauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer has keys, publishes them, and signs tokens.
type issuer struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	keys  map[string]crypto.Signer // published
	extra []any                    // published as they are
	down  bool
	asked int
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, keys: map[string]crypto.Signer{}}
	s := httptest.NewServer(i)
	i.url = s.URL
	t.Cleanup(func() {
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return i
}

// ServeHTTP answers with the keys.
func (i *issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	if i.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	keys := append([]any{}, i.extra...)
	for id, k := range i.keys {
		keys = append(keys, public(id, k.Public()))
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"keys": keys}); err != nil {
		i.t.Error(err)
	}
}

func (i *issuer) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// count returns how often the keys were asked for.
func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// add makes and publishes a key.
func (i *issuer) add(id, algorithm string) crypto.Signer {
	i.t.Helper()
	k := newKey(i.t, algorithm)
	i.set(func() { i.keys[id] = k })
	return k
}

func newKey(t *testing.T, algorithm string) crypto.Signer {
	t.Helper()
	var k crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	default:
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// public returns a key as a JWK.
func public(id string, key crypto.PublicKey) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := key.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": id, "use": "sig", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		return map[string]any{"kty": "EC", "crv": k.Params().Name, "kid": id, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": b64(k)}
	}
	panic("no such key")
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // when tests begin

// claims returns the claims of a good token, changed.
func claims(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"iss": "https://issuer", "aud": "narthex", "sub": "alice", "exp": start.Add(time.Hour).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign returns a token. An id of "" leaves it out.
func sign(t *testing.T, algorithm, id string, key any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), c)
	if id != "" {
		token.Header["kid"] = id
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// clock stands still unless it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is an issuer, and a plugin that trusts it.
type world struct {
	*testing.T
	*issuer
	*Authenticator
	clock *clock
	log   *safeBuffer
}

// newWorld configures the plugin with more fields, in JSON.
func newWorld(t *testing.T, more string) *world {
	t.Helper()
	i := newIssuer(t)
	w := &world{T: t, issuer: i, clock: &clock{at: start}, log: &safeBuffer{}}
	text := `{"jwks_url": "` + i.url + `/keys", "issuer": "https://issuer", "audience": "narthex"`
	if more != "" {
		text += ", " + more
	}
	c, err := ParseConfig(sdk.Config(text + "}"))
	if err != nil {
		t.Fatal(err)
	}
	h := sdktest.NewHost(t).SDK()
	h.Log = slog.New(slog.NewTextHandler(w.log, nil))
	w.Authenticator = New(c, h, w.clock.now)
	t.Cleanup(w.settle)
	return w
}

// settle waits for the keys if they are being read.
func (w *world) settle() {
	w.ring.mu.Lock()
	done := w.ring.reading
	w.ring.mu.Unlock()
	if done != nil {
		<-done
	}
}

// send asks about a request with a token and returns the user, or the error.
func (w *world) send(token string) (string, error) {
	return w.request("GET", "/api/v1/query?query=up", token)
}

func (w *world) request(method, uri, token string) (string, error) {
	id, err := w.Authenticate(w.Context(), sdk.AuthRequest{
		Method: method, URL: uri, Header: sdk.Header{"Authorization": {"Bearer " + token}}, RemoteAddr: "192.0.2.1:4711",
	})
	return id.User, err
}

func (w *world) accepts(token string) {
	w.Helper()
	if user, err := w.send(token); err != nil || user != "alice" {
		w.Errorf("a good token gives %q, %v", user, err)
	}
}

// refuses wants status 401 and a reason.
func (w *world) refuses(token, why string) {
	w.Helper()
	user, err := w.send(token)
	challenge, ok := sdk.IsUnauthenticated(err)
	if !ok || !strings.Contains(err.Error(), why) || !strings.HasPrefix(challenge, `Bearer realm="narthex"`) || user != "" {
		w.Errorf("got %q, %v (%s), want it to be refused: %s", user, err, challenge, why)
	}
}

// fails wants status 503 and a reason.
func (w *world) fails(token, why string) {
	w.Helper()
	_, err := w.send(token)
	if _, ok := sdk.IsUnauthenticated(err); ok || err == nil || sdk.IsForbidden(err) || !strings.Contains(err.Error(), why) {
		w.Errorf("got %v, want a failure: %s", err, why)
	}
}

// safeBuffer is a buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
