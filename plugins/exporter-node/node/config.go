//go:build linux

package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// config is the plugin's section of the config file. Its names follow node_exporter's flags, in snake case and
// grouped by collector. A nil pointer is a field that the operator did not write.
type config struct {
	Collectors   []string `json:"collectors"`
	PathProcfs   string   `json:"path_procfs"`
	PathSysfs    string   `json:"path_sysfs"`
	PathRootfs   string   `json:"path_rootfs"`
	PathUdevData string   `json:"path_udev_data"`

	CPU        cpuConfig        `json:"-"`
	Diskstats  diskstatsConfig  `json:"-"`
	Filesystem filesystemConfig `json:"-"`
	Netdev     netdevConfig     `json:"-"`
	Stat       statConfig       `json:"-"`
	Vmstat     vmstatConfig     `json:"-"`
}

type cpuConfig struct {
	Guest            bool   `json:"guest"`
	Info             bool   `json:"info"`
	InfoFlagsInclude string `json:"info_flags_include"`
	InfoBugsInclude  string `json:"info_bugs_include"`
}

type diskstatsConfig struct {
	DeviceInclude *string `json:"device_include"`
	DeviceExclude *string `json:"device_exclude"`
}

type filesystemConfig struct {
	MountPointsInclude *string  `json:"mount_points_include"`
	MountPointsExclude *string  `json:"mount_points_exclude"`
	FSTypesInclude     *string  `json:"fs_types_include"`
	FSTypesExclude     *string  `json:"fs_types_exclude"`
	MountTimeout       duration `json:"mount_timeout"`
}

type netdevConfig struct {
	DeviceInclude         *string `json:"device_include"`
	DeviceExclude         *string `json:"device_exclude"`
	Netlink               bool    `json:"netlink"`
	EnableDetailedMetrics bool    `json:"enable_detailed_metrics"`
	AddressInfo           bool    `json:"address_info"`
}

type statConfig struct {
	Softirq bool `json:"softirq"`
}

type vmstatConfig struct {
	Fields string `json:"fields"`
}

// collectorNames lists the collectors in the order in which they run: filesystem, which may have to wait for a slow
// mount, comes last, so that what the others measure belongs to the start of the scrape.
func collectorNames() []string {
	return []string{
		"time", "cpu", "stat", "loadavg", "meminfo", "vmstat", "netdev", "diskstats", "uname", "filesystem",
	}
}

func defaultConfig() config {
	return config{
		Collectors:   collectorNames(),
		PathProcfs:   "/proc",
		PathSysfs:    "/sys",
		PathRootfs:   "/",
		PathUdevData: "/run/udev/data",
		CPU:          cpuConfig{Guest: true},
		Filesystem:   filesystemConfig{MountTimeout: duration(5 * time.Second)},
		Netdev:       netdevConfig{Netlink: true},
		Vmstat:       vmstatConfig{Fields: "^(oom_kill|pgpg|pswp|pg.*fault).*"},
	}
}

// parseConfig reads the config over the defaults and checks all of it except the regular expressions, which the
// collectors compile.
func parseConfig(raw []byte) (config, error) {
	cfg := defaultConfig()
	if len(bytes.TrimSpace(raw)) == 0 {
		return cfg, nil
	}
	// The groups are decoded one by one: the decoder names an unknown field, but not where it is.
	top := struct {
		*config
		CPU        json.RawMessage `json:"cpu"`
		Diskstats  json.RawMessage `json:"diskstats"`
		Filesystem json.RawMessage `json:"filesystem"`
		Netdev     json.RawMessage `json:"netdev"`
		Stat       json.RawMessage `json:"stat"`
		Vmstat     json.RawMessage `json:"vmstat"`
	}{config: &cfg}
	if err := decodeStrict(raw, &top); err != nil {
		return config{}, err
	}
	for _, group := range []struct {
		name string
		raw  json.RawMessage
		into any
	}{
		{"cpu", top.CPU, &cfg.CPU},
		{"diskstats", top.Diskstats, &cfg.Diskstats},
		{"filesystem", top.Filesystem, &cfg.Filesystem},
		{"netdev", top.Netdev, &cfg.Netdev},
		{"stat", top.Stat, &cfg.Stat},
		{"vmstat", top.Vmstat, &cfg.Vmstat},
	} {
		if group.raw == nil {
			continue
		}
		if err := decodeStrict(group.raw, group.into); err != nil {
			return config{}, fmt.Errorf("%s: %w", group.name, err)
		}
	}
	return cfg, cfg.validate()
}

func (c *config) validate() error {
	known := collectorNames()
	if c.Collectors == nil {
		c.Collectors = known
	}
	if len(c.Collectors) == 0 {
		return errors.New("collectors: the list is empty; leave it out to run all")
	}
	seen := make(map[string]bool, len(c.Collectors))
	for _, name := range c.Collectors {
		if !slices.Contains(known, name) {
			return fmt.Errorf("collectors: %q is not one of %s", name, strings.Join(known, ", "))
		}
		if seen[name] {
			return fmt.Errorf("collectors: %q is listed twice", name)
		}
		seen[name] = true
	}
	if c.Filesystem.MountTimeout <= 0 {
		return errors.New("filesystem.mount_timeout: must be longer than zero")
	}
	if c.Netdev.EnableDetailedMetrics && !c.Netdev.Netlink {
		return errors.New("netdev.enable_detailed_metrics: needs netdev.netlink")
	}
	return nil
}

// decodeStrict decodes one JSON value and refuses unknown fields and anything after the value.
func decodeStrict(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var mistyped *json.UnmarshalTypeError
		if errors.As(err, &mistyped) && mistyped.Field != "" {
			return fmt.Errorf("%s: got a JSON %s where a %s belongs", mistyped.Field, mistyped.Value, mistyped.Type)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// duration is written as in Go, such as 500ms or 5s.
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("mount_timeout: %q is not a duration such as 5s", text)
	}
	*d = duration(v)
	return nil
}
