package httpclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	httpconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/redact"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/sdk"
)

// Config is how a section's requests are sent: the fields of the HTTP client, and at most one auth plugin's.
type Config struct {
	httpconfig.HTTPClientConfig `yaml:",inline"`

	// Auth, if not nil, is the part for a plugin that signs each request.
	Auth *Auth `yaml:"-"`
}

// Auth is a section for an auth plugin within another section.
type Auth struct {
	// Key is sigv4, or a key such as acme_auth.
	Key string
	// JSON is the section as the operator wrote it, secrets included.
	JSON json.RawMessage
	// Dir is the folder that relative paths in it start from.
	Dir string
}

// Signers finds the running plugins behind sections of auth plugins.
type Signers interface {
	// Signer returns what signs for a section. It is called for each request, so that a plugin can be exchanged at any time,
	// and must be quick and safe for concurrent use.
	Signer(*Auth) (sdk.Signer, error)
}

// DefaultConfig returns the config of a client that is not configured.
func DefaultConfig() Config { return Config{HTTPClientConfig: httpconfig.DefaultHTTPClientConfig} }

// authSuffix ends the keys that auth plugins claim.
const authSuffix = "_auth"

// IsAuthKey reports whether a field of an HTTP client's section is for an auth plugin to claim.
func IsAuthKey(name string) bool {
	return name == "sigv4" || strings.HasSuffix(name, authSuffix) && name != authSuffix && name != "basic_auth"
}

// Take moves the section of an auth plugin from a mapping into c and returns the mapping without it; the given node stays as it
// is. Errors carry lines, and paths below node.
func (c *Config) Take(node *yaml.Node) (rest *yaml.Node, err error) {
	node = strictyaml.Resolve(node)
	if node.Kind != yaml.MappingNode {
		return node, nil
	}
	out := *node
	out.Content = nil
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if !IsAuthKey(key.Value) {
			out.Content = append(out.Content, key, value)
			continue
		}
		value = strictyaml.Resolve(value)
		fail := func(format string, args ...any) error {
			return &strictyaml.Error{Line: key.Line, Path: key.Value, Err: fmt.Errorf(format, args...)}
		}
		switch {
		case value.Tag == "!!null":
			continue
		case value.Kind != yaml.MappingNode:
			return nil, fail("a mapping is needed here")
		case c.Auth != nil && c.Auth.Key == key.Value:
			return nil, fail("given twice")
		case c.Auth != nil:
			return nil, fail("there is %s too, and only one can be sent; remove one of them", c.Auth.Key)
		}
		text, err := strictyaml.JSON(value)
		if err != nil {
			return nil, strictyaml.At(key.Value, err)
		}
		c.Auth = &Auth{Key: key.Value, JSON: text}
	}
	return &out, nil
}

// TakeJSON is [Config.Take] for a section as JSON: it moves the fields of the HTTP client, and the section of an auth plugin, out
// of section and returns them.
func TakeJSON(section map[string]json.RawMessage) map[string]json.RawMessage {
	taken := map[string]json.RawMessage{}
	for name, value := range section {
		if isField(name) || IsAuthKey(name) {
			taken[name] = value
			delete(section, name)
		}
	}
	return taken
}

// AppendTo adds the section of the auth plugin to the mapping of the section around it, without secrets, for display.
func (c *Config) AppendTo(section *yaml.Node) error {
	if c.Auth == nil {
		return nil
	}
	var shown any
	if err := json.Unmarshal(c.Auth.JSON, &shown); err != nil {
		return err
	}
	var value yaml.Node
	if err := value.Encode(redact.Secrets(shown)); err != nil {
		return err
	}
	section.Content = append(section.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: c.Auth.Key}, &value)
	return nil
}

// SetDirectory makes relative paths of files relative to dir.
func (c *Config) SetDirectory(dir string) {
	c.HTTPClientConfig.SetDirectory(dir)
	if c.Auth != nil {
		c.Auth.Dir = dir
	}
}

// checkAuth refuses an auth plugin beside other credentials.
func (c *Config) checkAuth() error {
	if c.Auth == nil {
		return nil
	}
	for _, other := range []struct {
		field string
		given bool
	}{
		{"basic_auth", c.BasicAuth != nil},
		{"authorization", c.Authorization != nil},
		{"oauth2", c.OAuth2 != nil},
		{"bearer_token", c.BearerToken != ""},
		{"bearer_token_file", c.BearerTokenFile != ""},
	} {
		if other.given {
			return strictyaml.At(c.Auth.Key, errors.New("at most one of basic_auth, authorization, oauth2 and "+c.Auth.Key+
				" may be configured; remove "+other.field+" or "+c.Auth.Key))
		}
	}
	return nil
}
