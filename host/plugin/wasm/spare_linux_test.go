package wasm_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/sdk"
)

// TestCodeIsInAFile finds compiled code as the pages of a file, and so notices when an update of wazero hides it.
func TestCodeIsInAFile(t *testing.T) {
	cache := t.TempDir()
	code := read(t, guests.Wasm(t, runtimetest.Kitchen))
	run := func() {
		t.Helper()
		r := wasm.New(wasm.Options{Caches: []wasm.Cache{{Dir: cache}}})
		s := runtimetest.Suite{Start: func(tb testing.TB, _ io.Writer) session.Transport {
			tb.Helper()
			i, err := r.Start(tb.Context(), code, wasm.StartOptions{Name: "kitchen"})
			if err != nil {
				tb.Fatal(err)
			}
			return i
		}}
		for range 2 {
			sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo", Text: "a 1\n"})
			if out, err := runtimetest.Collect(t, sess); out != "a 1\n" || err != nil {
				t.Errorf("%q, %v", out, err)
			}
			maps, err := os.ReadFile("/proc/self/maps")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(maps), cache) {
				t.Error("compiled code is in memory of its own")
			}
			if err := sess.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	run()
	files, err := filepath.Glob(filepath.Join(cache, "code-v1", "*-checked"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	run()
	// A damaged file is written anew, and not executed.
	for _, content := range []string{"short", strings.Repeat("\x00", len(read(t, files[0])))} {
		if err := os.Remove(files[0]); err != nil { // and not written over what may still be mapped
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		run()
		if again := read(t, files[0]); len(again) < 1<<20 || strings.HasPrefix(string(again), content) {
			t.Error("the damaged file is still there")
		}
	}
	// Without a place for the file, code stays where it is.
	if err := os.RemoveAll(filepath.Join(cache, "code-v1")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cache, "code-v1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := wasm.New(wasm.Options{Caches: []wasm.Cache{{Dir: cache}}})
	i, err := r.Start(t.Context(), code, wasm.StartOptions{Name: "kitchen"})
	if err != nil {
		t.Fatal(err)
	}
	_ = i.Close()
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
