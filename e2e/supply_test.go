//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// versions builds two versions of a discovery, which find the targets of their configuration and, the second one, another.
func versions(t *testing.T, second string) (one, two []byte) {
	t.Helper()
	t.Setenv("GOPROXY", "off") // What the module cache has must do.
	work := t.TempDir()
	wantCommand(t, work, narthex, "plugin", "new", "acme")
	dir := filepath.Join(work, "sd-acme")
	if err := os.Remove(filepath.Join(dir, "main_test.go")); err != nil {
		t.Fatal(err)
	}
	build := func(program string) []byte {
		t.Helper()
		write(t, filepath.Join(dir, "main.go"), program)
		wantCommand(t, work, narthex, "plugin", "build", "sd-acme")
		module, err := os.ReadFile(filepath.Join(dir, "sd-acme.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		return module
	}
	example := readmeExample(t)
	changed := strings.Replace(example, "Targets: a.Targets", fmt.Sprintf("Targets: append(a.Targets, %q)", second), 1)
	return build(example), build(changed)
}

func acmeJob(address string) string {
	return fmt.Sprintf("  - job_name: apps\n    scrape_interval: 400ms\n    scrape_timeout: 400ms\n    acme_sd_configs: [{targets: ['%s']}]\n", address)
}

// TestPluginsWatch exchanges a plugin by writing its file, in every way that people do: slowly, broken, whole, by renaming, and
// by taking it away. What runs goes on until something better does.
func TestPluginsWatch(t *testing.T) {
	const interval = 400 * time.Millisecond
	control, first, second := newRecorder(t), newRecorder(t), newRecorder(t)
	one, two := versions(t, second.address)
	plugins := t.TempDir()
	module := filepath.Join(plugins, "sd-acme.wasm")
	write(t, module, string(one))
	config := "scrape_configs:\n" + staticJob("control", "400ms", control.address) + acmeJob(first.address)
	s := start(t, options{config: config, plugins: plugins, args: []string{"--plugins.watch"}})
	s.awaitInstances(10*time.Second, "apps", first.address)
	digest := s.plugin("sd-acme").Digest
	awaitDigest := func(changes bool) {
		t.Helper()
		eventually(t, 20*time.Second, "the plugin is exchanged", func() error {
			p := s.plugin("sd-acme")
			if p.State != "ready" || p.RefusedChange != "" || (p.Digest != digest) != changes {
				return fmt.Errorf("it is %+v", p)
			}
			return nil
		})
	}

	// Half of a file is no plugin: it is looked at, refused with a reason, and what runs goes on.
	f, err := os.Create(module)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(two[:len(two)/2]); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the half is refused", func() error {
		if p := s.plugin("sd-acme"); !strings.Contains(p.RefusedChange, "sd-acme.wasm") || p.State != "ready" || p.Digest != digest {
			return fmt.Errorf("it is %+v", p)
		}
		return nil
	})
	if v, _ := s.metric("narthex_plugin_last_exchange_successful", ""); v != 0 {
		t.Errorf("the metric says %v", v)
	}
	if !strings.Contains(s.output(), "changed plugins not put in force") {
		t.Error("the log does not say so")
	}
	first.awaitMore(t, 2)
	if _, err := f.Write(two[len(two)/2:]); err != nil {
		t.Fatal(err)
	}
	awaitDigest(true)
	s.awaitInstances(10*time.Second, "apps", first.address, second.address)
	if v, _ := s.metric("narthex_plugin_last_exchange_successful", ""); v != 1 {
		t.Errorf("the metric says %v", v)
	}

	// A file that is not there is refused, and the old one comes back by renaming.
	if err := os.Remove(module); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "that it is gone is refused", func() error {
		if p := s.plugin("sd-acme"); p.RefusedChange == "" {
			return fmt.Errorf("it is %+v", p)
		}
		return nil
	})
	second.awaitMore(t, 2)
	replace(t, module, string(one))
	awaitDigest(false)
	s.awaitInstances(10*time.Second, "apps", first.address)

	// A lock counts from the moment that it is there, for what comes then.
	locked := wantCommand(t, s.dir, narthex, "plugin", "lock", "--config.file=narthex.yml", "--plugins.directory="+plugins)
	if !strings.Contains(locked, "+ sd-acme "+digest) {
		t.Errorf("plugin lock prints %s", locked)
	}
	replace(t, module, string(two))
	eventually(t, 20*time.Second, "what is not locked is refused", func() error {
		if p := s.plugin("sd-acme"); !strings.Contains(p.RefusedChange, "plugins.lock has "+digest) || p.State != "ready" {
			return fmt.Errorf("it is %+v", p)
		}
		return nil
	})
	if status, body := s.reload(); status != http.StatusInternalServerError || !strings.Contains(body, "plugins.lock has "+digest) {
		t.Errorf("a reload answers %d %s", status, body)
	}
	wantCommand(t, s.dir, narthex, "plugin", "lock", "--config.file=narthex.yml", "--plugins.directory="+plugins)
	awaitDigest(true)
	s.awaitInstances(10*time.Second, "apps", first.address, second.address)

	// A plugin that the configuration does not use is not loaded, and one that it uses no more is unloaded.
	write(t, filepath.Join(plugins, "sd-other.wasm"), string(one))
	s.wantReload("scrape_configs:\n" + staticJob("control", "400ms", control.address))
	eventually(t, 20*time.Second, "the plugin is unloaded", func() error {
		if p := s.plugin("sd-acme"); p.State != "unused" && p.State != "failed" || p.MemoryBytes > 0 || len(p.Uses) > 0 {
			return fmt.Errorf("it is %+v", p)
		}
		return nil
	})
	control.wantCadence(t, interval)
	if got := s.query(`min_over_time(up[5m]) == 0`); len(got) > 0 {
		t.Errorf("scrapes failed: %v", got)
	}
}

// TestNativePluginOverwritten overwrites the executable of a plugin that runs, which the system refuses for what it executes.
func TestNativePluginOverwritten(t *testing.T) {
	plugins := t.TempDir()
	original, err := os.ReadFile(filepath.Join(root, "bin", "plugins", "exporter-node"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(plugins, "exporter-node")
	if err := os.WriteFile(path, original, 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, options{plugins: plugins, args: []string{"--plugins.watch"}, config: "scrape_configs:\n" +
		"  - job_name: node\n    scrape_interval: 400ms\n    scrape_timeout: 400ms\n    exporters: [{plugin: exporter-node, config: {collectors: [loadavg]}}]\n"})
	eventually(t, 10*time.Second, "the exporter is scraped", func() error {
		if got := s.query(`up{job="node"} == 1`); len(got) != 1 {
			return fmt.Errorf("up is %v", got)
		}
		return nil
	})
	digest := s.plugin("exporter-node").Digest
	if err := os.WriteFile(path, append(original, 0), 0o755); err != nil { // In place; what comes after an ELF file's end does not count.
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the plugin is exchanged", func() error {
		if p := s.plugin("exporter-node"); p.Digest == digest || p.State != "ready" {
			return fmt.Errorf("it is %+v", p)
		}
		return nil
	})
	eventually(t, 15*time.Second, "the old process ends", func() error {
		if n := len(children(t, s.cmd.Process.Pid)); n != 1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	if got := s.query(`min_over_time(up[5m]) == 0`); len(got) > 0 {
		t.Errorf("scrapes failed: %v", got)
	}
}

// TestSignedPlugins signs a plugin with our own tool and with minisign, and starts servers that want signatures.
func TestSignedPlugins(t *testing.T) {
	target := newRecorder(t)
	one, two := versions(t, "127.0.0.1:1")
	work, plugins := t.TempDir(), t.TempDir()
	module := filepath.Join(plugins, "sd-acme.wasm")
	write(t, module, string(one))
	key := filepath.Join(work, "narthex.pub")
	wantCommand(t, work, narthex, "plugin", "keygen", "--no-password")
	config := filepath.Join(work, "narthex.yml")
	write(t, config, "scrape_configs:\n"+acmeJob(target.address))
	refused := func(want string, args ...string) {
		t.Helper()
		out, stderr, code := command(t, work, "", narthex, append([]string{"check", "config", config, "--plugins.directory=" + plugins}, args...)...)
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("check config %v: exit code %d, %s%s, want %q", args, code, out, stderr, want)
		}
	}
	refused("no key is trusted", "--plugins.require-signature")
	refused("plugin sd-acme ("+module+") for the key acme_sd_configs: it is not signed", "--plugins.require-signature", "--plugins.trusted-key="+key)
	wantCommand(t, work, narthex, "plugin", "sign", module, "--comment", "version 1")
	if out := wantCommand(t, work, narthex, "plugin", "verify", module); !strings.Contains(out, "version 1") {
		t.Errorf("plugin verify prints %s", out)
	}
	trust := []string{"--plugins.require-signature", "--plugins.trusted-key=" + key}
	s := start(t, options{dir: work, plugins: plugins, args: trust})
	s.awaitInstances(10*time.Second, "apps", target.address)
	if p := s.plugin("sd-acme"); p.Signature.State != "trusted" || p.Signature.Comment != "version 1" || p.Signature.KeyID == "" {
		t.Errorf("the plugin is listed as %+v", p)
	}
	write(t, module, string(two))
	refused("changed after signing", trust...)
	if status, body := s.reload(); status != http.StatusInternalServerError || !strings.Contains(body, "changed after signing") {
		t.Errorf("a reload answers %d %s", status, body)
	}
	target.awaitMore(t, 2)
	if out := wantCommand(t, work, narthex, "plugin", "list", "--plugins.directory="+plugins, trust[1]); !strings.Contains(out, "wrong") {
		t.Errorf("plugin list prints %s", out)
	}

	// minisign's keys, with a password, and its signatures.
	minisign := component(t, "minisign", "minisign")
	const password = "open sesame\n"
	if _, stderr, code := command(t, work, password+password, minisign, "-G", "-p", "its.pub", "-s", "its.key"); code != 0 {
		t.Fatal(stderr)
	}
	for _, signer := range [][]string{{minisign, "-S", "-s", "its.key", "-m", module}, {narthex, "plugin", "sign", "-s", "its.key", module}} {
		if _, stderr, code := command(t, work, password, signer[0], signer[1:]...); code != 0 {
			t.Fatalf("%v: %s", signer, stderr)
		}
		wantCommand(t, work, minisign, "-V", "-p", "its.pub", "-m", module)
		wantCommand(t, work, narthex, "plugin", "verify", "-p", "its.pub", module)
		refused("which is not trusted", trust...)
	}
	if _, stderr, code := command(t, work, "close sesame\n", narthex, "plugin", "sign", "-s", "its.key", module); code != 1 || !strings.Contains(stderr, "wrong password") {
		t.Errorf("sign with a wrong password: exit code %d, %s", code, stderr)
	}
	wantCommand(t, work, narthex, "check", "config", config, "--plugins.directory="+plugins, trust[0], "--plugins.trusted-key=its.pub")
}
