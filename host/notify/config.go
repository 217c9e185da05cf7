package notify

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/notify/receiver"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/relabel"
)

// Config is the section alerting. It is ready for use after [Config.Complete] and immutable from then on.
type Config struct {
	// AlertRelabelConfigs are applied to each alert before anything else is done with it.
	AlertRelabelConfigs []*relabel.Config     `yaml:"alert_relabel_configs,omitempty"`
	Alertmanagers       []*AlertmanagerConfig `yaml:"alertmanagers,omitempty"`
	// Receivers are the entries of all lists for notifier plugins, such as webhook_notify_configs, in the order of the file.
	Receivers []*receiver.Config `yaml:"-"`
}

// UnmarshalYAML decodes the section strictly.
func (c *Config) UnmarshalYAML(node *yaml.Node) error {
	type plain Config
	*c = Config{}
	node = strictyaml.Resolve(node)
	rest := *node
	if node.Kind == yaml.MappingNode {
		rest.Content = nil
		seen := map[string]bool{}
		for i := 0; i < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			switch {
			case strings.HasSuffix(key.Value+"s", receiver.KeySuffix):
				return &strictyaml.Error{Line: key.Line, Path: key.Value, Err: fmt.Errorf("unknown field; did you mean %ss?", key.Value)}
			case !strings.HasSuffix(key.Value, receiver.KeySuffix):
				rest.Content = append(rest.Content, key, value)
				continue
			case seen[key.Value]:
				return &strictyaml.Error{Line: key.Line, Path: key.Value, Err: errors.New("given twice")}
			}
			seen[key.Value] = true
			list, err := receiver.Decode(key.Value, value)
			if err != nil {
				return strictyaml.At(key.Value, err)
			}
			c.Receivers = append(c.Receivers, list...)
		}
	}
	return strictyaml.Decode(&rest, (*plain)(c))
}

// MarshalYAML shows the section without secrets.
func (c Config) MarshalYAML() (any, error) {
	type plain Config
	var node yaml.Node
	if err := node.Encode(plain(c)); err != nil {
		return nil, err
	}
	node.Style &^= yaml.FlowStyle // An empty mapping has it.
	for i := 0; i < len(c.Receivers); {
		key := c.Receivers[i].Key
		var list yaml.Node
		n := i
		for n < len(c.Receivers) && c.Receivers[n].Key == key {
			n++
		}
		if err := list.Encode(c.Receivers[i:n]); err != nil {
			return nil, err
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, &list)
		i = n
	}
	return &node, nil
}

// IsZero reports whether the section says nothing.
func (c Config) IsZero() bool {
	return len(c.AlertRelabelConfigs) == 0 && len(c.Alertmanagers) == 0 && len(c.Receivers) == 0
}

// AlertmanagerConfig is one entry of alertmanagers: Alertmanagers that are found and spoken to in the same way.
type AlertmanagerConfig struct {
	// Discovery says where the Alertmanagers come from.
	Discovery discovery.Configs `yaml:"-"`

	HTTPClient httpclient.Config `yaml:",inline"`
	Scheme     string            `yaml:"scheme,omitempty"`
	PathPrefix string            `yaml:"path_prefix,omitempty"`
	// Timeout bounds one request.
	Timeout    model.Duration `yaml:"timeout,omitempty"`
	APIVersion string         `yaml:"api_version"`

	// RelabelConfigs are applied to what is discovered, AlertRelabelConfigs to the alerts for these Alertmanagers.
	RelabelConfigs      []*relabel.Config `yaml:"relabel_configs,omitempty"`
	AlertRelabelConfigs []*relabel.Config `yaml:"alert_relabel_configs,omitempty"`
}

// apiVersion is the only version of the Alertmanager's API there is.
const apiVersion = "v2"

// UnmarshalYAML decodes an entry strictly.
func (c *AlertmanagerConfig) UnmarshalYAML(node *yaml.Node) error {
	type plain AlertmanagerConfig
	*c = AlertmanagerConfig{
		HTTPClient: httpclient.DefaultConfig(),
		Scheme:     "http",
		Timeout:    model.Duration(10 * time.Second),
		APIVersion: apiVersion,
	}
	rest, err := c.Discovery.Take(node)
	if err != nil {
		return err
	}
	if rest, err = c.HTTPClient.Take(rest); err != nil {
		return err
	}
	return strictyaml.Decode(rest, (*plain)(c))
}

// MarshalYAML shows the entry without secrets.
func (c *AlertmanagerConfig) MarshalYAML() (any, error) {
	type plain AlertmanagerConfig
	var node yaml.Node
	if err := node.Encode((*plain)(c)); err != nil {
		return nil, err
	}
	return &node, errors.Join(c.HTTPClient.AppendTo(&node), c.Discovery.AppendTo(&node))
}

// Complete checks the section and makes relative paths of files relative to dir. With legacyNames, labels must be named
// [a-zA-Z_][a-zA-Z0-9_]*. All problems are returned at once, as errors of package strictyaml with paths below the section.
func (c *Config) Complete(dir string, legacyNames bool) error {
	errs := []error{strictyaml.At("alert_relabel_configs", relabel.ValidateAll(c.AlertRelabelConfigs, legacyNames))}
	for i, am := range c.Alertmanagers {
		at := strictyaml.Index("alertmanagers", i)
		if am == nil {
			errs = append(errs, strictyaml.At(at, errors.New("empty or null Alertmanager section")))
			continue
		}
		am.HTTPClient.SetDirectory(dir)
		errs = append(errs, strictyaml.At(at, am.check(legacyNames)))
	}
	places := map[string]string{}
	for _, r := range c.Receivers {
		at := strictyaml.Index(r.Key, r.Index)
		errs = append(errs, strictyaml.At(at, r.Check(legacyNames)))
		if other := places[r.Name]; other != "" {
			errs = append(errs, strictyaml.At(at, fmt.Errorf("%q is the name of %s too: give each a name of its own", r.Name, other)))
		}
		places[r.Name] = at
	}
	return errors.Join(errs...)
}

func (c *AlertmanagerConfig) check(legacyNames bool) error {
	errs := []error{httpclient.Check(&c.HTTPClient)}
	fail := func(field string, err error) { errs = append(errs, strictyaml.At(field, err)) }
	if s := strings.ToLower(c.Scheme); s != "http" && s != "https" {
		fail("scheme", fmt.Errorf("%q is neither http nor https", c.Scheme))
	}
	if c.Timeout <= 0 {
		fail("timeout", errors.New("the timeout must be above zero"))
	}
	if c.APIVersion != apiVersion {
		fail("api_version", fmt.Errorf("%q is not supported: expected %s, the only version of the Alertmanager's API", c.APIVersion, apiVersion))
	}
	fail("relabel_configs", relabel.ValidateAll(c.RelabelConfigs, legacyNames))
	fail("alert_relabel_configs", relabel.ValidateAll(c.AlertRelabelConfigs, legacyNames))
	if len(c.RelabelConfigs) == 0 { // Relabelling may still repair an address.
		fail("static_configs", c.Discovery.CheckStatic("scheme and path_prefix"))
	}
	return errors.Join(errs...)
}

// same reports whether nothing that concerns sending differs. Where Alertmanagers are found does not concern it.
func (c *AlertmanagerConfig) same(o *AlertmanagerConfig) bool {
	plain := func(c *AlertmanagerConfig) AlertmanagerConfig {
		out := *c
		out.Discovery, out.RelabelConfigs, out.AlertRelabelConfigs = discovery.Configs{}, nil, nil
		return out
	}
	return relabel.EqualAll(c.RelabelConfigs, o.RelabelConfigs) && relabel.EqualAll(c.AlertRelabelConfigs, o.AlertRelabelConfigs) &&
		reflect.DeepEqual(plain(c), plain(o))
}
