package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/author"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEndToEnd runs the plugin on real files, sandboxed and as a process.
func TestEndToEnd(t *testing.T) {
	for _, target := range []author.Target{author.TargetWasm, author.TargetNative} {
		t.Run(string(target), func(t *testing.T) { endToEnd(t, target) })
	}
}

func endToEnd(t *testing.T, target author.Target) {
	t.Helper()
	plugins, conf, cache := t.TempDir(), t.TempDir(), t.TempDir()
	if _, err := author.Build(t.Context(), ".", target, plugins, plugin.Options{CacheDir: cache}); err != nil {
		t.Fatal(err)
	}
	c, err := plugin.New(plugin.Options{Directories: []string{plugins}, CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	use := func(config string) []plugin.Use {
		return []plugin.Use{{Key: "file_sd_configs", Config: []byte(config), BaseDir: conf, Position: "p.yml:3: file_sd_configs[0]"}}
	}
	_, err = c.Prepare(t.Context(), plugin.Config{}, use(`{"files": ["targets.txt"]}`))
	if err == nil || !strings.Contains(err.Error(), "p.yml:3: file_sd_configs[0]: plugin sd-file: files[0]: ") {
		t.Errorf("a bad config: %v", err)
	}
	write(t, conf, "static.yml", "- targets: [s:1]\n  labels: {env: prod}\n")
	write(t, conf, "secret.json", `[{"targets": ["not-granted:1"]}]`)
	if err := os.Mkdir(filepath.Join(conf, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	// The refresh interval is too long to help: all changes arrive as events.
	ch, err := c.Prepare(t.Context(), plugin.Config{}, use(`{"files": ["static.yml", "d/*.json"], "refresh_interval": "1h"}`))
	if err != nil {
		t.Fatal(err)
	}
	ch.Apply()
	play(t, conf, sdktest.Follow(t, ch.Discovery(0)))
	info := c.Plugins()[0]
	if info.Name != "sd-file" || info.State != plugin.StateReady || info.LastGroups.IsZero() || len(info.Given.Files) != 2 {
		t.Errorf("%+v", info)
	}
	t.Logf("%s: %d KiB of memory", target, info.MemoryBytes>>10)
}

// play changes files and waits for the targets that follow.
func play(t *testing.T, conf string, s *sdktest.Followed) {
	t.Helper()
	file := filepath.Join(conf, "d", "a.json")
	if got := s.Wait("s:1")["s:1"]; got["env"] != "prod" || got["__meta_filepath"] != filepath.Join(conf, "static.yml") {
		t.Errorf("labels %v", got)
	}
	write(t, conf, "d/a.json", `[{"targets": ["a:1"]}, {"targets": ["a:2"]}]`) // add
	s.Wait("a:1", "a:2", "s:1")
	write(t, conf, "static.yml", "- targets: [s:2]\n") // edit
	s.Wait("a:1", "a:2", "s:2")
	write(t, conf, "new", `[{"targets": ["a:3"]}]`) // replace by a rename
	if err := os.Rename(filepath.Join(conf, "new"), file); err != nil {
		t.Fatal(err)
	}
	s.Wait("a:3", "s:2")
	write(t, conf, "d/b.json", `[{"targets": `) // broken: nothing comes of it
	write(t, conf, "d/c.json", `[{"targets": ["c:1"]}]`)
	s.Wait("a:3", "c:1", "s:2")
	if err := os.Remove(file); err != nil { // delete
		t.Fatal(err)
	}
	s.Wait("c:1", "s:2")
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
