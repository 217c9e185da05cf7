package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/trust"
)

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// wantRefused checks that no guest starts, and that nothing of the plugin with that name ran.
func (b *bench) wantRefused(config Config, u Use, name string, parts ...string) {
	b.Helper()
	before, guests := len(b.probed), b.count()
	_, err := b.Prepare(context.Background(), config, []Use{u})
	if err == nil {
		b.Fatal("it is taken")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			b.Errorf("error %q lacks %q", err, part)
		}
	}
	if slices.Contains(b.probed[before:], name) || b.count() != guests {
		b.Errorf("%v were probed, %d guests started", b.probed[before:], b.count()-guests)
	}
}

func (b *bench) wantTaken(config Config, u Use) *Change {
	b.Helper()
	ch, err := b.Prepare(context.Background(), config, []Use{u})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(ch.Discard)
	return ch
}

func TestLockedPlugins(t *testing.T) {
	b := newBench(t)
	b.options.OnlyUsed = true
	a := on("a_sd_configs", "{}")
	lock, err := b.MakeLock(t.Context(), Config{Lock: &Lock{}}, []Use{a, a, on("exporter-x", "{}")})
	if err != nil {
		t.Fatal(err)
	}
	want := lockHeader + "\n" + lockNote + "\nexporter-x " + digest("x1") + "\nsd-a " + digest("a1") + " 1.0\n"
	if got := string(lock.Encode()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	config := Config{Lock: &lock}
	b.wantTaken(config, a).Discard()

	// What is not there is refused without being looked into, and what claims its key by another name too.
	other := Lock{{Name: "sd-b", SHA256: digest("b1")}}
	if err := os.RemoveAll(filepath.Join(b.dir, ".cache")); err != nil {
		t.Fatal(err)
	}
	b.wantRefused(Config{Lock: &other}, a, "sd-a", "p.yml:7: jobs[0].a_sd_configs: plugin sd-a (", "plugins.lock does not name it", "narthex plugin lock")
	b.wantRefused(Config{Lock: &Lock{}}, on("exporter-x", "{}"), "exporter-x", "plugin exporter-x (", "plugins.lock does not name it")

	// A changed file is refused, whatever it says about itself, and what runs goes on.
	b.write("sd-a.wasm", "a2")
	b.wantRefused(config, a, "sd-a", "plugin sd-a (", digest("a2"), "plugins.lock has "+digest("a1"), "put back version 1.0 or", "narthex plugin lock, and reload")
	both := append(Lock{{Name: "sd-a", SHA256: digest("a2"), Version: "2"}}, lock...)
	b.wantTaken(Config{Lock: &both}, a).Discard()

	// The config's own pin counts instead of the lock, in both directions.
	pin := func(content string) map[string]Settings {
		return map[string]Settings{"sd-a": {SHA256: digest(content)}}
	}
	b.wantTaken(Config{Lock: &lock, Settings: pin("a2")}, a).Discard()
	b.wantRefused(Config{Lock: &both, Settings: pin("a1")}, a, "sd-a", "plugins.settings.sd-a.sha256 pins")
	if _, err := b.MakeLock(t.Context(), Config{Settings: pin("a1")}, []Use{a}); err == nil || !strings.Contains(err.Error(), "pins") {
		t.Errorf("a lock against the pin: %v", err)
	}
	if _, err := b.MakeLock(t.Context(), Config{}, []Use{on("c_sd_configs", "{}")}); err == nil || !strings.Contains(err.Error(), "no plugin claims") {
		t.Errorf("a lock without the plugin: %v", err)
	}
}

func TestParseLock(t *testing.T) {
	good := func(text string, want Lock) {
		t.Helper()
		got, err := ParseLock([]byte(text))
		if err != nil || string(got.Encode()) != string(want.Encode()) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	bad := func(text, want string) {
		t.Helper()
		if _, err := ParseLock([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	d := digest("x")
	good(lockHeader, Lock{})
	good(lockHeader+"\n\n# a note\nb  "+strings.ToUpper(d)+"\t\na "+d+" 1.0 beta\r\n", Lock{{"a", d, "1.0 beta"}, {"b", d, ""}})
	bad("", "1: the file is empty")
	bad("# narthex plugins.lock v2\n", "1: the first line")
	bad("sd-a "+d+"\n", "1: the first line")
	bad(lockHeader+"\nsd-a\n", "2: ")
	bad(lockHeader+"\n\nsd-a sha256:"+d+"\n", "3: ")
	bad(lockHeader+"\n../a "+d+"\n", "2: ")
	bad(lockHeader+"\n"+strings.Repeat("x", 1<<17)+"\n", "2: ")
	if l, err := ReadLock(t.TempDir()); l != nil || err != nil {
		t.Errorf("no lock is %v, %v", l, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, LockName), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLock(dir); err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, LockName)+":1: ") {
		t.Errorf("error %v", err)
	}
}

func FuzzParseLock(f *testing.F) {
	f.Add([]byte(lockHeader + "\nsd-a " + digest("x") + " 1.0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lock, err := ParseLock(text)
		if err != nil {
			return
		}
		again, err := ParseLock(lock.Encode())
		if err != nil || string(again.Encode()) != string(lock.Encode()) {
			t.Errorf("%v becomes %v, %v", lock, again, err)
		}
	})
}

func TestRequiredSignatures(t *testing.T) {
	b := newBench(t)
	b.options.RequireSignature, b.options.OnlyUsed = true, true
	mine, secret, err := trust.Generate()
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := trust.Generate()
	if err != nil {
		t.Fatal(err)
	}
	sign := func(s trust.Secret, name, content string) {
		t.Helper()
		text, err := s.Sign([]byte(content), name, "by me", time.Now(), false)
		if err != nil {
			t.Fatal(err)
		}
		b.write(name+trust.Extension, string(text))
	}
	a, x, config := on("a_sd_configs", "{}"), on("exporter-x", "{}"), Config{TrustedKeys: []string{mine.String()}}
	b.wantRefused(Config{}, a, "sd-a", "no key is trusted", "plugins.trusted_keys", "--plugins.trusted-key")
	b.wantRefused(config, a, "sd-a", "plugin sd-a (", "it is not signed", "sd-a.wasm.minisig")
	b.wantRefused(config, x, "exporter-x", "plugin exporter-x (", "it is not signed")
	sign(foreign, "sd-a.wasm", "a1")
	b.wantRefused(config, a, "sd-a", "plugin sd-a (", foreign.Key().ID()+", which is not trusted", "plugins.trusted_keys")
	sign(secret, "sd-a.wasm", "a2")
	b.wantRefused(config, a, "sd-a", "plugin sd-a (", "changed after signing", "sign it again")
	b.write("sd-a.wasm"+trust.Extension, "nonsense")
	b.wantRefused(config, a, "sd-a", "plugin sd-a (", "no signature of minisign")
	sign(secret, "sd-a.wasm", "a1")
	sign(secret, "exporter-x", "x1")
	b.wantTaken(config, a).Apply()
	if s := b.info("sd-a").Signature; s.State != trust.StateTrusted || s.KeyID != mine.ID() || s.Comment != "by me" {
		t.Errorf("%+v", s)
	}
	b.wantTaken(config, x).Discard()

	// A key of the command line is as good, and one that is taken away counts no more.
	b.options.TrustedKeys = trust.Keys{mine}
	b.wantTaken(Config{}, x).Discard()
	b.options.TrustedKeys = trust.Keys{foreign.Key()}
	b.wantRefused(Config{}, x, "exporter-x", "not trusted")

	// Where none is required, signatures are shown.
	b.options.RequireSignature = false
	b.wantTaken(Config{}, x).Apply()
	if s := b.info("exporter-x").Signature; s.State != trust.StateUnknown || s.Problem == "" {
		t.Errorf("%+v", s)
	}
	b.write("exporter-x", "x2")
	b.wantTaken(config, x).Apply()
	if s := b.info("exporter-x").Signature; s.State != trust.StateWrong || !strings.Contains(b.log.String(), "signature of plugin is wrong") {
		t.Errorf("%+v\n%s", s, b.log)
	}
}
