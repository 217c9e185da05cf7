// Package file discovers targets in files, as Prometheus's file_sd_configs does.
//
// Start with [Plugin], [Config] and, for what a file may hold, [Parse]. Files are read and watched through the host, which
// grants exactly the paths in the config; how the host watches them is its business.
package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/narthex-io/narthex/sdk"
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
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&raw); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, configError(err)
	}
	c := Config{Files: raw.Files, RefreshInterval: defaultRefresh}
	if len(c.Files) == 0 {
		return Config{}, errors.New("files: at least one path is needed")
	}
	for i, f := range c.Files {
		if !pathPattern.MatchString(f) {
			return Config{}, fmt.Errorf("files[%d]: %q does not end in .json, .yml or .yaml, or has an asterisk before its last element", i, f)
		}
	}
	if raw.RefreshInterval != nil {
		var err error
		if c.RefreshInterval, err = parseDuration(*raw.RefreshInterval); err != nil {
			return Config{}, fmt.Errorf("refresh_interval: %w", err)
		}
		if c.RefreshInterval <= 0 {
			return Config{}, fmt.Errorf("refresh_interval: %s is not longer than 0s", *raw.RefreshInterval)
		}
	}
	return c, nil
}

// configError puts the field in front of what encoding/json says.
func configError(err error) error {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) && wrong.Field != "" {
		return fmt.Errorf("%s: a %s is not what belongs here", wrong.Field, wrong.Value)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("%s: unknown field; there are files and refresh_interval", strings.Trim(field, `"`))
	}
	return fmt.Errorf("config of file_sd_configs: %w", err)
}

var durationPattern = regexp.MustCompile(`^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$`)

// parseDuration reads a duration as Prometheus writes it: 1d12h, 90s, 0.
func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	parts := durationPattern.FindStringSubmatch(s)
	if parts == nil || s == "" {
		return 0, fmt.Errorf("%q is not a duration such as 30s or 1h30m", s)
	}
	const day = 24 * time.Hour
	var total time.Duration
	for i, unit := range []time.Duration{365 * day, 7 * day, day, time.Hour, time.Minute, time.Second, time.Millisecond} {
		if parts[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(parts[i+1], 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/unit) {
			return 0, fmt.Errorf("%q is too long", s)
		}
		total += time.Duration(n) * unit
	}
	return total, nil
}
