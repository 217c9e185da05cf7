package scrape

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
)

// authRefLabel is the label in which a target names a credential of its job. Discovery or relabelling sets it; like all
// labels with two underscores it ends with relabelling, and the credential itself is never a label.
const authRefLabel = "__auth_ref__"

// Credential is how those targets of a job are talked to that name it: an HTTP client's section of its own.
type Credential struct {
	HTTPClient httpclient.Config `yaml:",inline"`
}

// UnmarshalYAML decodes the section strictly, with the defaults of a client.
func (c *Credential) UnmarshalYAML(node *yaml.Node) error {
	type plain Credential
	c.HTTPClient = httpclient.DefaultConfig()
	rest, err := c.HTTPClient.Take(node)
	if err != nil {
		return err
	}
	return strictyaml.Decode(rest, (*plain)(c))
}

// MarshalYAML shows the section without secrets.
func (c *Credential) MarshalYAML() (any, error) {
	type plain Credential
	var node yaml.Node
	if err := node.Encode((*plain)(c)); err != nil {
		return nil, err
	}
	return &node, c.HTTPClient.AppendTo(&node)
}

func (c *Credential) check() error {
	if c == nil {
		return errors.New("empty or null credential")
	}
	return httpclient.Check(&c.HTTPClient)
}

// credentialOf returns the section with which a target is talked to.
func (c *Config) credentialOf(ref string) (*httpclient.Config, error) {
	if ref == "" {
		return &c.HTTPClient, nil
	}
	if credential := c.Credentials[ref]; credential != nil {
		return &credential.HTTPClient, nil
	}
	if len(c.Credentials) == 0 {
		return nil, fmt.Errorf("the target names the credential %q in %s, but the job has no credentials", ref, authRefLabel)
	}
	return nil, fmt.Errorf("the target names the credential %q in %s, which is not among the job's credentials: %s", ref, authRefLabel,
		strings.Join(slices.Sorted(maps.Keys(c.Credentials)), ", "))
}
