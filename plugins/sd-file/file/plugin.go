// Package file discovers targets in files, as Prometheus's file_sd_configs does.
//
// Start with [Plugin], [Config] and, for what a file may hold, [Parse]. Files are read and watched through the host, which
// grants exactly the paths in the config; how the host watches them is its business.
package file

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

// defaultRefresh is how often files are read when no change was seen.
const defaultRefresh = 5 * time.Minute

// Plugin returns the plugin for guest.Main.
func Plugin() sdk.Plugin {
	return sdk.Plugin{
		Manifest: sdk.Manifest{
			Name:    "sd-file",
			Version: "0.1.0",
			Kinds:   []sdk.Kind{sdk.KindDiscovery},
			Keys:    []string{"file_sd_configs"},
			Asks:    sdk.Asks{Files: []string{"files[*]"}},
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

// Config is one entry of file_sd_configs.
type Config struct {
	// Files are paths, where the last element may be a pattern.
	Files []string
	// RefreshInterval is how often files are read when no change was seen.
	RefreshInterval time.Duration
}

// pathPattern allows an asterisk only in the last element of a path.
var pathPattern = regexp.MustCompile(`^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`)

// ParseConfig decodes an entry strictly. Errors name the field.
func ParseConfig(text sdk.Config) (Config, error) {
	var raw struct {
		Files           []string `json:"files"`
		RefreshInterval *string  `json:"refresh_interval"`
	}
	if err := section.Decode(text, &raw); err != nil {
		return Config{}, err
	}
	c := Config{Files: raw.Files}
	if len(c.Files) == 0 {
		return Config{}, errors.New("files: at least one path is needed")
	}
	for i, f := range c.Files {
		if !pathPattern.MatchString(f) {
			return Config{}, fmt.Errorf("files[%d]: %q does not end in .json, .yml or .yaml, or has an asterisk before its last element", i, f)
		}
	}
	var err error
	c.RefreshInterval, err = section.Interval("refresh_interval", raw.RefreshInterval, defaultRefresh)
	return c, err
}
