package jwtauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// Config is one section jwt_auth.
type Config struct {
	// KeysURL or KeysFile is where the issuer's public keys are; one of them is set.
	KeysURL, KeysFile string
	// Issuer is whose tokens are taken.
	Issuer string
	// Audience are the names of which a token has to be for one. Nil takes tokens for anybody.
	Audience []string
	// Algorithms are those that a token may be signed with.
	Algorithms []string
	// Leeway is by how much the clocks may differ.
	Leeway time.Duration
	// Header is the field of a request that holds the token.
	Header string
	// UserClaim is the claim that names the user.
	UserClaim string
	// Required are the conditions that each token has to fulfil.
	Required []Condition
	// Rules decide who may do what; the first that is about a request counts. Nil lets everybody do everything, and
	// with rules none of which is about a request it is refused.
	Rules []Rule
	// RefreshInterval is how often the keys are read again.
	RefreshInterval time.Duration
}

const (
	defaultLeeway      = 30 * time.Second
	maxLeeway          = 10 * time.Minute
	defaultURLRefresh  = 15 * time.Minute
	defaultFileRefresh = time.Minute
	anyAudience        = "*"
)

// algorithms returns all that a token can be signed with.
func algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"}
}

// rawConfig is the section as it is written.
type rawConfig struct {
	JWKSURL         string      `json:"jwks_url"`
	JWKSFile        string      `json:"jwks_file"`
	Issuer          string      `json:"issuer"`
	Audience        sdk.Config  `json:"audience"`
	Algorithms      []string    `json:"algorithms"`
	Leeway          *string     `json:"leeway"`
	Header          string      `json:"header"`
	UserClaim       string      `json:"user_claim"`
	RequiredClaims  []Condition `json:"required_claims"`
	Rules           []Rule      `json:"rules"`
	RefreshInterval *string     `json:"refresh_interval"`
}

// ParseConfig decodes a section strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	var raw rawConfig
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	c := Config{
		KeysURL: raw.JWKSURL, KeysFile: raw.JWKSFile, Issuer: raw.Issuer, Algorithms: raw.Algorithms,
		Header: raw.Header, UserClaim: raw.UserClaim, Required: raw.RequiredClaims, Rules: raw.Rules,
	}
	if err := c.checkSource(); err != nil {
		return Config{}, err
	}
	if err := c.completeToken(&raw); err != nil {
		return Config{}, err
	}
	if err := c.completeTimes(&raw); err != nil {
		return Config{}, err
	}
	for i := range c.Required {
		if err := c.Required[i].check(); err != nil {
			return Config{}, fmt.Errorf("required_claims[%d]%w", i, err)
		}
	}
	for i := range c.Rules {
		if err := c.Rules[i].check(); err != nil {
			return Config{}, fmt.Errorf("rules[%d]%w", i, err)
		}
	}
	return c, nil
}

func (c *Config) checkSource() error {
	switch {
	case c.KeysURL == "" && c.KeysFile == "":
		return errors.New("jwks_url: missing; it is where the issuer's public keys are (or set jwks_file)")
	case c.KeysURL != "" && c.KeysFile != "":
		return errors.New("jwks_file: there is jwks_url too; remove one of them")
	case c.KeysFile != "":
		return nil
	}
	u, err := url.Parse(c.KeysURL)
	switch {
	case err != nil:
		return fmt.Errorf("jwks_url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("jwks_url: the scheme is %q, it must be http or https", u.Scheme)
	case u.Host == "":
		return fmt.Errorf("jwks_url: %q names no host", c.KeysURL)
	}
	return nil
}

// completeToken checks what is said about a token itself, and fills in defaults.
func (c *Config) completeToken(raw *rawConfig) error {
	if c.Issuer == "" {
		return errors.New(`issuer: missing; it is the claim "iss" of the tokens to take`)
	}
	audience, err := texts(raw.Audience)
	switch {
	case err != nil:
		return fmt.Errorf("audience: %w", err)
	case len(audience) == 0:
		return errors.New(`audience: missing; it is what the claim "aud" says of tokens for this server, or "*" to take those for anybody`)
	case slices.Contains(audience, ""):
		return errors.New("audience: a name is empty")
	case !slices.Contains(audience, anyAudience):
		c.Audience = audience
	case len(audience) > 1:
		return errors.New(`audience: "*" is for anybody, names beside it say nothing`)
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = algorithms()
	}
	for i, a := range c.Algorithms {
		if !slices.Contains(algorithms(), a) {
			return fmt.Errorf("algorithms[%d]: %q is none of %s", i, a, strings.Join(algorithms(), ", "))
		}
	}
	if c.Header == "" {
		c.Header = "Authorization"
	}
	if strings.ContainsFunc(c.Header, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
		return fmt.Errorf("header: %q is no name of a header field", c.Header)
	}
	if c.UserClaim == "" {
		c.UserClaim = "sub"
	}
	return nil
}

func (c *Config) completeTimes(raw *rawConfig) (err error) {
	c.Leeway = defaultLeeway
	if raw.Leeway != nil && isZero(*raw.Leeway) {
		c.Leeway = 0
	} else if c.Leeway, err = section.Interval("leeway", raw.Leeway, defaultLeeway); err != nil {
		return err
	}
	if c.Leeway > maxLeeway {
		return fmt.Errorf("leeway: %s is more than %s: set the clocks right", *raw.Leeway, maxLeeway)
	}
	refresh := defaultURLRefresh
	if c.KeysFile != "" {
		refresh = defaultFileRefresh
	}
	c.RefreshInterval, err = section.Interval("refresh_interval", raw.RefreshInterval, refresh)
	return err
}

// isZero reports whether a duration is written as none: 0, 0s.
func isZero(text string) bool { return text == "0" || text == "0s" || text == "0ms" || text == "0m" }

// texts returns what a value or a list of values says, as claims are compared: true and 7 are texts too.
func texts(value sdk.Config) ([]string, error) {
	if len(value) == 0 {
		return nil, nil
	}
	var decoded any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if err := d.Decode(&decoded); err != nil {
		return nil, err
	}
	list, ok := decoded.([]any)
	if !ok {
		list = []any{decoded}
	}
	out := make([]string, len(list))
	for i, v := range list {
		if out[i], ok = scalar(v); !ok {
			return nil, errors.New("it must be a text or a list of texts")
		}
	}
	return out, nil
}

// scalar returns a value of JSON that is no list, no mapping and not null as text.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
