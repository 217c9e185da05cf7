package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/internal/redact"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/internal/suggest"
	"github.com/narthex-io/narthex/sdk"
)

// KeySuffix ends the keys of sections that discovery plugins claim.
const KeySuffix = "_sd_configs"

// Config is one entry of a *_sd_configs list, for the plugin that claims the key.
type Config struct {
	// Key is the key of the list, such as file_sd_configs.
	Key string
	// Index is the entry's place in the list, counted from 0, and Line its line in the file, from 1.
	Index, Line int
	// JSON is the entry as the operator wrote it, secrets included.
	JSON json.RawMessage
}

// Name tells the entries of a job apart: file_sd_configs[0].
func (c Config) Name() string { return strictyaml.Index(c.Key, c.Index) }

// StaticConfig is one entry of static_configs.
type StaticConfig struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels,omitempty"`
}

// Configs says where targets come from: the part about discovery of a config section. The section that it belongs to
// calls [Configs.Take] before it decodes the rest, and [Configs.AppendTo] after it encoded the rest.
type Configs struct {
	Static []StaticConfig
	// Plugins are the entries for plugins in the order of the file.
	Plugins []Config
	// Empty are the keys whose lists have no entries, but for those that Prometheus knows, which say nothing then.
	Empty []string
	// shown are the entries for plugins by key, without secrets, for display.
	shown map[string][]any
}

// AppendTo adds the part to a section's mapping, for display.
func (c *Configs) AppendTo(section *yaml.Node) error {
	add := func(key string, list any) error {
		var value yaml.Node
		if err := value.Encode(list); err != nil {
			return err
		}
		section.Content = append(section.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, &value)
		return nil
	}
	if len(c.Static) > 0 {
		if err := add("static_configs", c.Static); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.shown)) {
		if err := add(key, c.shown[key]); err != nil {
			return err
		}
	}
	return nil
}

// Take moves the keys about discovery from a mapping into c and returns the mapping without them; the given node stays
// as it is. Errors carry lines, and paths below node.
func (c *Configs) Take(node *yaml.Node) (rest *yaml.Node, err error) {
	node = strictyaml.Resolve(node)
	if node.Kind != yaml.MappingNode {
		return node, nil
	}
	*c = Configs{}
	out := *node
	out.Content = nil
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := key.Value
		if strings.HasSuffix(name+"s", KeySuffix) {
			return nil, &strictyaml.Error{Line: key.Line, Path: name, Err: fmt.Errorf("unknown field; did you mean %ss?", name)}
		}
		if name != "static_configs" && !strings.HasSuffix(name, KeySuffix) {
			if key := meant(name); key != "" {
				return nil, &strictyaml.Error{Line: node.Content[i].Line, Path: name, Err: fmt.Errorf("unknown field; did you mean %s?", key)}
			}
			out.Content = append(out.Content, key, value)
			continue
		}
		if seen[name] {
			return nil, &strictyaml.Error{Line: key.Line, Path: name, Err: errors.New("given twice")}
		}
		seen[name] = true
		if err := c.take(name, value); err != nil {
			return nil, strictyaml.At(name, err)
		}
		if name != "static_configs" && !knownToPrometheus(name) && len(strictyaml.Resolve(value).Content) == 0 {
			c.Empty = append(c.Empty, name)
		}
	}
	return &out, nil
}

// knownToPrometheus reports whether a key is one of a discovery that Prometheus has.
func knownToPrometheus(key string) bool { return slices.Contains(keysOfPrometheus(), key) }

// keysOfPrometheus returns the keys of Prometheus's discoveries.
func keysOfPrometheus() []string {
	keys := []string{
		"aws", "azure", "consul", "digitalocean", "dns", "docker", "dockerswarm", "ec2", "ecs", "elasticache", "eureka", "file", "gce",
		"hetzner", "http", "ionos", "kubernetes", "kuma", "lightsail", "linode", "marathon", "msk", "nerve", "nomad", "oci", "openstack",
		"outscale", "ovhcloud", "puppetdb", "rds", "scaleway", "serverset", "stackit", "triton", "uyuni", "vultr",
	}
	for i := range keys {
		keys[i] += KeySuffix
	}
	return keys
}

// meant returns the key that a field was probably to be, which is none of a discovery.
func meant(field string) string {
	return suggest.Within(2, field, append(keysOfPrometheus(), "static_configs"))
}

func (c *Configs) take(key string, value *yaml.Node) error {
	value = strictyaml.Resolve(value)
	if value.Tag == "!!null" {
		return nil
	}
	if value.Kind != yaml.SequenceNode {
		return &strictyaml.Error{Line: value.Line, Err: errors.New("a list is needed here")}
	}
	for i, item := range value.Content {
		if item.Tag == "!!null" {
			return &strictyaml.Error{Line: item.Line, Path: strictyaml.Index("", i), Err: errors.New("empty or null entry")}
		}
	}
	if key == "static_configs" {
		return c.takeStatic(value)
	}
	for i, item := range value.Content {
		text, err := strictyaml.JSON(item)
		if err != nil {
			return strictyaml.At(strictyaml.Index("", i), err)
		}
		c.Plugins = append(c.Plugins, Config{Key: key, Index: i, Line: item.Line, JSON: text})
		var shown any
		if err := json.Unmarshal(text, &shown); err != nil {
			return strictyaml.At(strictyaml.Index("", i), err)
		}
		if c.shown == nil {
			c.shown = map[string][]any{}
		}
		c.shown[key] = append(c.shown[key], redact.Secrets(shown))
	}
	return nil
}

func (c *Configs) takeStatic(value *yaml.Node) error {
	for i, item := range value.Content {
		var s StaticConfig
		if err := strictyaml.Decode(item, &s); err != nil {
			return strictyaml.At(strictyaml.Index("", i), err)
		}
		for name, text := range s.Labels {
			if name == "" || !utf8.ValidString(name) || !utf8.ValidString(text) {
				return &strictyaml.Error{Line: item.Line, Path: strictyaml.Index("", i) + ".labels", Err: fmt.Errorf("%q: %q is not a valid label", name, text)}
			}
		}
		c.Static = append(c.Static, s)
	}
	return nil
}

// CheckStatic rejects URLs where hosts are needed in static_configs; rest names the fields that the rest of a URL belongs
// into. The paths of the errors start below static_configs.
func (c *Configs) CheckStatic(rest string) error {
	var errs []error
	for i, s := range c.Static {
		for j, target := range s.Targets {
			path := strictyaml.Index(strictyaml.Join(strictyaml.Index("", i), "targets"), j)
			switch {
			case target == "":
				errs = append(errs, strictyaml.At(path, errors.New("the address is empty")))
			case strings.Contains(target, "/"):
				errs = append(errs, strictyaml.At(path, fmt.Errorf("%q is not a valid hostname: write host:port, and the rest into %s", target, rest)))
			}
		}
	}
	return errors.Join(errs...)
}

// Groups returns the static targets as groups, each with a source of its own.
func (c *Configs) Groups() []sdk.Group {
	groups := make([]sdk.Group, 0, len(c.Static))
	for i, s := range c.Static {
		groups = append(groups, sdk.Group{Source: fmt.Sprint(i), Targets: s.Targets, Labels: s.Labels})
	}
	return groups
}
