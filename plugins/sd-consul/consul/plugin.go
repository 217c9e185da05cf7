// Package consul discovers the instances of services in Consul, as Prometheus's consul_sd_configs does.
//
// Start with [Plugin], [Config] and [Discovery]. It speaks to two endpoints of Consul's HTTP API, the list of services and
// the health of a service, through the host, which adds the token and other credentials; the plugin does not see them.
package consul

import (
	"errors"
	"fmt"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// Defaults of the config.
const (
	defaultServer       = "localhost:8500"
	defaultScheme       = "http"
	defaultTagSeparator = ","
	defaultRefresh      = 30 * time.Second
)

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "sd-consul",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindDiscovery},
			Keys:    []string{"consul_sd_configs"},
			Asks: sdk.Asks{
				HTTP:      []string{"server"},
				Defaults:  map[string]string{"server": defaultServer},
				Headers:   map[string]string{"token": "X-Consul-Token"},
				BasicAuth: sdk.BasicAuth{Username: "username", Password: "password"},
			},
		},
		NewDiscovery: func(c sdk.Config, h sdk.Host) (sdk.Discovery, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			return New(config, h), nil
		},
	}
}

// Config is one entry of consul_sd_configs. What the zero value of a field means stands in Consul's API; credentials are
// the host's.
type Config struct {
	Server       string            `json:"server"` // host:port
	PathPrefix   string            `json:"path_prefix"`
	Scheme       string            `json:"scheme"`
	Datacenter   string            `json:"datacenter"` // empty: the agent's own
	Namespace    string            `json:"namespace"`
	Partition    string            `json:"partition"`
	TagSeparator string            `json:"tag_separator"`
	AllowStale   bool              `json:"allow_stale"`
	Services     []string          `json:"services"` // empty: all
	ServiceTags  []string          `json:"tags"`
	NodeMeta     map[string]string `json:"node_meta"`
	Filter       string            `json:"filter"`        // of the list of services
	HealthFilter string            `json:"health_filter"` // of a service's instances
	// RefreshInterval is the shortest time between two answers to one question.
	RefreshInterval time.Duration `json:"-"`
}

// ParseConfig decodes an entry strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	raw := struct {
		Config
		RefreshInterval *string `json:"refresh_interval"`
	}{Config: Config{Server: defaultServer, Scheme: defaultScheme, TagSeparator: defaultTagSeparator, AllowStale: true}}
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	c := raw.Config
	if c.Server == "" {
		return c, errors.New("server: missing; it is the host and port of a Consul agent, such as localhost:8500")
	}
	if c.Scheme != "http" && c.Scheme != "https" {
		return c, fmt.Errorf("scheme: %q is neither http nor https", c.Scheme)
	}
	var err error
	c.RefreshInterval, err = section.Interval("refresh_interval", raw.RefreshInterval, defaultRefresh)
	return c, err
}
