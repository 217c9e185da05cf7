package jwtauth

import (
	"crypto"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRotation(t *testing.T) {
	w := newWorld(t, "")
	old := w.add("old", "EdDSA")
	of := func(id string, k crypto.Signer) string { return sign(t, "EdDSA", id, k, claims(nil)) }
	w.accepts(of("old", old))
	next := newKey(t, "EdDSA")
	w.refuses(of("new", next), "no such key") // not asked for, since that was just done
	w.clock.add(keysPause)
	w.set(func() { w.issuer.keys["new"] = next })
	w.accepts(of("new", next))
	w.accepts(of("old", old))
	if n := w.count(); n != 2 {
		t.Errorf("the keys were asked for %d times", n)
	}
	// The old key is withdrawn: what was signed with it is good until the keys are read again.
	w.set(func() { delete(w.issuer.keys, "old") })
	w.accepts(of("old", old))
	w.clock.add(defaultURLRefresh)
	w.accepts(of("old", old))
	w.settle()
	w.clock.add(time.Second)
	w.refuses(of("old", old), "no such key")
	w.accepts(of("new", next))
}

func TestKeyWithTheSameNameIsReplaced(t *testing.T) {
	w := newWorld(t, "")
	token := sign(t, "EdDSA", "k", w.add("k", "EdDSA"), claims(nil))
	w.accepts(token)
	w.add("k", "EdDSA")
	w.clock.add(defaultURLRefresh)
	w.accepts(token)
	w.settle()
	w.refuses(token, "the signature")
}

func TestStrangeKeyNamesDoNotFloodTheIssuer(t *testing.T) {
	w := newWorld(t, "")
	key := w.add("k", "EdDSA")
	w.accepts(sign(t, "EdDSA", "k", key, claims(nil)))
	for i := range 200 {
		w.refuses(sign(t, "EdDSA", fmt.Sprint(i), key, claims(nil)), "no such key")
		w.clock.add(100 * time.Millisecond)
	}
	if n := w.count(); n > 5 {
		t.Errorf("in 20 s the keys were asked for %d times", n)
	}
}

func TestIssuerIsDown(t *testing.T) {
	w := newWorld(t, "")
	key := w.add("k", "EdDSA")
	token := sign(t, "EdDSA", "k", key, claims(nil))
	w.set(func() { w.issuer.down = true })
	w.fails(token, "the issuer's keys cannot be read: "+w.url+"/keys answers with status 503")
	w.set(func() { w.issuer.down = false })
	w.fails(token, "status 503") // not asked again so soon
	w.clock.add(keysPause)
	w.accepts(token)

	w.set(func() { w.issuer.down = true })
	for range 5 { // The keys stay.
		w.clock.add(defaultURLRefresh / 2)
		fresh := sign(t, "EdDSA", "k", key, claims(map[string]any{"exp": w.clock.now().Add(time.Hour).Unix()}))
		w.accepts(fresh)
		w.settle()
		w.accepts(fresh)
	}
	w.fails(sign(t, "EdDSA", "other", key, claims(map[string]any{"exp": w.clock.now().Add(time.Hour).Unix()})), "cannot be read")
	if said := w.log.String(); strings.Count(said, "keys not read; those that are known stay in use") != 2 || strings.Count(said, "keys can be read again") != 1 {
		t.Errorf("log: %s", said)
	}
}

func TestOneReadingForAllWhoWait(t *testing.T) {
	w := newWorld(t, "")
	token := sign(t, "EdDSA", "k", w.add("k", "EdDSA"), claims(nil))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { w.accepts(token) })
	}
	all.Wait()
	if n := w.count(); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
}

func TestTokensWithoutAKeyName(t *testing.T) {
	w := newWorld(t, "")
	key := w.add("a", "EdDSA")
	w.add("b", "EdDSA")
	w.add("c", "ES256")
	w.accepts(sign(t, "EdDSA", "", key, claims(nil)))
	w.refuses(sign(t, "EdDSA", "", newKey(t, "EdDSA"), claims(nil)), "the signature")
	for i := range 20 {
		w.add(fmt.Sprint(i), "ES256")
	}
	w.clock.add(defaultURLRefresh)
	w.refuses(sign(t, "ES384", "", newKey(t, "ES384"), claims(nil)), "no such key")
	if f := w.ring.look("", "ES256"); len(f.keys) != maxTried {
		t.Errorf("%d keys are tried", len(f.keys))
	}
}

// TestSets checks what an issuer may publish.
func TestSets(t *testing.T) {
	p256, p384, ed, rsa := newKey(t, "ES256").Public(), newKey(t, "ES384").Public(), newKey(t, "EdDSA").Public(), newKey(t, "RSA").Public()
	with := func(key crypto.PublicKey, field string, value any) map[string]any {
		k := public("k", key)
		k[field] = value
		return k
	}
	check := func(k map[string]any, want string) {
		t.Helper()
		text, err := json.Marshal(map[string]any{"keys": []any{k, public("good", ed)}})
		if err != nil {
			t.Fatal(err)
		}
		keys, skipped, err := parseKeys(text)
		switch {
		case err != nil:
			t.Error(err)
		case want == "" && len(keys) != 2:
			t.Errorf("%v is skipped: %v", k, skipped)
		case want != "" && (len(keys) != 1 || len(skipped) != 1 || !strings.Contains(skipped[0].Error(), want)):
			t.Errorf("%v: %d keys, %v, want it skipped: %s", k, len(keys), skipped, want)
		}
	}
	for _, k := range []crypto.PublicKey{p256, p384, ed, rsa} {
		check(public("k", k), "")
		check(with(k, "use", "sig"), "")
		check(with(k, "x5t", "abc"), "")
		check(with(k, "key_ops", []string{"verify"}), "")
		check(with(k, "use", "enc"), "not for signatures")
		check(with(k, "key_ops", []string{"encrypt"}), "not for signatures")
		check(with(k, "alg", "HS256"), "does not go with its type")
		check(with(k, "alg", "none"), "does not go with its type")
		check(with(k, "kty", "oct"), "nothing here verifies")
		check(with(k, "kid", 7), "cannot unmarshal")
	}
	check(map[string]any{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}, "nothing here verifies")
	check(with(ed, "alg", "Ed25519"), "")
	check(with(ed, "crv", "X25519"), "nothing here verifies")
	check(with(ed, "x", "AAAA"), "x is no key of 32 bytes")
	check(with(p256, "alg", "ES384"), "does not go with its type")
	check(with(p256, "crv", "P-384"), "x is no coordinate of 48 bytes")
	check(with(p256, "crv", "secp256k1"), "nothing here verifies")
	check(with(p256, "y", public("", p256)["x"]), "not on curve")
	check(with(p256, "y", "!"), "y is no coordinate")
	check(with(rsa, "e", "Ag"), "no exponent")
	check(with(rsa, "e", "AQ"), "no exponent")
	check(with(rsa, "e", "AQAAAAAB"), "no exponent")
	check(with(rsa, "e", ""), "e is no number")
	check(with(rsa, "n", "AQAB"), "it has 17 bits")
	check(with(rsa, "n", strings.Repeat("q", 4000)), "bits; from 2048 to 8192 are used")

	for _, text := range []string{``, `{}`, `[]`, `{"keys": []}`, `{"keys": [7]}`, `<html>`, `{"keys": [{"kty": "oct"}]}`} {
		if _, _, err := parseKeys([]byte(text)); err == nil {
			t.Errorf("%s is a set of keys", text)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "EC", "crv": "P-256", "x": "", "y": ""}]}`))
	f.Add([]byte(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "k"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, _, err := parseKeys(text)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if k.key == nil || len(k.algorithms) == 0 {
				t.Errorf("a key that cannot be used: %+v", k)
			}
		}
	})
}
