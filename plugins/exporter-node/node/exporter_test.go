//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden scrapes made-up machines; testdata says what each is about.
func TestGolden(t *testing.T) {
	for _, name := range []string{"modern", "old", "broken", "x86", "network", "kernel", "hardware", "devices", "disks", "bare"} {
		t.Run(name, func(t *testing.T) {
			if name == "x86" && runtime.GOARCH != "amd64" && runtime.GOARCH != "386" {
				t.Skip("the parser of /proc/cpuinfo is that of " + runtime.GOARCH)
			}
			m := newMachine(t, name)
			got := strings.ReplaceAll(collect(t, m.exporter(t, slog.New(slog.DiscardHandler))), m.dir, "")
			path := filepath.Join("testdata", name+".prom")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s; run with -update if that is right:\n%s", path, got)
			}
		})
	}
}

// TestFailureIsContained breaks one collector at a time, by error and by panic.
func TestFailureIsContained(t *testing.T) {
	check := func(name string, breakIt func(*machine), reason string) {
		t.Helper()
		m := newMachine(t, "modern")
		breakIt(m)
		var log bytes.Buffer
		e := m.exporter(t, slog.New(slog.NewTextHandler(&log, nil)))
		for range 2 {
			body := collect(t, e)
			for _, c := range e.collectors {
				want := `node_scrape_collector_success{collector="` + c.name + `"} 1`
				if c.name == name {
					want = strings.TrimSuffix(want, "1") + "0"
				}
				if !strings.Contains(body, want+"\n") {
					t.Errorf("no %q while %s is broken", want, name)
				}
			}
		}
		if n := strings.Count(log.String(), "collector failed"); n != 1 || !strings.Contains(log.String(), reason) {
			t.Errorf("two failures with one reason should be one log line with %q, got:\n%s", reason, &log)
		}
	}
	remove := func(path string) func(*machine) {
		return func(m *machine) {
			if err := os.RemoveAll(filepath.Join(m.dir, path)); err != nil {
				t.Error(err)
			}
		}
	}
	check("loadavg", remove("proc/loadavg"), "read loadavg")
	check("meminfo", remove("proc/meminfo"), "read meminfo")
	check("vmstat", remove("proc/vmstat"), "proc/vmstat")
	check("diskstats", remove("proc/diskstats"), "read diskstats")
	check("filesystem", remove("proc/1/mountinfo"), "read mounts")
	check("time", remove("sys/devices/system/clocksource/clocksource0/current_clocksource"), "read clock sources")
	check("uname", func(m *machine) { m.system.uname = nil }, "panic")
	check("netdev", func(m *machine) {
		m.system.links = func() ([]link, error) { return nil, errors.New("no netlink here") }
	}, "list network devices: no netlink here")
}

func TestRecoveryIsLogged(t *testing.T) {
	m := newMachine(t, "modern")
	links, broken := m.system.links, true
	m.system.links = func() ([]link, error) {
		if broken {
			return nil, errors.New("no")
		}
		return links()
	}
	var log bytes.Buffer
	e := m.exporter(t, slog.New(slog.NewTextHandler(&log, nil)))
	collect(t, e)
	broken = false
	collect(t, e)
	collect(t, e)
	if n := strings.Count(log.String(), "collector recovered"); n != 1 {
		t.Errorf("got %d recoveries in the log:\n%s", n, &log)
	}
}

func TestContextEndsCollect(t *testing.T) {
	e := newMachine(t, "modern").exporter(t, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var body bytes.Buffer
	if err := e.Collect(ctx, &body); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if body.Len() != 0 {
		t.Errorf("wrote %d bytes of an unfinished exposition", body.Len())
	}
}

func TestCollectFromManyGoroutines(t *testing.T) {
	e := newMachine(t, "modern").exporter(t, slog.New(slog.DiscardHandler))
	want := collect(t, e)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var body bytes.Buffer
			if err := e.Collect(t.Context(), &body); err != nil || body.String() != want {
				t.Errorf("error %v, or a body that differs:\n%s", err, &body)
			}
		})
	}
	wg.Wait()
}

func TestOnlyChosenCollectorsRun(t *testing.T) {
	m := newMachine(t, "modern")
	m.config["collectors"] = []string{"loadavg"}
	body := collect(t, m.exporter(t, slog.New(slog.DiscardHandler)))
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "node_load") &&
			!strings.Contains(line, `{collector="loadavg"}`) && !strings.HasPrefix(line, "node_exporter_build_info") {
			t.Errorf("unexpected line %q", line)
		}
	}
	if !strings.Contains(body, "node_load15 0.9\n") {
		t.Errorf("no node_load15:\n%s", body)
	}
}
