package plugin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/internal/liar"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/sdk"
)

// TestLies has plugins say about themselves what is not true. Each is refused with its file's name and what to do, and harms no
// other plugin in the folder.
func TestLies(t *testing.T) {
	guests, err := runtimetest.NewGuests()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guests.Close() })
	module := guests.Compiled(t, "./host/plugin/internal/liar/cmd")
	catalogue := func(t *testing.T, names ...string) (*plugin.Catalogue, string) {
		t.Helper()
		dir := t.TempDir()
		for _, name := range names {
			if err := os.Link(module, filepath.Join(dir, name+".wasm")); err != nil {
				t.Fatal(err)
			}
		}
		// Manifests are kept by digest, and these files are all the same: they get a cache for code alone, where a file keeps
		// others out.
		own := t.TempDir()
		if err := os.Symlink(guests.Cache().Dir, filepath.Join(own, "compiled")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(own, "manifests-v3"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := plugin.New(plugin.Options{Directories: []string{dir}, CacheDir: own})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c, dir
	}
	lie := func(name string, parts ...string) {
		t.Run(name, func(t *testing.T) {
			c, dir := catalogue(t, name)
			key := strings.ReplaceAll(strings.TrimPrefix(name, "sd-"), "-", "_") + "_sd_configs"
			use := plugin.Use{Key: key, Position: "p.yml:1: x"}
			switch {
			case strings.HasPrefix(name, "auth-"):
				use = plugin.Use{Key: "basic_auth", Kind: sdk.KindAuthOutbound}
			case strings.HasPrefix(name, "exporter-"):
				use = plugin.Use{Plugin: name}
			}
			_, err := c.Prepare(t.Context(), plugin.Config{}, []plugin.Use{use})
			if err == nil {
				t.Fatalf("%.200s is taken", liar.Hello(name))
			}
			for _, part := range append(parts, filepath.Join(dir, name+".wasm")) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	lie("sd-other", "named sd-other, but its manifest says sd-another", "rename the file")
	lie("sd-future", "speaks ABI 2", "this server 1", "update the server")
	lie("sd-no-json", "is no JSON", "invalid character")
	lie("sd-list", "is no JSON")
	lie("sd-types", "is no JSON", "kinds")
	lie("sd-kindless", "names no kind")
	lie("sd-poet", `unknown kind "poet"`, "discovery")
	lie("sd-huge", "the limit is 65536")
	lie("sd-many", "claims the key", "twice")
	lie("sd-static", `"static_configs"`, "_sd_configs")
	lie("sd-relabel", `"relabel_configs"`, "_sd_configs")
	lie("auth-basic", `"basic_auth"`, "taken")
	lie("sd-kind", `"kind_sd_configs"`, "not of the kind discovery")
	lie("sd-twice", `claims the key "twice_sd_configs" twice`)
	lie("sd-version", "version", "one line")
	lie("exporter-type", "content_type")

	t.Run("beside others", func(t *testing.T) {
		c, dir := catalogue(t, "sd-static", "sd-future", "sd-poet", "sd-true")
		soon := plugin.Settings{Limits: plugin.Limits{StartTimeout: model.Duration(300 * time.Millisecond)}}
		config := plugin.Config{Settings: map[string]plugin.Settings{"sd-true": soon}}
		_, err := c.Prepare(t.Context(), config, []plugin.Use{{Key: "true_sd_configs"}})
		// It never says that it is ready, but it is found, and it alone.
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "sd-true.wasm")) || !strings.Contains(err.Error(), "not ready within") {
			t.Errorf("error %v", err)
		}
	})
}
