//go:build linux

package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// config is the plugin's section of the config file. Its names follow node_exporter's flags, in snake case and
// grouped by collector. A nil pointer is a field that the operator did not write.
type config struct {
	Collectors   []string `json:"collectors"`
	Enable       []string `json:"enable"`
	Disable      []string `json:"disable"`
	PathProcfs   string   `json:"path_procfs"`
	PathSysfs    string   `json:"path_sysfs"`
	PathRootfs   string   `json:"path_rootfs"`
	PathUdevData string   `json:"path_udev_data"`

	Arp         arpConfig         `json:"-"`
	Bcache      bcacheConfig      `json:"-"`
	CPU         cpuConfig         `json:"-"`
	Diskstats   diskstatsConfig   `json:"-"`
	Filesystem  filesystemConfig  `json:"-"`
	Hwmon       hwmonConfig       `json:"-"`
	Infiniband  infinibandConfig  `json:"-"`
	IPVS        ipvsConfig        `json:"-"`
	Netclass    netclassConfig    `json:"-"`
	Netdev      netdevConfig      `json:"-"`
	Netstat     netstatConfig     `json:"-"`
	PowerSupply powerSupplyConfig `json:"-"`
	Rapl        raplConfig        `json:"-"`
	Stat        statConfig        `json:"-"`
	Tapestats   tapestatsConfig   `json:"-"`
	Systemd     systemdConfig     `json:"-"`
	Textfile    textfileConfig    `json:"-"`
	Vmstat      vmstatConfig      `json:"-"`
}

// groups are the sections of the config, by the collector they belong to.
func (c *config) groups() map[string]any {
	return map[string]any{
		"arp":         &c.Arp,
		"cpu":         &c.CPU,
		"diskstats":   &c.Diskstats,
		"filesystem":  &c.Filesystem,
		"hwmon":       &c.Hwmon,
		"netclass":    &c.Netclass,
		"netdev":      &c.Netdev,
		"netstat":     &c.Netstat,
		"stat":        &c.Stat,
		"systemd":     &c.Systemd,
		"textfile":    &c.Textfile,
		"vmstat":      &c.Vmstat,
		"bcache":      &c.Bcache,
		"infiniband":  &c.Infiniband,
		"ipvs":        &c.IPVS,
		"powersupply": &c.PowerSupply,
		"rapl":        &c.Rapl,
		"tapestats":   &c.Tapestats,
	}
}

type arpConfig struct {
	DeviceInclude *string `json:"device_include"`
	DeviceExclude *string `json:"device_exclude"`
	Netlink       bool    `json:"netlink"`
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

type hwmonConfig struct {
	ChipInclude   *string `json:"chip_include"`
	ChipExclude   *string `json:"chip_exclude"`
	SensorInclude *string `json:"sensor_include"`
	SensorExclude *string `json:"sensor_exclude"`
}

type bcacheConfig struct {
	PriorityStats bool `json:"priority_stats"`
}

type infinibandConfig struct {
	DeviceInclude *string `json:"device_include"`
	DeviceExclude *string `json:"device_exclude"`
}

type ipvsConfig struct {
	BackendLabels string `json:"backend_labels"`
}

type powerSupplyConfig struct {
	IgnoredSupplies string `json:"ignored_supplies"`
}

type raplConfig struct {
	EnableZoneLabel bool `json:"enable_zone_label"`
}

type tapestatsConfig struct {
	IgnoredDevices string `json:"ignored_devices"`
}

type netclassConfig struct {
	IgnoredDevices     string `json:"ignored_devices"`
	IgnoreInvalidSpeed bool   `json:"ignore_invalid_speed"`
}

type netstatConfig struct {
	Fields string `json:"fields"`
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

type systemdConfig struct {
	UnitInclude            string `json:"unit_include"`
	UnitExclude            string `json:"unit_exclude"`
	EnableRestartsMetrics  bool   `json:"enable_restarts_metrics"`
	EnableStartTimeMetrics bool   `json:"enable_start_time_metrics"`
	EnableTaskMetrics      bool   `json:"enable_task_metrics"`
}

type textfileConfig struct {
	Directories []string `json:"directories"`
}

type vmstatConfig struct {
	Fields string `json:"fields"`
}

func defaultConfig() config {
	return config{
		PathProcfs:   "/proc",
		PathSysfs:    "/sys",
		PathRootfs:   "/",
		PathUdevData: "/run/udev/data",
		Arp:          arpConfig{Netlink: true},
		CPU:          cpuConfig{Guest: true},
		Filesystem:   filesystemConfig{MountTimeout: duration(5 * time.Second)},
		Netclass:     netclassConfig{IgnoredDevices: "^$"},
		Netdev:       netdevConfig{Netlink: true},
		Netstat:      netstatConfig{Fields: defaultNetstatFields},
		IPVS:         ipvsConfig{BackendLabels: defaultIPVSLabels},
		PowerSupply:  powerSupplyConfig{IgnoredSupplies: "^$"},
		Systemd:      systemdConfig{UnitInclude: defaultUnitInclude, UnitExclude: defaultUnitExclude},
		Tapestats:    tapestatsConfig{IgnoredDevices: "^$"},
		Vmstat:       vmstatConfig{Fields: "^(oom_kill|pgpg|pswp|pg.*fault).*"},
	}
}

// parseConfig reads the config over the defaults and checks all of it except the regular expressions, which the
// collectors compile.
func parseConfig(raw []byte) (config, error) {
	cfg := defaultConfig()
	if len(bytes.TrimSpace(raw)) == 0 {
		return cfg, cfg.validate()
	}
	// The groups are decoded one by one: the decoder names an unknown field, but not where it is.
	var fields map[string]json.RawMessage
	if err := decodeStrict(raw, &fields); err != nil {
		return config{}, err
	}
	groups := cfg.groups()
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		group, ok := fields[name]
		if !ok {
			continue
		}
		delete(fields, name)
		if err := decodeStrict(group, groups[name]); err != nil {
			return config{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return config{}, err
	}
	if err := decodeStrict(rest, &cfg); err != nil {
		return config{}, err
	}
	return cfg, cfg.validate()
}

func (c *config) validate() error {
	if err := c.chooseCollectors(); err != nil {
		return err
	}
	if c.Filesystem.MountTimeout <= 0 {
		return errors.New("filesystem.mount_timeout: must be longer than zero")
	}
	if c.Netdev.EnableDetailedMetrics && !c.Netdev.Netlink {
		return errors.New("netdev.enable_detailed_metrics: needs netdev.netlink")
	}
	return nil
}

// chooseCollectors makes Collectors the list of those that run: the ones that the operator lists, or those that are on
// by default, more those under enable and less those under disable.
func (c *config) chooseCollectors() error {
	for field, names := range map[string][]string{
		"collectors": c.Collectors, "enable": c.Enable, "disable": c.Disable,
	} {
		if err := checkNames(names); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	switch {
	case c.Collectors == nil:
		c.Collectors = defaultCollectors()
	case len(c.Collectors) == 0:
		return errors.New("collectors: the list is empty; leave it out to run the default ones")
	case len(c.Enable)+len(c.Disable) > 0:
		return errors.New("collectors: the list is complete; enable and disable change the default one")
	}
	for _, name := range c.Enable {
		if slices.Contains(c.Disable, name) {
			return fmt.Errorf("enable: %q is under disable too", name)
		}
		if !slices.Contains(c.Collectors, name) {
			c.Collectors = append(c.Collectors, name)
		}
	}
	c.Collectors = slices.DeleteFunc(c.Collectors, func(name string) bool { return slices.Contains(c.Disable, name) })
	return nil
}

func checkNames(names []string) error {
	known, seen := collectorNames(), make(map[string]bool, len(names))
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%q is not one of %s", name, strings.Join(known, ", "))
		}
		if seen[name] {
			return fmt.Errorf("%q is listed twice", name)
		}
		seen[name] = true
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
