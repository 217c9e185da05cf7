//go:build linux

package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

const statfsOfSrv = `node_filesystem_device_error{device="/dev/mapper/vg-srv",device_error="`

// TestHungMountIsReported scrapes while a mount does not answer: the rest of the exposition is there.
func TestHungMountIsReported(t *testing.T) {
	m := newMachine(t, "modern")
	gate := make(chan struct{})
	answer := m.system.statfs
	m.system.statfs = func(path string, buf *unix.Statfs_t) error {
		if path == "/srv" {
			<-gate
		}
		return answer(path, buf)
	}
	e := m.exporter(t, slog.New(slog.DiscardHandler))
	synctest.Test(t, func(t *testing.T) {
		gate = make(chan struct{}) // One of this bubble, or its clock would not move.
		body := collect(t, e)
		for _, want := range []string{
			statfsOfSrv + `mountpoint timeout",fstype="xfs",mountpoint="/srv"} 1`,
			`node_filesystem_readonly{device="/dev/mapper/vg-srv",device_error="mountpoint timeout",fstype="xfs",`,
			`node_filesystem_size_bytes{device="/dev/sda1",device_error="",fstype="ext4",mountpoint="/"} 4.096e+06`,
			`node_scrape_collector_success{collector="filesystem"} 1`,
			`node_load1 0.37`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s", want)
			}
		}
		close(gate)
		synctest.Wait()
		if body := collect(t, e); !strings.Contains(body, statfsOfSrv+`",fstype="xfs",mountpoint="/srv"} 0`) {
			t.Error("the mount answers again, which the exposition does not show")
		}
	})
}

// TestRootfsPrefix measures a machine whose root is mounted at /host, from inside a container.
func TestRootfsPrefix(t *testing.T) {
	m := newMachine(t, "modern")
	writeMounts(t, m, "1", `1 0 8:1 / /host rw - ext4 /dev/sda1 rw
2 1 8:2 / /host/home rw - ext4 /dev/sda2 rw
`)
	m.config["path_rootfs"] = "/host"
	var asked []string
	m.system.statfs = func(path string, _ *unix.Statfs_t) error {
		asked = append(asked, path) // One mount, so one goroutine.
		return nil
	}
	m.config["filesystem"] = map[string]any{"mount_points_include": "^/$"}
	body := collect(t, m.exporter(t, slog.New(slog.DiscardHandler)))
	if !strings.Contains(body, `node_filesystem_readonly{device="/dev/sda1",device_error="",fstype="ext4",mountpoint="/"} 0`) {
		t.Errorf("no file system at /:\n%s", body)
	}
	if len(asked) != 1 || asked[0] != "/host" {
		t.Errorf("asked for %q", asked)
	}
}

// TestHiddenProcessOne falls back to the exporter's own mounts.
func TestHiddenProcessOne(t *testing.T) {
	m := newMachine(t, "modern")
	if err := os.RemoveAll(filepath.Join(m.dir, "proc", "1")); err != nil {
		t.Fatal(err)
	}
	writeMounts(t, m, "self", "1 0 8:1 / / rw - ext4 /dev/own rw\n")
	body := collect(t, m.exporter(t, slog.New(slog.DiscardHandler)))
	if !strings.Contains(body, `node_filesystem_device_error{device="/dev/own",`) {
		t.Errorf("no own mount:\n%s", body)
	}
}

func TestReadOnlyMounts(t *testing.T) {
	m := newMachine(t, "modern")
	writeMounts(t, m, "1", `1 0 8:1 / /a rw - ext4 a rw
2 0 8:2 / /b ro,nosuid - ext4 b rw
3 0 8:3 / /c rw - ext4 c ro
4 0 8:4 / /d rw - ext4 d rw,emergency_ro
5 0 8:5 / /e rw - ext4 e rw,errors=remount-ro
`)
	body := collect(t, m.exporter(t, slog.New(slog.DiscardHandler)))
	for device, want := range map[string]string{"a": "0", "b": "1", "c": "1", "d": "1", "e": "0"} {
		line := `node_filesystem_readonly{device="` + device + `",device_error="",fstype="ext4",mountpoint="/` + device + `"} ` + want
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

func TestWithoutRootfs(t *testing.T) {
	check := func(rootfs, point, want string) {
		t.Helper()
		if got := (mountTable{rootfs: rootfs}).withoutRootfs(point); got != want {
			t.Errorf("%s under %s became %s, want %s", point, rootfs, got, want)
		}
	}
	check("/", "/", "/")
	check("/", "/home", "/home")
	check("/host", "/host", "/")
	check("/host", "/host/home", "/home")
	check("/host/", "/host/home", "/home")
	check("/host/", "/host", "/")
	check("/host", "/hostile", "/hostile")
	check("/host", "/etc/hosts", "/etc/hosts")
}

func TestUnescapeMount(t *testing.T) {
	for escaped, want := range map[string]string{
		`/plain`:                "/plain",
		`/a\040b\011c\012d\134`: "/a b\tc\nd\\",
		`/\134040`:              `/\040`,
	} {
		if got := unescapeMount(escaped); got != want {
			t.Errorf("%q became %q, want %q", escaped, got, want)
		}
	}
}

func writeMounts(t *testing.T, m *machine, pid, mounts string) {
	t.Helper()
	path := filepath.Join(m.dir, "proc", pid, "mountinfo")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(mounts), 0o600); err != nil {
		t.Fatal(err)
	}
}
