//go:build linux

package node

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"
)

// machine is a made-up machine: files from an archive in testdata, and answers to system calls.
type machine struct {
	dir    string
	config map[string]any
	system system
}

// newMachine unpacks testdata/<name>.txtar. File names with colons, which udev uses, cannot be in a Go module, so the
// files are kept in an archive.
func newMachine(t *testing.T, name string) *machine {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: t.TempDir(), system: fakeSystem()}
	for _, mount := range []string{"proc", "sys"} {
		if err := os.Mkdir(filepath.Join(m.dir, mount), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range archive.Files {
		if f.Name == "config.json" {
			if err := json.Unmarshal(f.Data, &m.config); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			continue
		}
		path := filepath.Join(m.dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.config["path_procfs"] = filepath.Join(m.dir, "proc")
	m.config["path_sysfs"] = filepath.Join(m.dir, "sys")
	m.config["path_udev_data"] = filepath.Join(m.dir, "udev")
	if root := filepath.Join(m.dir, "root"); slices.ContainsFunc(archive.Files, func(f txtar.File) bool {
		return strings.HasPrefix(f.Name, "root/")
	}) || name == "bare" {
		m.config["path_rootfs"] = root
	}
	return m
}

func (m *machine) exporter(t *testing.T, log *slog.Logger) *exporter {
	t.Helper()
	raw, err := json.Marshal(m.config)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	e, err := newExporter(cfg, log, m.system)
	if err != nil {
		t.Fatal(err)
	}
	e.build = build{version: "v1.2.3", revision: "abc", goVersion: "go1.0", goarch: "amd64"}
	return e
}

func fakeSystem() system {
	now := time.Unix(1700000000, 5e8).In(time.FixedZone("CET", 3600))
	return system{
		now: func() time.Time { return now },
		statfs: func(path string, buf *unix.Statfs_t) error {
			if path == "/mnt/denied" {
				return unix.EACCES
			}
			*buf = unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bfree: 500, Bavail: 450, Files: 300, Ffree: 200}
			return nil
		},
		uname: func(u *unix.Utsname) error {
			copy(u.Sysname[:], "Linux")
			copy(u.Nodename[:], "ada")
			copy(u.Release[:], "6.18.0")
			copy(u.Version[:], "#1 SMP \"quoted\"")
			copy(u.Machine[:], "x86_64")
			copy(u.Domainname[:], "(none)")
			return nil
		},
		links: func() ([]link, error) {
			return []link{{"lo", linkStats{RxBytes: 10, TxBytes: 10}, 1}, {"eth0", countedStats(), 2}}, nil
		},
		neighbours: func() ([]neighbour, error) {
			return []neighbour{{2, unix.NUD_REACHABLE}, {2, unix.NUD_STALE}, {1, unix.NUD_NOARP}, {9, unix.NUD_STALE}}, nil
		},
		adjtimex: func(t *unix.Timex) (int, error) {
			*t = unix.Timex{Offset: 250000, Freq: 65536, Maxerror: 3000, Esterror: 2000, Status: 0x2001, Constant: 7, Tick: 10000, Tai: 37}
			return 0, nil
		},
		btrfsDevices: func(string) (string, []btrfsDevice, error) { return "", nil, unix.ENOTTY },
	}
}

// countedStats numbers the fields from 1 in the order of the kernel's struct.
func countedStats() linkStats {
	return linkStats{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}
}

func collect(t *testing.T, e *exporter) string {
	t.Helper()
	var body bytes.Buffer
	if err := e.Collect(t.Context(), &body); err != nil {
		t.Fatal(err)
	}
	return body.String()
}
