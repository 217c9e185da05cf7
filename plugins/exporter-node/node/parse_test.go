//go:build linux

package node

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSanitized(t *testing.T) {
	check := func(in, want string) {
		t.Helper()
		if got := sanitized(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	check("package-0", "package_0")
	check("a_-_b", "a_b")
	check("a__b", "a__b")
	check("dram (x)", "dram_x_")
	check("", "")
}

func TestUnquoteShell(t *testing.T) {
	check := func(in, want string) {
		t.Helper()
		if got := unquoteShell(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	check(`plain`, "plain")
	check(`"two words"`, "two words")
	check(`'as $is\'`, `as $is\`)
	check(`"a \"b\" \$c \\"`, `a "b" $c \`)
	check(`"open`, `"open`)
	check(`"`, `"`)
	check(``, ``)
}

func TestParseSensorFile(t *testing.T) {
	check := func(file, kind string, number int, property string) {
		t.Helper()
		k, n, p, ok := parseSensorFile(file)
		if !ok || k != kind || n != number || p != property {
			t.Errorf("%s: got %q %d %q %v", file, k, n, p, ok)
		}
	}
	check("temp1_input", "temp", 1, "input")
	check("power12_average_interval_max", "power", 12, "average_interval_max")
	check("pwm3", "pwm", 3, "")
	check("update_interval", "update_interval", 0, "")
	for _, file := range []string{"", "1_input", "temp1input", "temp1_", "temp99999999999999999999_input"} {
		if _, _, _, ok := parseSensorFile(file); ok {
			t.Errorf("%q passes as a sensor", file)
		}
	}
}

func neighbourMessage(link int32, state uint16) []byte {
	body := make([]byte, sizeofNdMsg)
	binary.NativeEndian.PutUint32(body[4:], uint32(link))
	binary.NativeEndian.PutUint16(body[8:], state)
	return message(unix.RTM_NEWNEIGH, body)
}

func TestParseNeighbourDump(t *testing.T) {
	got, done, err := parseNeighbourDump(slices.Concat(
		neighbourMessage(3, unix.NUD_STALE), neighbourMessage(4, unix.NUD_NOARP), message(unix.NLMSG_DONE)))
	if want := []neighbour{{3, unix.NUD_STALE}, {4, unix.NUD_NOARP}}; err != nil || !done || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, %v", got, done, err)
	}
	refusal := -int32(unix.EPERM)
	_, _, err = parseNeighbourDump(message(unix.NLMSG_ERROR, binary.NativeEndian.AppendUint32(nil, uint32(refusal))))
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("got %v", err)
	}
	if _, err := dumpNeighbours(); err != nil {
		t.Errorf("this machine: %v", err)
	}
}

func FuzzParseNeighbourDump(f *testing.F) {
	f.Add(neighbourMessage(3, unix.NUD_STALE))
	f.Add(message(unix.RTM_NEWNEIGH))
	f.Add(message(unix.NLMSG_DONE)[:7])
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, _, err := parseNeighbourDump(data); err != nil && got != nil {
			t.Errorf("neighbours and an error: %v", err)
		}
	})
}

func FuzzKernelText(f *testing.F) {
	f.Add("TcpExt: A B\nTcpExt: 1 2\n")
	f.Add("Ip6InReceives 7\n6 1\n")
	f.Add("1 2 3\nname type data\nhits 4 1\ndataset_name 7 a b\nx 3 -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		add := func(field, _ string) error {
			if !strings.Contains(field, "_") {
				t.Errorf("field %q has no protocol", field)
			}
			return nil
		}
		_ = parsePairedLines(text, add)
		_ = parseSNMP6(text, add)
		if k, err := parseKstat("x", text); err == nil {
			for _, v := range k.values {
				if math.IsNaN(v.value) || v.name == "" {
					t.Errorf("got %+v", v)
				}
			}
		}
	})
}

// TestBtrfsDevices: what a mounted Btrfs tells about its devices takes the place of what sysfs knows of them.
func TestBtrfsDevices(t *testing.T) {
	m := newMachine(t, "disks")
	m.config["collectors"] = []string{"btrfs"}
	mounts := "22 1 8:1 / /srv rw - btrfs /dev/sda1 rw\n23 1 8:2 / /other rw - ext4 /dev/sda2 rw\n"
	if err := os.MkdirAll(filepath.Join(m.dir, "proc/1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, "proc/1/mountinfo"), []byte(mounts), 0o600); err != nil {
		t.Fatal(err)
	}
	m.system.btrfsDevices = func(path string) (string, []btrfsDevice, error) {
		if path != "/srv" {
			t.Errorf("asked for %s", path)
		}
		return "0abb23a9579b43e6ad30227ef47fcb9d", []btrfsDevice{
			{path: "/dev/loop25", uuid: "abcd", used: 30, total: 100, errors: [5]uint64{1, 2, 3, 4, 5}},
		}, nil
	}
	body := collect(t, m.exporter(t, slog.New(slog.DiscardHandler)))
	for _, want := range []string{
		`node_btrfs_device_size_bytes{btrfs_dev_uuid="abcd",device="loop25",uuid="0abb23a9-579b-43e6-ad30-227ef47fcb9d"} 100`,
		`node_btrfs_device_unused_bytes{btrfs_dev_uuid="abcd",device="loop25",uuid="0abb23a9-579b-43e6-ad30-227ef47fcb9d"} 70`,
		`device="loop25",type="corruption",uuid="0abb23a9-579b-43e6-ad30-227ef47fcb9d"} 4`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if strings.Contains(body, "loop26") {
		t.Error("devices of sysfs are reported too")
	}
	if _, _, err := dumpBtrfsDevices("/proc"); err == nil {
		t.Error("/proc passes as Btrfs")
	}
}

func TestProcessesSeesItself(t *testing.T) {
	body := collectLive(t, `{"collectors": ["processes"]}`)
	for _, want := range []string{
		"node_processes_pids ", "node_processes_threads ", "node_processes_max_threads ", "node_processes_max_processes ",
		`node_processes_state{state="`, `node_processes_threads_state{thread_state="`,
		`node_scrape_collector_success{collector="processes"} 1`,
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
}
