package wasm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
)

// small is a module that ends at once.
func small() []byte {
	return []byte("\x00asm\x01\x00\x00\x00" + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06_start\x00\x00" +
		"\x0a\x04\x01\x02\x00\x0b")
}

// runs starts the small module with caches and returns what was logged: the places where it was compiled.
func runs(t *testing.T, caches ...wasm.Cache) string {
	t.Helper()
	var log bytes.Buffer
	r := wasm.New(wasm.Options{Caches: caches, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	i, err := r.Start(t.Context(), small(), wasm.StartOptions{Name: "small"})
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if _, err = i.Recv(t.Context()); session.ReasonOf(err) != session.ReasonExit {
		t.Errorf("it ended with %v", err)
	}
	_ = i.Close()
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return log.String()
}

const compiledHere = "compiling a module here"

// only returns the one file below a folder of the cache.
func only(t *testing.T, c wasm.Cache, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(c.Dir, pattern, "*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// TestDamagedCache: whatever has become of what was compiled, it is not executed, but made anew.
func TestDamagedCache(t *testing.T) {
	sum := sha256.Sum256(small())
	digest := hex.EncodeToString(sum[:])
	c := wasm.Cache{Dir: t.TempDir()}
	if log := runs(t, c); !strings.Contains(log, compiledHere) || !c.Has(digest, false) {
		t.Errorf("an empty cache: %s", log)
	}
	entry, receipt := only(t, c, "wazero-*"), only(t, c, "receipts-*")
	good, goodReceipt := read(t, entry), read(t, receipt)
	damages := map[string]func() error{
		"truncated": func() error { return os.Truncate(entry, int64(len(good)/2)) },
		"empty":     func() error { return os.Truncate(entry, 0) },
		"longer":    func() error { return os.WriteFile(entry, append(bytes.Clone(good), good...), 0o600) },
		"another architecture": func() error {
			return os.WriteFile(entry, []byte("\x7fELF\x02\x01\x01\x00 for another processor"), 0o600)
		},
		"gone":                     func() error { return os.Remove(entry) },
		"no receipt":               func() error { return os.Remove(receipt) },
		"empty receipt":            func() error { return os.Truncate(receipt, 0) },
		"half a receipt":           func() error { return os.Truncate(receipt, int64(len(goodReceipt)/2)) },
		"a receipt that leads out": func() error { return os.WriteFile(receipt, []byte("../../etc/passwd 0\n"), 0o600) },
	}
	for i := range good { // each bit that is not code tells wazero where it is, or how much of it to read
		damages["bit in byte "+string(rune('0'+i%8))+" of "+hex.EncodeToString([]byte{byte(i >> 8), byte(i)})] = func() error {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			return os.WriteFile(entry, bad, 0o600)
		}
	}
	for name, damage := range damages {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if c.Has(digest, false) {
			t.Errorf("%s: is taken for good", name)
		}
		if log := runs(t, c); !strings.Contains(log, compiledHere) || !c.Has(digest, false) {
			t.Errorf("%s: is not made anew: %s", name, log)
		}
		if log := runs(t, c); log != "" {
			t.Errorf("%s: after that %s", name, log)
		}
	}
}

// TestUnusableCache: a module starts whatever is wrong with the folders, and what one of them has is found.
func TestUnusableCache(t *testing.T) {
	good := wasm.Cache{Dir: t.TempDir()}
	runs(t, good)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs := t.TempDir()                           // others may write to it
	if err := os.Chmod(theirs, 0o777); err != nil { //nolint:gosec // on purpose
		t.Fatal(err)
	}
	blocked := wasm.Cache{Dir: t.TempDir()} // a folder is in the place of what is compiled, and holds something
	runs(t, blocked)
	entry := only(t, blocked, "wazero-*")
	if err := os.Remove(entry); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(entry, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	bad := []wasm.Cache{{Dir: file}, {Dir: filepath.Join(file, "below")}, blocked}
	if runtime.GOOS != "windows" {
		bad = append(bad, wasm.Cache{Dir: filepath.Join(theirs, "compiled"), Within: theirs})
	}
	if os.Geteuid() != 0 && runtime.GOOS != "windows" { // root writes where nobody may
		locked := t.TempDir()
		if err := os.Chmod(locked, 0o500); err != nil { //nolint:gosec // a folder has to be entered
			t.Fatal(err)
		}
		bad = append(bad, wasm.Cache{Dir: locked})
	}
	for _, c := range bad {
		if log := runs(t, c); !strings.Contains(log, "a compiled module cannot be kept") {
			t.Errorf("with %s alone: %s", c.Dir, log)
		}
		if log := runs(t, c, good); log != "" {
			t.Errorf("with %s and a good one: %s", c.Dir, log)
		}
		next := wasm.Cache{Dir: filepath.Join(t.TempDir(), "new")}
		if log := runs(t, c, next); !strings.Contains(log, compiledHere) {
			t.Errorf("with %s and an empty one: %s", c.Dir, log)
		}
		if log := runs(t, c, next); log != "" {
			t.Errorf("with %s and the one that was empty: %s", c.Dir, log)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	// What is ready in a folder where others may write is not executed.
	open := wasm.Cache{Dir: t.TempDir()}
	runs(t, open)
	for mode, trusted := range map[os.FileMode]bool{0o700: true, 0o770: true, 0o702: false, 0o777: false} {
		if err := os.Chmod(open.Dir, mode); err != nil {
			t.Fatal(err)
		}
		if log := runs(t, open); strings.Contains(log, compiledHere) == trusted {
			t.Errorf("with mode %v: %s", mode, log)
		}
	}
	if err := os.Chmod(open.Dir, 0o700); err != nil { //nolint:gosec // a folder has to be entered
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who alone can give something away
		if err := os.Chown(open.Dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if log := runs(t, open); !strings.Contains(log, compiledHere) {
			t.Error("code that another user has put there is executed")
		}
	}
}

// TestForeignCache: where others were first in a folder for temporary files, nothing is read, written or removed.
func TestForeignCache(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("users have folders for temporary files of their own there")
	}
	mkdir := func(path string, mode os.FileMode) {
		t.Helper()
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, plant := range map[string]func(within, victim string) error{
		"a link":               func(within, victim string) error { return os.Symlink(victim, within) },
		"a link to nothing":    func(within, victim string) error { return os.Symlink(filepath.Join(victim, "gone"), within) },
		"a file":               func(within, _ string) error { return os.WriteFile(within, nil, 0o600) },
		"a folder to write to": func(within, _ string) error { mkdir(within, 0o733); return nil },
		"a folder to read":     func(within, _ string) error { mkdir(within, 0o755); return nil },
		"another user's folder": func(within, _ string) error {
			if os.Geteuid() != 0 {
				return os.Symlink("/", within) // only root can give something away
			}
			mkdir(within, 0o700)
			return os.Chown(within, 65534, 65534)
		},
	} {
		base, victim := t.TempDir(), t.TempDir()
		within := filepath.Join(base, "narthex")
		if err := plant(within, victim); err != nil {
			t.Fatal(err)
		}
		c := wasm.Cache{Dir: filepath.Join(within, "compiled"), Within: within}
		log := runs(t, c)
		if !strings.Contains(log, compiledHere) || !strings.Contains(log, "a compiled module cannot be kept") {
			t.Errorf("%s: %s", name, log)
		}
		if err := c.Prune(time.Now().Add(time.Hour)); err == nil && name != "a link to nothing" {
			t.Errorf("%s: is pruned", name)
		}
		for _, dir := range []string{victim, within} {
			for _, made := range []string{"compiled", "gone"} {
				if exists(filepath.Join(dir, made)) {
					t.Errorf("%s: %s was made in %s", name, made, dir)
				}
			}
		}
	}
	base := t.TempDir()
	own := wasm.Cache{Dir: filepath.Join(base, "narthex", "compiled"), Within: filepath.Join(base, "narthex")}
	if log := runs(t, own); !strings.Contains(log, compiledHere) {
		t.Error(log)
	}
	if log := runs(t, own); log != "" {
		t.Errorf("the second time: %s", log)
	}
	nowhere := wasm.Cache{Dir: filepath.Join(base, "no", "narthex", "compiled"), Within: filepath.Join(base, "no", "narthex")}
	if runs(t, nowhere); exists(filepath.Join(base, "no")) {
		t.Error("a folder for temporary files was made")
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
