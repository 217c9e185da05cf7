//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBrokenFile: a plugin that cannot be loaded hurts nobody who does not use it, and is listed with the reason.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	plugins := t.TempDir()
	write(t, filepath.Join(plugins, "sd-garbage.wasm"), "this is no module")
	write(t, filepath.Join(plugins, "sd-empty.wasm"), "")
	target := newRecorder(t)
	s := start(t, options{config: "scrape_configs:\n" + staticJob("a", "100ms", target.address), plugins: plugins})
	s.await(5*time.Second, `up == 1`)
	for _, name := range []string{"sd-garbage", "sd-empty"} {
		if p := s.plugin(name); p.State != "failed" || p.LastError == "" {
			t.Errorf("%s is listed as %+v", name, p)
		}
		if v, _ := s.metric("narthex_plugin_state", fmt.Sprintf(`plugin=%q,state="failed"`, name)); v != 1 {
			t.Errorf("the metric of %s's state is %v", name, v)
		}
		if !strings.Contains(s.output(), "plugin="+name) {
			t.Errorf("the log does not mention %s", name)
		}
	}
}

// TestDiscoveryDies: while a discovery dies again and again its last targets stay, and log, metrics and API say so.
func TestDiscoveryDies(t *testing.T) {
	t.Parallel()
	for _, how := range []struct{ transport, mood string }{{"wasm", "panic"}, {"wasm", "exit"}, {"process", "panic"}} {
		t.Run(how.transport+" "+how.mood, func(t *testing.T) {
			t.Parallel()
			testDiscoveryDies(t, how.transport, how.mood)
		})
	}
}

func testDiscoveryDies(t *testing.T, transport, mood string) {
	t.Helper()
	target, dir := newRecorder(t), t.TempDir()
	write(t, filepath.Join(dir, "mood"), "fine")
	s := start(t, options{
		dir:     dir,
		plugins: buildFlaky(t, transport),
		config: fmt.Sprintf("scrape_configs:\n  - job_name: flaky\n    scrape_interval: 500ms\n    scrape_timeout: 500ms\n"+
			"    flaky_sd_configs: [{targets: ['%s'], mood: mood}]\n", target.address),
	})
	s.awaitInstances(5*time.Second, "flaky", target.address)

	write(t, filepath.Join(dir, "mood"), mood)
	eventually(t, 10*time.Second, "the server notices", func() error {
		p := s.plugin("sd-flaky")
		if p.Transport != transport {
			t.Fatalf("it runs as %s", p.Transport)
		}
		if p.State != "degraded" && p.State != "failed" || p.LastError == "" || p.Restarts < 1 {
			return fmt.Errorf("it is listed as %+v", p)
		}
		if v, _ := s.metric("narthex_plugin_traps_total", `plugin="sd-flaky"`); v < 1 {
			return fmt.Errorf("the metric of its ends is %v", v)
		}
		return nil
	})
	if log := s.output(); !strings.Contains(log, `msg="plugin ended, restarting it"`) {
		t.Error("the log does not say that the plugin ended")
	}
	target.awaitMore(t, 2)
	s.awaitInstances(0, "flaky", target.address)

	write(t, filepath.Join(dir, "mood"), "fine")
	eventually(t, 20*time.Second, "the plugin runs again", func() error {
		if p := s.plugin("sd-flaky"); p.State != "ready" {
			return fmt.Errorf("it is listed as %+v", p)
		}
		return nil
	})
	s.awaitInstances(0, "flaky", target.address)
	target.awaitMore(t, 2)
	if got := s.query(`min_over_time(up{job="flaky"}[5m])`); len(got) != 1 || got[0].Value.v != 1 {
		t.Errorf("up was %v", got)
	}
}

// buildFlaky builds the plugin below testdata and returns the folder that it is in.
func buildFlaky(t *testing.T, transport string) (plugins string) {
	t.Helper()
	work, plugins := t.TempDir(), t.TempDir()
	wantCommand(t, work, narthex, "plugin", "new", "flaky")
	source, err := os.ReadFile(filepath.Join("testdata", "flaky", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(work, "sd-flaky", "main.go"), string(source))
	args := []string{"plugin", "build", "sd-flaky", "-o", plugins}
	if transport == "process" {
		args = append(args, "--native")
	}
	wantCommand(t, work, narthex, args...)
	return plugins
}

// TestExporterKilled: an exporter's process that dies is started again; until then its target is down, and nothing else
// is.
func TestExporterKilled(t *testing.T) {
	t.Parallel()
	other := newRecorder(t)
	s := start(t, options{config: "scrape_configs:\n" + staticJob("other", "500ms", other.address) +
		"  - job_name: node\n    scrape_interval: 50ms\n    scrape_timeout: 50ms\n    exporters: [{plugin: exporter-node}]\n"})
	s.await(5*time.Second, `up{job="node"} == 1`)
	first, err := childNamed(t, s.cmd.Process.Pid, "exporter-node")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "another process runs", func() error {
		second, err := childNamed(t, s.cmd.Process.Pid, "exporter-node")
		if err == nil && second == first {
			err = fmt.Errorf("it is still process %d", first.pid)
		}
		return err
	})
	begin := time.Now()
	eventually(t, 10*time.Second, "it is scraped", func() error {
		if got := s.query(fmt.Sprintf(`timestamp(up{job="node"} == 1) > %s`, seconds(begin))); len(got) == 0 {
			return fmt.Errorf("up is %v", s.query("up"))
		}
		return nil
	})
	if p := s.plugin("exporter-node"); p.State != "ready" || p.Restarts != 1 || p.LastError == "" {
		t.Errorf("the plugin is listed as %+v", p)
	}
	if got := s.query(`min_over_time(up{job="other"}[5m])`); len(got) != 1 || got[0].Value.v != 1 {
		t.Errorf("up of the other job was %v", got)
	}
	// Down means a sample of 0, not silence: the pause before a restart is several intervals long.
	if got := s.query(`min_over_time(up{job="node"}[5m])`); len(got) != 1 || got[0].Value.v != 0 {
		t.Errorf("up was %v", got)
	}
}
