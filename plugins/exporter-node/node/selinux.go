//go:build linux

package node

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// selinux reports whether SELinux is on and whether it enforces, now and after the next boot.
type selinux struct{ procfs, sysfs, rootfs string }

func (c selinux) collect(_ context.Context, _ readings, out *exposition) error {
	const enabled, help = "node_selinux_enabled", "1 if SELinux is enabled."
	mode, err := os.ReadFile(filepath.Join(c.sysfs, "fs/selinux/enforce"))
	// A kernel that has not loaded a policy yet runs everything as kernel.
	current, _ := os.ReadFile(filepath.Join(c.procfs, "self/attr/current"))
	if err != nil || strings.TrimRight(string(current), "\x00\n") == "kernel" {
		out.gauge(enabled, help, 0)
		return nil //nolint:nilerr // A machine without SELinux is measured, not failed.
	}
	enforcing, err := strconv.Atoi(strings.TrimSpace(string(mode)))
	if err != nil {
		enforcing = disabledMode
	}
	out.gauge(enabled, help, 1)
	out.gauge("node_selinux_current_mode", "1 if SELinux enforces, 0 if it only warns.", float64(enforcing))
	out.gauge("node_selinux_config_mode", "What the config file asks for: 1 enforcing, 0 permissive, -1 disabled.",
		float64(c.configuredMode()))
	return nil
}

const disabledMode = -1

func (c selinux) configuredMode() int {
	text, _ := os.ReadFile(filepath.Join(c.rootfs, "etc/selinux/config"))
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key != "SELINUX" {
			continue
		}
		switch strings.Trim(value, `"`) {
		case "enforcing":
			return 1
		case "permissive":
			return 0
		}
	}
	return disabledMode
}
