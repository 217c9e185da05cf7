package jwtauth

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestAlgorithms(t *testing.T) {
	w := newWorld(t, "")
	for _, kind := range []string{"RSA", "ES256", "ES384", "EdDSA"} {
		w.add(kind, kind)
	}
	for _, a := range algorithms() {
		kind := a
		if a[1] == 'S' && a[0] != 'E' {
			kind = "RSA"
		}
		token := sign(t, a, kind, w.issuer.keys[kind], claims(nil))
		w.accepts(token)
		w.accepts(token) // from memory
		stranger := newKey(t, kind)
		w.refuses(sign(t, a, kind, stranger, claims(nil)), "the signature of the token is wrong")
	}
	if n := w.count(); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
}

func TestOnlyConfiguredAlgorithms(t *testing.T) {
	w := newWorld(t, `"algorithms": ["ES256"]`)
	ec, rsa := w.add("e", "ES256"), w.add("r", "RSA")
	w.accepts(sign(t, "ES256", "e", ec, claims(nil)))
	w.refuses(sign(t, "RS256", "r", rsa, claims(nil)), "an algorithm that is not taken")
}

// TestForgery is what somebody without the issuer's keys tries.
func TestForgery(t *testing.T) {
	w := newWorld(t, "")
	key := w.add("k", "RSA")
	good := sign(t, "RS256", "k", key, claims(nil))
	w.accepts(good)
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	b64 := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	header := func(h map[string]any) string { return b64(h) + "." + parts[1] + "." + parts[2] }
	root := b64(claims(jwt.MapClaims{"sub": "root"}))

	w.refuses(sign(t, "none", "k", jwt.UnsafeAllowNoneSignatureType, claims(nil)), "an algorithm that is not taken")
	for _, alg := range []string{"None", "NONE", "nOnE", ""} {
		w.refuses(b64(map[string]any{"alg": alg, "kid": "k"})+"."+root+".", "malformed")
	}
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		w.refuses(sign(t, alg, "k", public, claims(nil)), "an algorithm that is not taken")
		w.refuses(sign(t, alg, "k", der, claims(nil)), "an algorithm that is not taken")
		w.refuses(sign(t, alg, "", public, claims(nil)), "an algorithm that is not taken")
	}
	w.refuses(parts[0]+"."+root+"."+parts[2], "the signature")
	w.refuses(parts[0]+"."+parts[1]+".", "the signature")
	w.refuses(parts[0]+"."+parts[1]+"."+parts[2][:8], "the signature")
	w.refuses(header(map[string]any{"alg": "RS256", "kid": "k", "typ": "x"}), "the signature")
	w.refuses(header(map[string]any{"alg": "RS256"}), "the signature")
	w.refuses(header(map[string]any{"alg": "ES256", "kid": "k"}), "the issuer has no such key")
	w.refuses(header(map[string]any{"alg": "RS256", "kid": "k", "crit": []string{"b64"}, "b64": false}), "extensions")
	w.refuses(header(map[string]any{"alg": []string{"RS256"}, "kid": "k"}), "malformed")
	for _, id := range []any{7, []string{"k"}, map[string]any{"k": 1}, true} {
		w.refuses(header(map[string]any{"alg": "RS256", "kid": id}), "malformed")
	}
	for _, id := range []string{"../../../dev/null", "k' OR '1'='1", "K", "k\x00", strings.Repeat("k", 9000), "https://evil/keys"} {
		w.refuses(header(map[string]any{"alg": "RS256", "kid": id}), "the issuer has no such key")
	}
	evil := newKey(t, "RSA")
	for field, value := range map[string]any{
		"jwk": map[string]any{"kty": "RSA"}, "jku": "https://evil/keys", "x5u": "https://evil/cert", "x5c": []string{base64.StdEncoding.EncodeToString(der)},
	} {
		token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims(nil))
		token.Header["kid"], token.Header[field] = "k", value
		text, err := token.SignedString(evil)
		if err != nil {
			t.Fatal(err)
		}
		w.refuses(text, "the signature")
	}
	for _, text := range []string{
		"", ".", "..", "...", "a.b.c", good + ".", good + ".x", "." + good, strings.Repeat("A", 1000), parts[0] + "." + parts[1],
		b64(nil) + "." + parts[1] + "." + parts[2], b64([]int{}) + "." + parts[1] + "." + parts[2], parts[0] + ".bnVsbA." + parts[2],
		good[:len(good)-1] + "=", strings.ReplaceAll(good, "-", "+"), good + "\x00", b64(strings.Repeat("[", 3000)) + "..",
	} {
		if user, err := w.send(text); err == nil && text != good {
			t.Errorf("%.40q is taken for %s", text, user)
		}
	}
	w.refuses(strings.Repeat("a", maxTokenBytes+1), "longer than")
	w.refuses(strings.Repeat(strings.Repeat("a", 5000)+".", 2)+strings.Repeat("a", 5000), "malformed")
	w.accepts(good)
}

func TestSignaturesAreNotMalleable(t *testing.T) {
	w := newWorld(t, "")
	key := w.add("k", "ES256")
	good := sign(t, "ES256", "k", key, claims(nil))
	w.accepts(good)
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])
	// The last character of 64 bytes has four bits that say nothing.
	other := good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last^1])
	w.refuses(other, "malformed")
}

func TestClaims(t *testing.T) {
	w := newWorld(t, `"required_claims": [{"claim": "email_verified", "equals": true}, {"claim": "tenant", "equals": ["a", "b"]}]`)
	key := w.add("k", "EdDSA")
	with := func(changes jwt.MapClaims) string {
		c := jwt.MapClaims{"email_verified": true, "tenant": "b"}
		maps.Copy(c, changes)
		return sign(t, "EdDSA", "k", key, claims(c))
	}
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	w.accepts(with(nil))
	w.accepts(with(jwt.MapClaims{"aud": []string{"other", "narthex"}}))
	w.accepts(with(jwt.MapClaims{"exp": at(-29 * time.Second)}))
	w.accepts(with(jwt.MapClaims{"nbf": at(29 * time.Second)}))
	w.accepts(with(jwt.MapClaims{"iat": at(time.Hour)})) // says nothing about validity
	for _, c := range []struct {
		name string
		to   any
		why  string
	}{
		{"exp", at(-31 * time.Second), "the token has expired"},
		{"exp", 0, "the token has expired"},
		{"exp", -1, "the token has expired"},
		{"exp", nil, "lacks exp"},
		{"exp", "tomorrow", "make no sense"},
		{"exp", map[string]any{}, "make no sense"},
		{"nbf", at(31 * time.Second), "not valid yet"},
		{"nbf", "now", "make no sense"},
		{"iss", "https://issuer/", "another issuer"},
		{"iss", "https://evil", "another issuer"},
		{"iss", []string{"https://issuer"}, "make no sense"},
		{"iss", nil, "lacks exp, iss or aud"},
		{"aud", "grafana", "another audience"},
		{"aud", []string{"grafana", "narthex2"}, "another audience"},
		{"aud", "Narthex", "another audience"},
		{"aud", []string{}, "lacks exp, iss or aud"},
		{"aud", nil, "lacks exp, iss or aud"},
		{"aud", map[string]any{"narthex": true}, "lacks exp, iss or aud"},
		{"email_verified", false, "a claim that is required"},
		{"email_verified", nil, "a claim that is required"},
		{"email_verified", []bool{true}, "a claim that is required"},
		{"tenant", "c", "a claim that is required"},
		{"sub", nil, "does not say whose it is"},
		{"sub", "", "does not say whose it is"},
		{"sub", []string{"alice"}, "does not say whose it is"},
		{"sub", "alice\nlevel=error", "does not say whose it is"},
		{"sub", strings.Repeat("a", maxUserBytes+1), "does not say whose it is"},
	} {
		t.Run(c.name+" "+c.why, func(*testing.T) { w.refuses(with(jwt.MapClaims{c.name: c.to}), c.why) })
	}
}

func TestAnybodysTokens(t *testing.T) {
	w := newWorld(t, `"user_claim": "user.name"`)
	w.config.Audience = nil
	c, err := ParseConfig(sdk.Config(`{"jwks_url": "` + w.url + `", "issuer": "https://issuer", "audience": "*", "user_claim": "user.name"}`))
	if err != nil {
		t.Fatal(err)
	}
	w.Authenticator = New(c, sdktest.NewHost(t).SDK(), w.clock.now)
	key := w.add("k", "EdDSA")
	w.accepts(sign(t, "EdDSA", "k", key, claims(jwt.MapClaims{"aud": nil, "sub": nil, "user": map[string]any{"name": "alice"}})))
}

func TestHeaders(t *testing.T) {
	for _, field := range []string{"", "X-Goog-Iap-Jwt-Assertion"} {
		more := ""
		if field != "" {
			more = `"header": "` + field + `"`
		}
		w := newWorld(t, more)
		token := sign(t, "EdDSA", "k", w.add("k", "EdDSA"), claims(nil))
		name := w.config.Header
		ask := func(h sdk.Header) error {
			_, err := w.Authenticate(t.Context(), sdk.AuthRequest{Method: "GET", URL: "/", Header: h})
			return err
		}
		for _, good := range []string{"Bearer " + token, "bearer " + token, "BEARER  " + token + " ", token} {
			for _, n := range []string{name, strings.ToLower(name)} {
				if err := ask(sdk.Header{n: {good}}); err != nil {
					t.Errorf("%s: %.20s…: %v", n, good, err)
				}
			}
		}
		for _, bad := range []sdk.Header{
			{},
			{name: {}},
			{name: {""}},
			{name: {"Basic " + token}},
			{name: {"Bearer"}},
			{name: {"Bearer "}},
			{name: {"Bearer x " + token}},
			{name: {"Bearer " + token, "Bearer " + token}},
			{name: {"Bearer " + token, "Basic eDp5"}},
			{name: {"Bearer " + token + ", Bearer " + token}},
			{"X-Other": {"Bearer " + token}},
			{"Cookie": {"Authorization=Bearer " + token}},
			{"Proxy-Authorization": {"Bearer " + token}},
			{name: {"Bearer " + token}, strings.ToLower(name): {"Bearer " + token}, strings.ToUpper(name): {"x"}},
		} {
			err := ask(bad)
			if _, ok := sdk.IsUnauthenticated(err); !ok && len(bad) < 3 {
				t.Errorf("%.60v: %v", bad, err)
			}
		}
	}
}

func TestRules(t *testing.T) {
	w := newWorld(t, `"rules": [
		{"paths": ["/-/*"], "claim": "groups", "contains": "admins"},
		{"paths": ["/-/*", "/api/v1/admin/*"], "allow": false},
		{"claim": "groups", "contains": ["admins", "ops"]},
		{"claim": "scope", "contains": "metrics", "methods": ["GET"], "paths": ["/metrics"]},
		{"claim": "realm.roles", "contains": "viewer", "methods": ["GET", "POST"], "paths": ["/api/v1/query*", "/api/v1/labels"]},
		{"claim": "level", "equals": 7}
	]`)
	key := w.add("k", "EdDSA")
	roles := func(list ...string) jwt.MapClaims { return jwt.MapClaims{"realm": map[string]any{"roles": list}} }
	check := func(c jwt.MapClaims, method, uri string, want bool) {
		t.Helper()
		token := sign(t, "EdDSA", "k", key, claims(c))
		for range 2 { // checked, and from memory
			_, err := w.request(method, uri, token)
			if want && err != nil || !want && !sdk.IsForbidden(err) {
				t.Errorf("%v %s %s: %v", c, method, uri, err)
			}
		}
	}
	admin, ops := jwt.MapClaims{"groups": []string{"users", "admins"}}, jwt.MapClaims{"groups": []string{"ops"}}
	check(admin, "POST", "/-/reload", true)
	check(admin, "GET", "/graph", true)
	check(admin, "POST", "/api/v1/admin/tsdb/snapshot", false) // The second rule is about everybody.
	check(ops, "POST", "/-/reload", false)
	check(ops, "POST", "/%2d/reload", false)
	check(ops, "POST", "/-%2freload", false)
	check(ops, "GET", "/api/v1/series?x=/-/", true)
	check(nil, "GET", "/api/v1/query", false)
	check(jwt.MapClaims{"groups": "admins"}, "POST", "/-/reload", true)
	check(jwt.MapClaims{"groups": "no admins"}, "POST", "/-/reload", false)
	check(jwt.MapClaims{"groups": map[string]any{"admins": true}}, "POST", "/-/reload", false)
	check(jwt.MapClaims{"groups": []any{[]string{"admins"}}}, "POST", "/-/reload", false)
	check(jwt.MapClaims{"scope": "openid metrics"}, "GET", "/metrics", true)
	check(jwt.MapClaims{"scope": "openid metrics"}, "HEAD", "/metrics", true)
	check(jwt.MapClaims{"scope": "openid metrics"}, "POST", "/metrics", false)
	check(jwt.MapClaims{"scope": "openid metrics"}, "GET", "/metrics/", false)
	check(jwt.MapClaims{"scope": "openid"}, "GET", "/metrics", false)
	check(roles("viewer"), "POST", "/api/v1/query_range", true)
	check(roles("viewer"), "DELETE", "/api/v1/query", false)
	check(roles("viewer"), "GET", "/api/v1/labels?x", true)
	check(roles("viewer"), "GET", "/api/v1/series?/api/v1/labels", false)
	check(roles("Viewer"), "GET", "/api/v1/labels", false)
	check(jwt.MapClaims{"level": 7}, "GET", "/x", true)
	check(jwt.MapClaims{"level": "7"}, "GET", "/x", true)
	check(jwt.MapClaims{"level": 70}, "GET", "/x", false)
	if _, err := w.request("GET", "/%zz", sign(t, "EdDSA", "k", key, claims(admin))); err == nil || sdk.IsForbidden(err) {
		t.Errorf("a path that cannot be read: %v", err)
	}
}

// TestMemory checks that a token that was good is not good for ever.
func TestMemory(t *testing.T) {
	w := newWorld(t, "")
	key := w.add("k", "EdDSA")
	token := sign(t, "EdDSA", "k", key, claims(jwt.MapClaims{"nbf": start.Unix()}))
	w.accepts(token)
	w.clock.add(-31 * time.Second)
	w.refuses(token, "not valid yet")
	w.clock.add(31*time.Second + time.Hour + 29*time.Second)
	w.accepts(token)
	w.clock.add(time.Second)
	w.refuses(token, "expired")
	w.refuses(token, "expired")
}

func TestMemoryIsBounded(t *testing.T) {
	m := memory{}
	for i := range 5 * memoryTokens {
		m.put(0, "kept", verdict{user: "kept"})
		m.put(0, strings.Repeat("x", i), verdict{})
		if _, ok := m.get("kept"); !ok {
			t.Fatal("what is in use is forgotten")
		}
		if len(m.young) > memoryTokens || len(m.aged) > memoryTokens || m.bytes > memoryBytes {
			t.Fatalf("%d and %d tokens, %d bytes", len(m.young), len(m.aged), m.bytes)
		}
	}
	m.clear(1)
	m.put(0, "late", verdict{})
	if _, ok := m.get("late"); ok {
		t.Error("what rests on keys that have been replaced is remembered")
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, "")
	key := w.add("k", "EdDSA")
	known := sign(t, "EdDSA", "k", key, claims(nil))
	w.accepts(known)
	w.checking <- struct{}{} // as if a signature took for ever
	var waiting sync.WaitGroup
	busy := make(chan error, 3*maxWaiting)
	for range 3 * maxWaiting {
		token := sign(t, "EdDSA", "k", newKey(t, "EdDSA"), claims(nil))
		waiting.Go(func() {
			_, err := w.send(token)
			busy <- err
		})
	}
	for range 2 * maxWaiting {
		if err := <-busy; err == nil || !strings.Contains(err.Error(), "too many new tokens at once") {
			t.Errorf("%v", err)
		}
	}
	w.accepts(known) // does not wait
	<-w.checking
	waiting.Wait()
}

func TestConformance(t *testing.T) {
	i := newIssuer(t)
	key := i.add("k", "EdDSA")
	with := func(audience string) sdk.AuthRequest {
		token := sign(t, "EdDSA", "k", key, jwt.MapClaims{"iss": "i", "aud": audience, "sub": "s", "exp": time.Now().Add(time.Hour).Unix()})
		return sdk.AuthRequest{Method: "GET", URL: "/", Header: sdk.Header{"Authorization": {"Bearer " + token}}, RemoteAddr: "192.0.2.1:1"}
	}
	sdktest.Run(t, sdktest.Case{
		Open:     sdktest.InProcess(Plugin(), sdktest.NewHost(t).SDK()),
		Kind:     sdk.KindAuthInbound,
		Good:     sdk.Config(`{"jwks_url": "` + i.url + `", "issuer": "i", "audience": "a"}`),
		Bad:      []sdk.Config{sdk.Config(`{}`), sdk.Config(`{"jwks_uri": "http://a"}`)},
		Requests: []sdk.AuthRequest{with("a")},
		Refused:  []sdk.AuthRequest{with("b"), {Method: "GET", URL: "/", RemoteAddr: "192.0.2.1:1"}},
	})
}

func TestKeysFromAFile(t *testing.T) {
	key := newKey(t, "ES256")
	text, err := json.Marshal(map[string]any{"keys": []any{public("k", key.Public())}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(sdk.Config(`{"jwks_file": "` + file + `", "issuer": "https://issuer", "audience": ["narthex"]}`))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, clock: &clock{at: start}}
	w.Authenticator = New(c, sdktest.NewHost(t).SDK(), w.clock.now)
	w.accepts(sign(t, "ES256", "k", key, claims(nil)))
	if !slices.Equal(c.Audience, []string{"narthex"}) || c.RefreshInterval != time.Minute {
		t.Errorf("%+v", c)
	}
}
