// Package http discovers targets at an HTTP endpoint that answers with a list of groups in JSON, as Prometheus's
// http_sd_configs does.
//
// Start with [Plugin], [ParseConfig] and, for what an endpoint may answer, [Parse]. Requests go through the host, which adds
// the credentials and the TLS settings of the entry; the plugin does not see them.
package http

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/poll"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// defaultRefresh is how often the endpoint is asked.
const defaultRefresh = time.Minute

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "sd-http",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindDiscovery},
			Keys:    []string{"http_sd_configs"},
			Asks:    sdk.Asks{HTTP: []string{"url"}},
		},
		NewDiscovery: func(c sdk.Config, h sdk.Host) (sdk.Discovery, error) {
			config, err := ParseConfig(c)
			if err != nil {
				return nil, err
			}
			e := endpoint{config: config, http: h.HTTP}
			return poll.New(poll.Options{Interval: config.RefreshInterval, Log: h.Log.With("url", redacted(config.URL)), Find: e.find}), nil
		},
	}
}

// Config is one entry of http_sd_configs.
type Config struct {
	// URL is the endpoint's.
	URL string
	// RefreshInterval is how often it is asked.
	RefreshInterval time.Duration
}

// ParseConfig decodes an entry strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	var raw struct {
		URL             string  `json:"url"`
		RefreshInterval *string `json:"refresh_interval"`
	}
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	if raw.URL == "" {
		return Config{}, errors.New("url: missing; it is the endpoint that lists the targets")
	}
	u, err := url.Parse(raw.URL)
	switch {
	case err != nil:
		return Config{}, fmt.Errorf("url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return Config{}, fmt.Errorf("url: the scheme is %q, it must be http or https", u.Scheme)
	case u.Host == "":
		return Config{}, fmt.Errorf("url: %q names no host", raw.URL)
	}
	every, err := section.Interval("refresh_interval", raw.RefreshInterval, defaultRefresh)
	return Config{URL: raw.URL, RefreshInterval: every}, err
}

// redacted returns a URL without its password, for the log.
func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}
