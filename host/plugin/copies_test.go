package plugin

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/kept"
	"github.com/narthex-io/narthex/sdk"
)

func TestCopies(t *testing.T) {
	cache, original := t.TempDir(), filepath.Join(t.TempDir(), "sd-a")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(original, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tr := newTransports(Options{CacheDir: cache, KeepCopies: true, Logger: slog.New(slog.DiscardHandler)})
	f := &file{name: "sd-a", path: original, digest: digest("one")}
	want := func(copied bool, content string) {
		t.Helper()
		path, err := tr.startable(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content || (path != original) != copied || filepath.Base(path) != "sd-a" {
			t.Errorf("%s with %q, %v", path, got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o100 == 0 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	write("one")
	want(true, "one")
	write("two") // What runs can be started again all the same.
	want(true, "one")
	if err := os.Remove(original); err != nil {
		t.Fatal(err)
	}
	want(true, "one")

	// A copy that somebody changed is made anew, or not used.
	path, err := tr.startable(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("evil"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("two")
	if _, err := tr.startable(f); err == nil || !strings.Contains(err.Error(), "changed since the config was loaded") {
		t.Errorf("error %v", err)
	}
	write("one")
	want(true, "one")

	// Copies that nobody starts go.
	old := time.Now().Add(-2 * kept.Life)
	if err := os.Chtimes(filepath.Dir(path), old, old); err != nil {
		t.Fatal(err)
	}
	f = &file{name: "sd-a", path: original, digest: digest("two")}
	write("two")
	want(true, "two")
	tr.prune(nil)
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("the old copy is still there: %v", err)
	}

	// Without a folder the file itself is started.
	tr.copies.dir = filepath.Join(original, "below-a-file")
	want(false, "two")
	tr.copies.dir = ""
	want(false, "two")
	write("three")
	if _, err := tr.startable(f); err == nil {
		t.Error("a changed file is started")
	}
}

// TestForeignFolders: what another user may have put into the cache is neither started nor believed.
func TestForeignFolders(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes there")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "sd-x")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	digest, err := digestOf(path)
	if err != nil {
		t.Fatal(err)
	}
	c, f := copies{dir: filepath.Join(dir, "files")}, &file{path: path, digest: digest}
	if _, err := c.of(f); err != nil {
		t.Fatal(err)
	}
	manifest := keptManifest(dir, digest)
	if err := writeManifest(manifest, sdk.Manifest{Name: "sd-x"}); err != nil {
		t.Fatal(err)
	}
	if m, err := readManifest(manifest); m.Name != "sd-x" || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	for _, folder := range []string{c.dir, filepath.Dir(manifest)} {
		if err := os.Chmod(folder, 0o777); err != nil { //nolint:gosec // on purpose
			t.Fatal(err)
		}
	}
	_, copyErr := c.of(f)
	_, readErr := readManifest(manifest)
	for _, err := range []error{copyErr, readErr, writeManifest(manifest, sdk.Manifest{})} {
		if err == nil || !strings.Contains(err.Error(), "anybody may write") {
			t.Errorf("error %v", err)
		}
	}
}
