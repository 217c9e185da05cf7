//go:build linux

package node

import (
	"bytes"
	"log/slog"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// fakeSystemd is the object that stands for systemd and for each of its units on a private bus.
type fakeSystemd struct{ properties map[string]any }

func (f fakeSystemd) Get(of, property string) (dbus.Variant, *dbus.Error) {
	v, ok := f.properties[strings.TrimPrefix(of, systemdPrefix)+"."+property]
	if !ok {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{property})
	}
	return dbus.MakeVariant(v), nil
}

func (f fakeSystemd) ListUnits() ([]listedUnit, *dbus.Error) { return fakeUnits(), nil }

func fakeUnits() []listedUnit {
	unit := func(name, load, active string) listedUnit {
		path := strings.NewReplacer(".", "_2e", "-", "_2d").Replace(name)
		return listedUnit{
			Name: name, LoadState: load, ActiveState: active, Path: systemdPath + "/unit/" + dbus.ObjectPath(path), JobPath: "/",
		}
	}
	return []listedUnit{
		unit("cron.service", "loaded", "active"), unit("broken.service", "loaded", "failed"),
		unit("gone.service", "not-found", "inactive"), unit("daily.timer", "loaded", "active"),
		unit("ssh.socket", "loaded", "active"), unit("home.mount", "loaded", "active"),
		unit("system.slice", "loaded", "active"), unit("odd.target", "loaded", "reloading"),
	}
}

// startSystemd runs a bus with a systemd on it and returns its address.
func startSystemd(t *testing.T) string {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed")
	}
	address := "unix:path=" + filepath.Join(t.TempDir(), "bus")
	cmd := exec.CommandContext(t.Context(), daemon, "--session", "--nofork", "--nopidfile", "--address="+address,
		"--print-address=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })                      // t.Context is done by then, which has killed it.
	if _, err := stdout.Read(make([]byte, 256)); err != nil { // It listens once it says where.
		t.Fatal(err)
	}
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	export := func(path dbus.ObjectPath, properties map[string]any) {
		t.Helper()
		fake := fakeSystemd{properties}
		for _, of := range []string{"org.freedesktop.DBus.Properties", systemdPrefix + "Manager"} {
			if err := conn.Export(fake, path, of); err != nil {
				t.Fatal(err)
			}
		}
	}
	export(systemdPath, map[string]any{
		"Manager.Version": "252.39-1~deb12u1", "Manager.Virtualization": "", "Manager.SystemState": "degraded",
	})
	for _, u := range fakeUnits() {
		export(u.Path, map[string]any{
			"Service.Type": "simple", "Service.NRestarts": uint32(3), "Service.TasksCurrent": uint64(2),
			"Service.TasksMax": uint64(math.MaxUint64), "Mount.Type": "ext4", "Unit.ActiveEnterTimestamp": uint64(1700000000500000),
			"Timer.LastTriggerUSec": uint64(1600000000250000), "Socket.NAccepted": uint32(7), "Socket.NConnections": uint32(1),
		})
	}
	if reply, err := conn.RequestName(systemdName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return address
}

func TestSystemd(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", startSystemd(t))
	body := collectLive(t, `{"collectors": ["systemd"], "systemd": {"unit_exclude": ".+\\.slice",
		"enable_restarts_metrics": true, "enable_start_time_metrics": true, "enable_task_metrics": true}}`)
	for _, want := range []string{
		`node_scrape_collector_success{collector="systemd"} 1`,
		`node_systemd_version{version="252.39-1~deb12u1"} 252.39`,
		`node_systemd_virtualization_info{virtualization_type="none"} 1`,
		`node_systemd_system_running 0`,
		`node_systemd_units{state="activating"} 0`,
		`node_systemd_units{state="active"} 5`,
		`node_systemd_units{state="reloading"} 1`,
		`node_systemd_unit_state{name="broken.service",state="failed",type="simple"} 1`,
		`node_systemd_unit_state{name="home.mount",state="active",type="ext4"} 1`,
		`node_systemd_unit_state{name="daily.timer",state="failed",type=""} 0`,
		`node_systemd_unit_start_time_seconds{name="cron.service"} 1.7000000005e+09`,
		`node_systemd_unit_start_time_seconds{name="broken.service"} 0`,
		`node_systemd_unit_tasks_current{name="cron.service"} 2`,
		`node_systemd_service_restart_total{name="cron.service"} 3`,
		`node_systemd_timer_last_trigger_seconds{name="daily.timer"} 1.60000000025e+09`,
		`node_systemd_socket_accepted_connections_total{name="ssh.socket"} 7`,
		`node_systemd_socket_current_connections{name="ssh.socket"} 1`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, unwanted := range []string{"gone.service", "system.slice", "tasks_max", "refused"} {
		if strings.Contains(body, unwanted) {
			t.Errorf("%s is reported", unwanted)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
	for _, path := range nodeExporters(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			families := parse(t, scrapeNodeExporter(t, path, []string{"systemd"}, []string{
				`--collector.systemd.unit-exclude=.+\.slice`, "--collector.systemd.enable-restarts-metrics",
				"--collector.systemd.enable-start-time-metrics", "--collector.systemd.enable-task-metrics",
			}))
			compare(t, samples(parse(t, body)), samples(families), intended(families), nearlyEqual)
		})
	}
}

// TestNoSystemd: a machine without systemd is not worth a line of the log at each scrape.
func TestNoSystemd(t *testing.T) {
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "none"))
	m := newMachine(t, "bare")
	m.config["collectors"], m.system.systemd = []string{"systemd"}, dialSystemd
	var log bytes.Buffer
	e := m.exporter(t, slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		if body := collect(t, e); !strings.Contains(body, `node_scrape_collector_success{collector="systemd"} 0`) {
			t.Errorf("no failure in\n%s", body)
		}
	}
	if n := strings.Count(log.String(), "ask systemd over D-Bus"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
}
