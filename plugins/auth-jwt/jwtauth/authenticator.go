package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"github.com/narthex-io/narthex/sdk"
)

const (
	// maxTokenBytes bounds a token.
	maxTokenBytes = 16 << 10
	// maxUserBytes bounds the name of a user.
	maxUserBytes = 256
	// maxWaiting bounds how many tokens wait for their signature to be checked, one after the other: good ones that are
	// remembered must not have to wait behind a flood of bad ones.
	maxWaiting = 64
)

// Authenticator judges requests by their tokens. It is safe for concurrent use.
type Authenticator struct {
	config    Config
	now       func() time.Time
	parser    *jwt.Parser
	validator *jwt.Validator
	ring      keyring
	memory    memory
	waiting   atomic.Int32
	checking  chan struct{}
}

// New returns an authenticator for a config that [ParseConfig] made. It starts nothing: the keys are read with the first
// request.
func New(c Config, h sdk.Host, now func() time.Time) *Authenticator {
	options := []jwt.ParserOption{
		jwt.WithIssuer(c.Issuer), jwt.WithLeeway(c.Leeway), jwt.WithExpirationRequired(), jwt.WithTimeFunc(now),
		jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
	}
	if c.Audience != nil {
		options = append(options, jwt.WithAudience(c.Audience...))
	}
	a := &Authenticator{
		config: c, now: now, checking: make(chan struct{}, 1),
		parser: jwt.NewParser(options...), validator: jwt.NewValidator(options...),
	}
	a.ring = keyring{every: c.RefreshInterval, now: now, log: h.Log.With("issuer", c.Issuer), changed: a.memory.clear}
	if c.KeysFile != "" {
		a.ring.read = readFile(h.Files, c.KeysFile)
	} else {
		a.ring.read = readURL(h.HTTP, c.KeysURL)
	}
	return a
}

// Authenticate implements sdk.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, r sdk.AuthRequest) (sdk.Identity, error) {
	token, err := tokenOf(r.Header.Values(a.config.Header))
	if err != nil {
		return sdk.Identity{}, err
	}
	v, err := a.judge(ctx, token)
	if err != nil {
		return sdk.Identity{}, err
	}
	escaped, _, _ := strings.Cut(r.URL, "?")
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return sdk.Identity{}, fmt.Errorf("path of the request: %w", err)
	}
	if !allows(a.config.Rules, v.rules, r.Method, path) {
		return sdk.Identity{}, sdk.Forbidden(fmt.Errorf("no rule lets %q do that", v.user))
	}
	return sdk.Identity{User: v.user}, nil
}

// challenge says that a token is wanted.
const challenge = `Bearer realm="narthex"`

// tokenOf returns the token in the values of the header field. Two of them are refused, lest somebody else reads the other.
func tokenOf(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", sdk.Unauthenticated(errors.New("the request has no token"), challenge)
	case len(values) > 1:
		return "", refused("the request has several tokens")
	}
	scheme, token, ok := strings.Cut(strings.TrimSpace(values[0]), " ")
	switch {
	case !ok:
		token = scheme // A field of its own holds the token alone. Authorization: TOKEN is no harm either.
	case !strings.EqualFold(scheme, "Bearer"):
		return "", sdk.Unauthenticated(errors.New("the request has no token: it says who sent it in another way"), challenge)
	}
	if token = strings.TrimSpace(token); len(token) > maxTokenBytes {
		return "", refused(fmt.Sprintf("the token is longer than %d bytes", maxTokenBytes))
	}
	return token, nil
}

// refused is the error for a token that is not good. why goes to who sent it, and must not say more than they know.
func refused(why string) error {
	return sdk.Unauthenticated(errors.New(why), challenge+`, error="invalid_token", error_description="`+why+`"`)
}

// judge returns what is known of a token, or why it is not good.
func (a *Authenticator) judge(ctx context.Context, token string) (verdict, error) {
	v, ok := a.memory.get(token)
	if ok && a.ring.old() {
		a.ring.refresh(ctx) // What is remembered rests on keys that may have been withdrawn.
	}
	if !ok {
		var err error
		if v, err = a.check(ctx, token); err != nil {
			return verdict{}, err
		}
	}
	switch now := a.now(); {
	case !now.Before(v.until):
		a.memory.forget(token)
		return verdict{}, refused("the token has expired")
	case now.Before(v.from):
		return verdict{}, refused("the token is not valid yet")
	}
	return v, nil
}

// check checks a token that is not remembered, and remembers it if it is good.
func (a *Authenticator) check(ctx context.Context, text string) (verdict, error) {
	claims := jwt.MapClaims{}
	token, parts, err := a.parser.ParseUnverified(text, claims)
	if err != nil {
		return verdict{}, refused("the token is malformed")
	}
	algorithm := token.Method.Alg()
	if !slices.Contains(a.config.Algorithms, algorithm) {
		return verdict{}, refused("the token is signed with an algorithm that is not taken")
	}
	if _, ok := token.Header["crit"]; ok {
		return verdict{}, refused("the token has extensions that are not known")
	}
	id, ok := token.Header["kid"].(string)
	if !ok && token.Header["kid"] != nil {
		return verdict{}, refused("the token is malformed")
	}
	found, err := a.ring.find(ctx, id, algorithm)
	if errors.Is(err, errUnknownKey) {
		return verdict{}, refused("the issuer has no such key")
	} else if err != nil {
		return verdict{}, err
	}
	if err := a.verify(ctx, token, parts[0]+"."+parts[1], found.keys); err != nil {
		return verdict{}, err
	}
	v, err := a.conclude(claims)
	if err == nil {
		a.memory.put(found.version, text, v)
	}
	return v, err
}

// verify checks the signature.
func (a *Authenticator) verify(ctx context.Context, token *jwt.Token, signed string, keys []publicKey) error {
	if a.waiting.Add(1) > maxWaiting {
		a.waiting.Add(-1)
		return errors.New("too many new tokens at once; try again")
	}
	defer a.waiting.Add(-1)
	select {
	case a.checking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.checking }()
	for _, k := range keys {
		if token.Method.Verify(signed, token.Signature, k.key) == nil {
			return nil
		}
	}
	return refused("the signature of the token is wrong")
}

// conclude checks the claims of a token whose signature is good.
func (a *Authenticator) conclude(claims jwt.MapClaims) (verdict, error) {
	if err := a.validator.Validate(claims); err != nil {
		return verdict{}, refused(reason(err))
	}
	for _, c := range a.config.Required {
		if !c.holds(claims) {
			return verdict{}, refused("the token lacks a claim that is required")
		}
	}
	user, ok := scalar(lookup(claims, a.config.UserClaim))
	if !ok || user == "" || len(user) > maxUserBytes || strings.ContainsFunc(user, unicode.IsControl) {
		return verdict{}, refused("the token does not say whose it is")
	}
	v := verdict{user: user, until: moved(claims.GetExpirationTime, a.config.Leeway), from: moved(claims.GetNotBefore, -a.config.Leeway)}
	for i := range a.config.Rules {
		if a.config.Rules[i].about(claims) {
			v.rules = append(v.rules, i)
		}
	}
	return v, nil
}

// moved returns a time in a claim that has been validated, moved by the leeway; zero if there is none.
func moved(get func() (*jwt.NumericDate, error), leeway time.Duration) time.Time {
	at, err := get()
	if err != nil || at == nil {
		return time.Time{}
	}
	return at.Add(leeway)
}

// reason says what is wrong with claims, in words of ours: they get into a header field.
func reason(err error) string {
	for _, r := range []struct {
		err  error
		text string
	}{
		{jwt.ErrTokenExpired, "the token has expired"},
		{jwt.ErrTokenNotValidYet, "the token is not valid yet"},
		{jwt.ErrTokenInvalidIssuer, "the token is from another issuer"},
		{jwt.ErrTokenInvalidAudience, "the token is for another audience"},
		{jwt.ErrTokenRequiredClaimMissing, "the token lacks exp, iss or aud"},
	} {
		if errors.Is(err, r.err) {
			return r.text
		}
	}
	return "the token's claims make no sense"
}
