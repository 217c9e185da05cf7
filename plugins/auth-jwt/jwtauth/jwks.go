package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// The sizes of RSA keys, in bits, that are used: smaller ones can be forged, greater ones take seconds.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// publicKey is one key of an issuer.
type publicKey struct {
	id string
	// algorithms are those that the key verifies.
	algorithms []string
	key        any // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// jwk is a key as RFC 7517 has it, as far as it matters for verifying.
type jwk struct {
	Type      string   `json:"kty"`
	ID        string   `json:"kid"`
	Use       string   `json:"use"`
	Uses      []string `json:"key_ops"`
	Algorithm string   `json:"alg"`
	Curve     string   `json:"crv"`
	N         string   `json:"n"`
	E         string   `json:"e"`
	X         string   `json:"x"`
	Y         string   `json:"y"`
}

// parseKeys reads a set of keys. Those that verify nothing here, such as shared secrets and keys for encryption, are left
// out; skipped says why, for each. A set without a single key to use is an error.
func parseKeys(text []byte) (keys []publicKey, skipped []error, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, nil, fmt.Errorf("it is no set of keys in JSON: %w", err)
	}
	for i, member := range set.Keys {
		key, err := parseKey(member)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d (%q): %w", i, key.id, err))
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, nil, errors.Join(append([]error{errors.New("it holds no key that verifies signatures")}, skipped...)...)
	}
	return keys, skipped, nil
}

func parseKey(text []byte) (publicKey, error) {
	var j jwk
	if err := json.Unmarshal(text, &j); err != nil {
		return publicKey{}, err
	}
	out := publicKey{id: j.ID}
	if j.Use != "" && j.Use != "sig" || len(j.Uses) > 0 && !slices.Contains(j.Uses, "verify") {
		return out, errors.New("it is not for signatures")
	}
	var err error
	switch {
	case j.Type == "RSA":
		out.algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		out.key, err = j.rsa()
	case j.Type == "EC" && j.Curve == "P-256":
		out.algorithms = []string{"ES256"}
		out.key, err = j.ecdsa(elliptic.P256())
	case j.Type == "EC" && j.Curve == "P-384":
		out.algorithms = []string{"ES384"}
		out.key, err = j.ecdsa(elliptic.P384())
	case j.Type == "OKP" && j.Curve == "Ed25519":
		out.algorithms = []string{"EdDSA"}
		out.key, err = j.ed25519()
		j.Algorithm = strings.Replace(j.Algorithm, "Ed25519", "EdDSA", 1) // The algorithm has both names.
	default:
		return out, fmt.Errorf("nothing here verifies with the type %q %s", j.Type, j.Curve)
	}
	if err != nil || j.Algorithm == "" {
		return out, err
	}
	if !slices.Contains(out.algorithms, j.Algorithm) {
		return out, fmt.Errorf("it is for the algorithm %q, which does not go with its type", j.Algorithm)
	}
	out.algorithms = []string{j.Algorithm}
	return out, nil
}

func (j *jwk) rsa() (*rsa.PublicKey, error) {
	n, err := number("n", j.N)
	if err != nil {
		return nil, err
	}
	e, err := number("e", j.E)
	if err != nil {
		return nil, err
	}
	if bits := n.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("it has %d bits; from %d to %d are used", bits, minRSABits, maxRSABits)
	}
	if e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 {
		return nil, errors.New("e is no exponent for a key")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (j *jwk) ecdsa(curve elliptic.Curve) (*ecdsa.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed
	for _, c := range []struct{ name, text string }{{"x", j.X}, {"y", j.Y}} {
		b, err := base64.RawURLEncoding.DecodeString(c.text)
		if err != nil || len(b) != size {
			return nil, fmt.Errorf("%s is no coordinate of %d bytes", c.name, size)
		}
		point = append(point, b...)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, point) // which makes sure that it is on the curve
}

func (j *jwk) ed25519() (ed25519.PublicKey, error) {
	b, err := base64.RawURLEncoding.DecodeString(j.X)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("x is no key of %d bytes", ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(b), nil
}

// number reads a positive integer.
func number(name, text string) (*big.Int, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "=")) // Some issuers pad.
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%s is no number", name)
	}
	return new(big.Int).SetBytes(b), nil
}
