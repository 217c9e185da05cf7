package plugin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

func TestPrepareRefuses(t *testing.T) {
	refuses := func(t *testing.T, b *bench, config Config, u Use, want ...string) {
		t.Helper()
		ch, err := b.Prepare(t.Context(), config, []Use{on("a_sd_configs", `1`), u})
		if err == nil {
			ch.Discard()
			t.Fatal("no error")
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not say %q", err, w)
			}
		}
		b.wantAlive()
	}
	t.Run("unclaimed key", func(t *testing.T) {
		b := newBench(t)
		b.write("sd-broken.wasm", "?")
		refuses(t, b, Config{}, on("zzz_sd_configs", `{}`), "p.yml:7: jobs[0].zzz_sd_configs: no plugin claims the key zzz_sd_configs",
			b.dir, "sd-broken.wasm cannot be loaded: not a plugin")
	})
	t.Run("unclaimed key without entries", func(t *testing.T) {
		refuses(t, newBench(t), Config{}, Use{Key: "zzz_sd_configs", Empty: true, Position: "p.yml:7: jobs[0].zzz_sd_configs"},
			"p.yml:7: jobs[0].zzz_sd_configs: no plugin claims the key zzz_sd_configs")
	})
	t.Run("claimed key without entries", func(t *testing.T) {
		b := newBench(t)
		ch, err := b.Prepare(t.Context(), Config{}, []Use{{Key: "a_sd_configs", Empty: true}})
		if err != nil {
			t.Fatal(err)
		}
		ch.Discard()
		b.wantAlive()
	})
	t.Run("key claimed twice", func(t *testing.T) {
		b := newBench(t)
		b.manifests["sd-c"] = sdk.Manifest{Name: "sd-c", Kinds: []sdk.Kind{sdk.KindDiscovery}, Keys: []string{"a_sd_configs"}}
		b.write("sd-c.wasm", "c")
		refuses(t, b, Config{}, on("a_sd_configs", `{}`), "p.yml:7: ", "claimed by sd-a (", "and by sd-c (")
	})
	t.Run("missing exporter", func(t *testing.T) {
		b := newBench(t)
		refuses(t, b, Config{}, on("exporter-y", `{}`), "jobs[0].exporter-y: there is no plugin exporter-y; searched ", b.dir)
	})
	t.Run("not executable", func(t *testing.T) {
		b := newBench(t)
		if err := os.WriteFile(filepath.Join(b.dir, "exporter-y"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, b, Config{}, on("exporter-y", `{}`), "plugin exporter-y", "not executable: chmod +x")
	})
	t.Run("not an exporter", func(t *testing.T) {
		refuses(t, newBench(t), Config{}, on("sd-a", `{}`), "plugin sd-a", "is of the kind discovery, not exporter")
	})
	t.Run("other name in the manifest", func(t *testing.T) {
		b := newBench(t)
		b.manifests["exporter-x"] = sdk.Manifest{Name: "exporter-z", Kinds: []sdk.Kind{sdk.KindExporter}}
		refuses(t, b, Config{}, on("exporter-x", `{}`), "named exporter-x", "says exporter-z")
	})
	t.Run("config", func(t *testing.T) {
		b := newBench(t)
		b.setRefusal("sd-b", &session.ConfigError{Plugin: "sd-b", Message: "field server: missing"})
		refuses(t, b, Config{}, on("b_sd_configs", `{}`), "p.yml:7: jobs[0].b_sd_configs: plugin sd-b: field server: missing")
	})
	t.Run("start", func(t *testing.T) {
		b := newBench(t)
		b.setRefusal("sd-b", errors.New("out of memory"))
		refuses(t, b, Config{}, on("b_sd_configs", `{}`), "p.yml:7: jobs[0].b_sd_configs: out of memory", "sd-b.wasm")
	})
	t.Run("HTTP fields without HTTP", func(t *testing.T) {
		u := on("a_sd_configs", `{}`)
		u.HTTPFields = []string{"tls_config"}
		refuses(t, newBench(t), Config{}, u, "field tls_config: plugin sd-a makes no HTTP requests")
	})
	t.Run("missing directory", func(t *testing.T) {
		refuses(t, newBench(t), Config{Directory: "/does/not/exist"}, on("b_sd_configs", `{}`), "search for plugins", "/does/not/exist")
	})
	t.Run("settings", func(t *testing.T) {
		refuses(t, newBench(t), Config{Settings: map[string]Settings{"sd-a": {SHA256: "abc"}}}, on("b_sd_configs", `{}`), "settings.sd-a.sha256")
	})
}

func TestPinnedFileIsNotEvenProbed(t *testing.T) {
	b := newBench(t)
	pins := Config{Settings: map[string]Settings{"sd-b": {SHA256: strings.Repeat("ab", 32)}}}
	_, err := b.Prepare(t.Context(), pins, []Use{on("b_sd_configs", `{}`)})
	if err == nil || !strings.Contains(err.Error(), "plugins.settings.sd-b.sha256 pins abab") {
		t.Errorf("error %v", err)
	}
	if b.probes != 2 {
		t.Errorf("%d files were probed, want the other 2", b.probes)
	}
	digest, err := digestOf(b.dir + "/sd-b.wasm")
	if err != nil {
		t.Fatal(err)
	}
	pins.Settings["sd-b"] = Settings{SHA256: strings.ToUpper(digest)}
	ch, err := b.Prepare(t.Context(), pins, []Use{on("b_sd_configs", `{}`)})
	if err != nil {
		t.Fatal(err)
	}
	ch.Discard()
}

func TestUnusedFilesDoNoHarm(t *testing.T) {
	b := newBench(t)
	b.write("sd-broken.wasm", "?")
	b.write("ls", "an executable that is no plugin")
	b.write("sd-a", "of the same name")
	b.write(".hidden.wasm", "")
	b.apply(on("a_sd_configs", `1`))
	if i := b.info("sd-broken"); i.State != StateFailed || !strings.Contains(i.LastError, "not a plugin") {
		t.Errorf("%+v", i)
	}
	if i := b.info("sd-b"); i.State != StateUnused || i.Keys[0] != "b_sd_configs" {
		t.Errorf("%+v", i)
	}
	if i := b.info("sd-a"); i.State != StateReady || i.Transport != TransportWasm || i.Version != "1.0" || len(i.Uses) != 1 {
		t.Errorf("%+v", i)
	}
	if n := len(b.Plugins()); n != 4 {
		t.Errorf("%d plugins: %+v", n, b.Plugins())
	}
	for _, want := range []string{"plugin=sd-broken", "plugin file is ignored"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("no %q in the log: %s", want, b.log)
		}
	}
	b.wantAlive("sd-a1") // only what is used runs
}

func TestNativeNameWithoutPrefixHasToBeNamed(t *testing.T) {
	b := newBench(t)
	b.manifests["mine"] = sdk.Manifest{Name: "mine", Kinds: []sdk.Kind{sdk.KindExporter}}
	b.write("mine", "x")
	b.apply(on("mine", `1`))
	b.wantAlive("mine1")
}

func TestManifestsAreKept(t *testing.T) {
	b := newBench(t)
	b.apply(on("a_sd_configs", `1`))
	b.apply(on("a_sd_configs", `2`))
	if b.probes != 3 {
		t.Errorf("%d probes for 3 files", b.probes)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.apply(on("a_sd_configs", `1`))
	if b.probes != 3 {
		t.Errorf("a second catalogue probed again: %d", b.probes)
	}
	b.write("sd-a.wasm", "a2")
	b.apply(on("a_sd_configs", `1`))
	if b.probes != 4 {
		t.Errorf("%d probes after a file changed, want 4", b.probes)
	}
}

func TestOneChangeAtATime(t *testing.T) {
	b := newBench(t)
	ch := b.prepare(on("a_sd_configs", `1`))
	if _, err := b.Prepare(t.Context(), Config{}, nil); err == nil {
		t.Error("a second change was prepared")
	}
	ch.Discard()
	ch.Apply() // does nothing any more
	b.wantAlive()
	b.apply(on("a_sd_configs", `1`))
	b.wantAlive("sd-a1")
}

func TestIdenticalUsesShareAGuest(t *testing.T) {
	b := newBench(t)
	ch := b.apply(on("a_sd_configs", `1`), on("exporter-x", `2`), on("a_sd_configs", `1`), on("a_sd_configs", `3`))
	b.wantAlive("exporter-x2", "sd-a1", "sd-a3")
	if ch.Discovery(0) != ch.Discovery(2) || ch.Discovery(0).Fingerprint() == ch.Discovery(3).Fingerprint() {
		t.Error("wrong discoveries are shared")
	}
	if ch.Discovery(1) != nil || ch.Exporter(0) != nil || ch.Exporter(1) == nil {
		t.Error("a use has the wrong kind")
	}
	if x, ok := b.Exporter("exporter-x"); !ok || x != ch.Exporter(1) {
		t.Error("the exporter is not found by name")
	}
	if _, ok := b.Exporter("sd-a"); ok {
		t.Error("a discovery is found as an exporter")
	}
}

func TestClosedCatalogueRefuses(t *testing.T) {
	b := newBench(t)
	ch := b.apply(on("a_sd_configs", `1`), on("exporter-x", `1`))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Prepare(t.Context(), Config{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Prepare: %v", err)
	}
	if err := ch.Discovery(0).Run(context.Background(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Run: %v", err)
	}
	if err := ch.Exporter(1).Collect(t.Context(), &lines{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Collect: %v", err)
	}
}

// TestOnlyUsed: files under other names than the convention's are read only when a key is claimed by nobody else.
func TestOnlyUsed(t *testing.T) {
	b := newBench(t)
	b.options.OnlyUsed = true
	b.write("sd-b.wasm", "\x00asm b")
	b.write("sd-c.wasm", "no module")
	b.apply(on("a_sd_configs", `1`))
	if b.probes != 1 {
		t.Errorf("%d files were read, want one", b.probes)
	}
	if i := b.info("sd-b"); i.State != StateUnused || len(i.Keys) != 0 {
		t.Errorf("%+v", i)
	}
	if i := b.info("sd-c"); i.State != StateFailed {
		t.Errorf("a file that is no module: %+v", i)
	}
	_, err := b.Prepare(t.Context(), Config{}, []Use{on("nobody_sd_configs", `{}`)})
	if err == nil || !strings.Contains(err.Error(), "found a_sd_configs, b_sd_configs") {
		t.Errorf("all are read to say which keys there are: %v", err)
	}
	b.apply(on("a_sd_configs", `1`))
	if i := b.info("sd-b"); len(i.Keys) != 1 {
		t.Errorf("a manifest that is known is shown: %+v", i)
	}
}

// TestRefusedChange shows why what was asked for did not come into force, until something does.
func TestRefusedChange(t *testing.T) {
	b := newBench(t)
	b.apply(on("a_sd_configs", `1`), on("exporter-x", `2`))
	fails := func(plugin, want string) {
		t.Helper()
		if _, err := b.Prepare(t.Context(), Config{}, []Use{on("a_sd_configs", `1`), on("exporter-x", `2`)}); err == nil {
			t.Fatal("no error")
		}
		for _, name := range []string{"sd-a", "exporter-x"} {
			i := b.info(name)
			if name == plugin && !strings.Contains(i.RefusedChange, want) || name != plugin && i.RefusedChange != "" {
				t.Errorf("%s: %q", name, i.RefusedChange)
			}
			if i.State != StateReady || i.LastError != "" {
				t.Errorf("%s: %s, %s", name, i.State, i.LastError)
			}
		}
		b.wantAlive("exporter-x2", "sd-a1")
	}
	b.write("exporter-x", "x2")
	b.setRefusal("exporter-x", errors.New("out of memory"))
	fails("exporter-x", "out of memory")
	b.setRefusal("exporter-x", nil)
	b.write("sd-a.wasm", "a2")
	b.manifests["sd-a"] = sdk.Manifest{Name: "sd-z", Kinds: []sdk.Kind{sdk.KindDiscovery}}
	fails("sd-a", "its manifest says sd-z")
	b.write("sd-a.wasm", "a1")
	ch := b.prepare(on("a_sd_configs", `1`), on("exporter-x", `2`))
	if got := ch.Started(); len(got) != 1 || got[0] != "exporter-x" {
		t.Errorf("started %v", got)
	}
	ch.Apply()
	for _, name := range []string{"sd-a", "exporter-x"} {
		if i := b.info(name); i.RefusedChange != "" {
			t.Errorf("%s: %q", name, i.RefusedChange)
		}
	}
}
