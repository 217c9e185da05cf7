//go:build e2e && linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHotSwap is what the author of a discovery does: make a plugin from README's example, look at it, put it into the
// plugins directory, reload; then the same with a second version. A job that has nothing to do with it misses no scrape.
func TestHotSwap(t *testing.T) {
	t.Setenv("GOPROXY", "off") // What the module cache has must do.
	control, first, second := newRecorder(t), newRecorder(t), newRecorder(t)
	const interval = 400 * time.Millisecond
	work, plugins := t.TempDir(), t.TempDir()
	config := "scrape_configs:\n" + staticJob("control", "400ms", control.address)
	s := start(t, options{config: config, plugins: plugins})

	// narthex plugin new, build, list, inspect, run
	wantCommand(t, work, narthex, "plugin", "new", "acme")
	wantCommand(t, filepath.Join(work, "sd-acme"), "go", "test", "./...")
	example := readmeExample(t)
	write(t, filepath.Join(work, "sd-acme", "main.go"), example)
	if err := os.Remove(filepath.Join(work, "sd-acme", "main_test.go")); err != nil { // It tests what was replaced.
		t.Fatal(err)
	}
	built := wantCommand(t, work, narthex, "plugin", "build", "sd-acme", "-o", plugins)
	module := filepath.Join(plugins, "sd-acme.wasm")
	if !strings.HasPrefix(built, module+": sd-acme, ") {
		t.Errorf("plugin build prints %s", built)
	}
	wantListed(t, work, plugins)
	wantInspected(t, work, module)
	section := filepath.Join(work, "acme.yml")
	write(t, section, "targets: ['a:1', 'b:2']\n")
	var groups []struct {
		Source  string
		Targets []string
		Labels  map[string]string
	}
	out := wantCommand(t, work, narthex, "plugin", "run", "--once", "--config", section, module)
	if err := json.Unmarshal([]byte(out), &groups); err != nil {
		t.Fatalf("plugin run prints no JSON: %v: %s", err, out)
	}
	if len(groups) != 1 || !slices.Equal(groups[0].Targets, []string{"a:1", "b:2"}) || groups[0].Labels["__meta_acme"] != "yes" {
		t.Errorf("plugin run prints %s", out)
	}

	// Live after one reload, under its own key.
	control.awaitMore(t, 2)
	s.wantReload(config + fmt.Sprintf("  - job_name: apps\n    scrape_interval: 400ms\n    scrape_timeout: 400ms\n"+
		"    acme_sd_configs: [{targets: ['%s']}]\n", first.address))
	s.awaitInstances(5*time.Second, "apps", first.address)
	first.awaitMore(t, 2)

	// The second version is there after the next one.
	changed := strings.Replace(example, "Targets: a.Targets", fmt.Sprintf("Targets: append(a.Targets, %q)", second.address), 1)
	if changed == example {
		t.Fatal("the example does not have the line that the second version changes")
	}
	write(t, filepath.Join(work, "sd-acme", "main.go"), changed)
	wantCommand(t, work, narthex, "plugin", "build", "sd-acme", "-o", plugins)
	s.awaitInstances(5*time.Second, "apps", first.address)
	if status, body := s.reload(); status != 200 {
		t.Fatalf("reload answers %d %s", status, body)
	}
	s.awaitInstances(10*time.Second, "apps", first.address, second.address)
	second.awaitMore(t, 2)
	if p := s.plugin("sd-acme"); p.State != "ready" || p.Transport != "wasm" || p.LastError != "" {
		t.Errorf("the plugin is listed as %+v", p)
	}
	if got := s.query(`min_over_time(up[5m]) == 0`); len(got) > 0 {
		t.Errorf("scrapes failed: %v", got)
	}
	control.wantCadence(t, interval)
	first.wantCadence(t, interval)
}

// readmeExample is the program that README shows.
func readmeExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- example: acme -->\n```go\n")
	program, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md does not show the example")
	}
	return program
}

func wantListed(t *testing.T, dir, plugins string) {
	t.Helper()
	table := wantCommand(t, dir, narthex, "plugin", "list", "--plugins.directory", plugins)
	for _, row := range [][]string{
		{"NAME", "VERSION", "KINDS", "KEYS", "RUNS", "AS", "SIGNATURE", "FILE"},
		{"sd-acme", "discovery", "acme_sd_configs", "wasm", "unsigned", filepath.Join(plugins, "sd-acme.wasm")},
	} {
		if !slices.ContainsFunc(strings.Split(table, "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), row)
		}) {
			t.Errorf("plugin list lacks the row %q:\n%s", row, table)
		}
	}
	var infos []plugin
	if err := json.Unmarshal([]byte(wantCommand(t, dir, narthex, "plugin", "list", "--json", "--plugins.directory", plugins)), &infos); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sd-acme", "sd-file", "exporter-node"} {
		if !slices.ContainsFunc(infos, func(p plugin) bool { return p.Name == name && p.LastError == "" }) {
			t.Errorf("plugin list --json lacks %s: %v", name, infos)
		}
	}
}

func wantInspected(t *testing.T, dir, module string) {
	t.Helper()
	var found struct {
		Name, Digest string
		Keys         []string
	}
	out := wantCommand(t, dir, narthex, "plugin", "inspect", module)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("plugin inspect prints no JSON: %v: %s", err, out)
	}
	if found.Name != "sd-acme" || len(found.Digest) != 64 || !slices.Equal(found.Keys, []string{"acme_sd_configs"}) {
		t.Errorf("plugin inspect prints %s", out)
	}
}
