package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/author"
	"github.com/narthex-io/narthex/sdk"
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
	if _, err := author.Build(t.Context(), ".", target, plugins, cache); err != nil {
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
	s := follow(t, ch.Discovery(0))
	defer s.stop()
	play(t, conf, s)
	info := c.Plugins()[0]
	if info.Name != "sd-file" || info.State != plugin.StateReady || info.LastGroups.IsZero() || len(info.Given.Files) != 2 {
		t.Errorf("%+v", info)
	}
	t.Logf("%s: %d KiB of memory", target, info.MemoryBytes>>10)
}

// play changes files and waits for the targets that follow.
func play(t *testing.T, conf string, s *state) {
	t.Helper()
	file := filepath.Join(conf, "d", "a.json")
	s.wait("s:1")
	if got := s.labels("s:1"); got["env"] != "prod" || got["__meta_filepath"] != filepath.Join(conf, "static.yml") {
		t.Errorf("labels %v", got)
	}
	write(t, conf, "d/a.json", `[{"targets": ["a:1"]}, {"targets": ["a:2"]}]`) // add
	s.wait("a:1", "a:2", "s:1")
	write(t, conf, "static.yml", "- targets: [s:2]\n") // edit
	s.wait("a:1", "a:2", "s:2")
	write(t, conf, "new", `[{"targets": ["a:3"]}]`) // replace by a rename
	if err := os.Rename(filepath.Join(conf, "new"), file); err != nil {
		t.Fatal(err)
	}
	s.wait("a:3", "s:2")
	write(t, conf, "d/b.json", `[{"targets": `) // broken: nothing comes of it
	write(t, conf, "d/c.json", `[{"targets": ["c:1"]}]`)
	s.wait("a:3", "c:1", "s:2")
	if err := os.Remove(file); err != nil { // delete
		t.Fatal(err)
	}
	s.wait("c:1", "s:2")
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// state is what a discovery has found.
type state struct {
	*testing.T
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each update
	sources map[string][]sdk.Group
}

func follow(t *testing.T, d sdk.Discovery) *state {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &state{T: t, cancel: cancel, changed: make(chan struct{}), sources: map[string][]sdk.Group{}}
	updates := make(chan []sdk.Group)
	s.work.Go(func() {
		defer close(updates)
		_ = d.Run(ctx, updates) // ends with ctx's error
	})
	s.work.Go(func() {
		for groups := range updates {
			s.take(groups)
		}
	})
	return s
}

func (s *state) stop() {
	s.cancel()
	s.work.Wait()
}

func (s *state) take(groups []sdk.Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range groups {
		delete(s.sources, g.Source)
	}
	for _, g := range groups {
		s.sources[g.Source] = append(s.sources[g.Source], g)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *state) targets() ([]string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []string{}
	for _, groups := range s.sources {
		for _, g := range groups {
			list = append(list, g.Targets...)
		}
	}
	slices.Sort(list)
	return list, s.changed
}

func (s *state) labels(target string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, groups := range s.sources {
		for _, g := range groups {
			if slices.Contains(g.Targets, target) {
				return g.Labels
			}
		}
	}
	return nil
}

// wait waits until exactly the targets want are known.
func (s *state) wait(want ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	for {
		got, changed := s.targets()
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.Fatalf("targets are %v, want %v", got, want)
		}
	}
}
