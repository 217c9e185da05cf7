package main_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/author"
	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// marker comes right before the fenced block in README.md.
const marker = "<!-- example: acme -->\n```go\n"

// TestREADME checks that README.md shows main.go: what readers copy is what the test below runs.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), marker)
	if !ok {
		t.Fatal("README.md does not show the example: a fenced block of Go right after its marker is missing")
	}
	block, _, _ := strings.Cut(rest, "```")
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\n") // README.md leaves the package's doc out
	if strings.TrimSpace(block) != strings.TrimSpace(code) {
		t.Errorf("the example in README.md differs from docs/examples/acme/main.go")
	}
}

// TestSwap builds the example, runs it through the catalogue, and replaces it by a second version.
func TestSwap(t *testing.T) {
	ctx, dir, cache := t.Context(), t.TempDir(), t.TempDir()
	built, err := author.Build(ctx, ".", author.TargetWasm, dir, plugin.Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	c, err := plugin.New(plugin.Options{Directories: []string{dir}, CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	uses := []plugin.Use{{Key: "acme_sd_configs", Config: []byte(`{"targets": ["a:1", "b:2"]}`), Position: "narthex.yml:4: scrape_configs[0].acme_sd_configs[0]"}}
	ch, err := c.Prepare(ctx, plugin.Config{}, uses)
	if err != nil {
		t.Fatal(err)
	}
	ch.Apply()
	first := ch.Discovery(0)
	stopFirst := wantTargets(t, first, "a:1", "b:2")
	defer stopFirst()

	replace(t, built.Path)
	ch, err = c.Prepare(ctx, plugin.Config{}, uses)
	if err != nil {
		t.Fatal(err)
	}
	ch.Apply()
	if ch.Discovery(0).Fingerprint() == first.Fingerprint() {
		t.Error("new bytes have the old fingerprint")
	}
	defer wantTargets(t, ch.Discovery(0), "second:1")()
	stopFirst()
}

// replace builds a second version of the plugin over the first.
func replace(t *testing.T, path string) {
	t.Helper()
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	second := strings.Replace(string(source), "Targets: a.Targets", `Targets: []string{"second:1"}`, 1)
	if second == string(source) {
		t.Fatal("main.go does not have the line that the second version changes")
	}
	work := filepath.Join(t.TempDir(), "second")
	if _, err := author.New(t.Context(), "acme", sdk.KindDiscovery, work); err != nil { // for its go.mod
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "main.go"), []byte(second), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := author.Build(t.Context(), work, author.TargetWasm, path, plugin.Options{CacheDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
}

// wantTargets runs d and checks its first update. The caller calls the result to stop it, any number of times.
func wantTargets(t *testing.T, d sdk.Discovery, want ...string) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	updates, ended := make(chan []sdk.Group), make(chan struct{})
	go func() {
		defer close(ended)
		_ = d.Run(ctx, updates) // ends with ctx's error
	}()
	if got := <-updates; len(got) != 1 || !slices.Equal(got[0].Targets, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	return func() {
		cancel()
		<-ended
	}
}
