//go:build linux

package node

import (
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	check := func(raw, want string) {
		t.Helper()
		_, err := New(sdk.Config(raw), sdk.Host{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", raw, err, want)
		}
	}
	check(`{"colectors": ["cpu"]}`, `unknown field "colectors"`)
	check(`{"filesystem": {"mount_points": "x"}}`, `filesystem: unknown field "mount_points"`)
	check(`{"collectors": ["cpu", "gpu"]}`, `collectors: "gpu" is not one of time, cpu,`)
	check(`{"collectors": ["cpu", "cpu"]}`, `collectors: "cpu" is listed twice`)
	check(`{"collectors": []}`, `collectors: the list is empty`)
	check(`{"collectors": "cpu"}`, `collectors: got a JSON string`)
	check(`{"cpu": {"guest": "yes"}}`, `cpu: guest: got a JSON string where a bool belongs`)
	check(`{"filesystem": {"mount_points_exclude": "("}}`, `filesystem.mount_points_exclude: error parsing regexp`)
	check(`{"filesystem": {"mount_points_include": "["}}`, `filesystem.mount_points_include: error parsing regexp`)
	check(`{"filesystem": {"fs_types_exclude": "*"}}`, `filesystem.fs_types_exclude: error parsing regexp`)
	check(`{"diskstats": {"device_include": "("}}`, `diskstats.device_include: error parsing regexp`)
	check(`{"netdev": {"device_exclude": "("}}`, `netdev.device_exclude: error parsing regexp`)
	check(`{"cpu": {"info_flags_include": "("}}`, `cpu.info_flags_include: error parsing regexp`)
	check(`{"cpu": {"info_bugs_include": "("}}`, `cpu.info_bugs_include: error parsing regexp`)
	check(`{"vmstat": {"fields": "("}}`, `vmstat.fields: error parsing regexp`)
	check(`{"netdev": {"device_include": "a", "device_exclude": "b"}}`, `netdev.device_include and netdev.device_exclude`)
	check(`{"netdev": {"netlink": false, "enable_detailed_metrics": true}}`, `netdev.enable_detailed_metrics: needs`)
	check(`{"filesystem": {"mount_timeout": "soon"}}`, `mount_timeout: "soon" is not a duration`)
	check(`{"filesystem": {"mount_timeout": "0s"}}`, `filesystem.mount_timeout: must be longer`)
	check(`{"path_procfs": "/nowhere"}`, `path_procfs: `)
	check(`{"path_sysfs": "/nowhere"}`, `path_sysfs: `)
	check(`{"enable": ["gpu"]}`, `enable: "gpu" is not one of time, cpu,`)
	check(`{"disable": ["cpu", "cpu"]}`, `disable: "cpu" is listed twice`)
	check(`{"enable": ["cpu"], "disable": ["cpu"]}`, `enable: "cpu" is under disable too`)
	check(`{"collectors": ["cpu"], "disable": ["stat"]}`, `collectors: the list is complete`)
	check(`{"arp": {"device_include": "("}}`, `arp.device_include: error parsing regexp`)
	check(`{"hwmon": {"chip_exclude": "("}}`, `hwmon.chip_exclude: error parsing regexp`)
	check(`{"hwmon": {"sensor_include": "a", "sensor_exclude": "b"}}`, `hwmon.sensor_include and hwmon.sensor_exclude`)
	check(`{"netclass": {"ignored_devices": "("}}`, `netclass.ignored_devices: error parsing regexp`)
	check(`{"netstat": {"fields": "("}}`, `netstat.fields: error parsing regexp`)
	check(`{} {}`, `more than one JSON value`)
	check(`{`, `unexpected EOF`)
	// A collector that is switched off is checked too: its mistake would surface when it is switched on.
	check(`{"collectors": ["cpu"], "vmstat": {"fields": "("}}`, `vmstat.fields`)
}

func TestConfigDefaults(t *testing.T) {
	for _, raw := range []string{``, `null`, `{}`, `{"collectors": null}`, `{"netdev": {}}`} {
		cfg, err := parseConfig([]byte(raw))
		if err != nil {
			t.Errorf("%q: %v", raw, err)
			continue
		}
		if !slices.Equal(cfg.Collectors, defaultCollectors()) || cfg.PathRootfs != "/" || !cfg.CPU.Guest || !cfg.Netdev.Netlink {
			t.Errorf("%q: got %+v", raw, cfg)
		}
	}
}

func TestFilter(t *testing.T) {
	str := func(s string) *string { return &s }
	check := func(include, exclude *string, kept, dropped string) {
		t.Helper()
		f, err := newFilter("x", include, exclude, "^default$")
		if err != nil {
			t.Fatal(err)
		}
		if !f.keeps(kept) {
			t.Errorf("%q is dropped", kept)
		}
		if dropped != "" && f.keeps(dropped) {
			t.Errorf("%q is kept", dropped)
		}
	}
	check(nil, nil, "a", "default")
	check(nil, str("^a$"), "default", "a")
	check(str("^a$"), nil, "a", "default")
	check(str("^default$"), nil, "default", "a")
	check(str("^a$"), str(""), "a", "default")
	check(str(""), str("^a$"), "default", "a")
	check(nil, str(""), "default", "")
}
