package wasm_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/sdk"
)

// guests are built once for the test binary.
var guests *runtimetest.Guests

func TestMain(m *testing.M) {
	var err error
	if guests, err = runtimetest.NewGuests(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = guests.Close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// newRuntime returns a runtime with the test binary's compilation cache.
func newRuntime(tb testing.TB) *wasm.Runtime {
	tb.Helper()
	r := wasm.New(wasm.Options{Caches: []wasm.Cache{guests.Cache()}})
	tb.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func suite(tb testing.TB, change ...func(*wasm.StartOptions)) runtimetest.Suite {
	tb.Helper()
	r, code := newRuntime(tb), read(tb, guests.Compiled(tb, runtimetest.Kitchen))
	if err := r.Compile(tb.Context(), code); err != nil {
		tb.Fatal(err)
	}
	return runtimetest.Suite{
		Killable: true,
		Start: func(tb testing.TB, stderr io.Writer) session.Transport {
			tb.Helper()
			o := wasm.StartOptions{Name: "kitchen", Stderr: stderr}
			for _, f := range change {
				f(&o)
			}
			i, err := r.Start(tb.Context(), code, o)
			if err != nil {
				tb.Fatal(err)
			}
			return i
		},
	}
}

func TestWasm(t *testing.T) { runtimetest.Run(t, suite(t)) }

func TestMemoryBomb(t *testing.T) {
	s := suite(t, func(o *wasm.StartOptions) { o.MemoryBytes = 24 << 20 })
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "oom"})
	if _, err := runtimetest.Collect(t, sess); err == nil {
		t.Error("a guest took more memory than it may have")
	}
	<-sess.Done()
	if got := session.ReasonOf(sess.Err()); got != session.ReasonMemory {
		t.Errorf("ended with %q: %v", got, sess.Err())
	}
	if n := sess.Stats().MemoryBytes; n != 0 {
		t.Errorf("%d bytes are held after the end", n)
	}
}

func TestGiantMessage(t *testing.T) {
	s := suite(t, func(o *wasm.StartOptions) { o.MessageBytes = 1 << 20 })
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "giant", Size: 2 << 20})
	if out, err := runtimetest.Collect(t, sess); err == nil {
		t.Errorf("%d bytes passed a limit of 1 MiB", len(out))
	}
}

func TestSandbox(t *testing.T) {
	s := suite(t)
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "environment"})
	out, err := runtimetest.Collect(t, sess)
	if err != nil || out != "env=0 args=[] host=\"wasip1\" recent=true\n" {
		t.Errorf("the guest sees %q, %v", out, err)
	}
	for _, path := range []string{"/etc/passwd", "/proc/self/environ", "/nx/../etc/passwd", "/nx/other"} {
		sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "open", Text: path})
		if _, err := runtimetest.Collect(t, sess); err == nil {
			t.Errorf("the guest can open %s", path)
		}
	}
}

func TestNotAPlugin(t *testing.T) {
	r := newRuntime(t)
	foreign := []byte("\x00asm\x01\x00\x00\x00" + "\x01\x04\x01\x60\x00\x00" + "\x02\x0a\x01\x04gojs\x01f\x00\x00")
	if _, err := r.Start(t.Context(), foreign, wasm.StartOptions{Name: "x"}); err == nil || !strings.Contains(err.Error(), "the module imports gojs.f, which this host does not have") {
		t.Errorf("a module for another host: %v", err)
	}
	if _, err := r.Start(t.Context(), []byte("\x7fELF"), wasm.StartOptions{Name: "x"}); err == nil || !strings.Contains(err.Error(), "start guest x: this is no wasm module") {
		t.Errorf("starting an ELF file: %v", err)
	}
	// A module without _start, and one that ends without a word.
	empty := []byte("\x00asm\x01\x00\x00\x00")
	i, err := r.Start(t.Context(), empty, wasm.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = session.Open(t.Context(), i, session.Options{})
	if session.ReasonOf(err) != session.ReasonProtocol {
		t.Errorf("a module without _start: %v", err)
	}
}

// TestGreedyModules wants more than a guest may have before it has run a single instruction.
func TestGreedyModules(t *testing.T) {
	r := newRuntime(t)
	refused := func(want string, sections ...byte) {
		t.Helper()
		code := append([]byte("\x00asm\x01\x00\x00\x00"), sections...)
		i, err := r.Start(t.Context(), code, wasm.StartOptions{Name: "x"})
		if err == nil {
			_ = i.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("% x: %v, want %q", sections, err, want)
		}
	}
	refused("bytes of memory to begin with", 5, 4, 1, 0, 0xd0, 0x0f)
	refused("a table of 4294967295 entries", 4, 8, 1, 0x70, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)
	refused("a table of 2097152 entries", 4, 11, 1, 0x70, 1, 0x80, 0x80, 0x80, 0x01, 0x80, 0x80, 0x80, 0x01)
	refused("truncated", 5, 4, 1)
	refused("truncated", 5, 1, 1)
	refused("truncated", 5)
	// (func (drop (table.grow 0 (ref.null func) (i32.const 1000000)))): needs reference types.
	refused("reference-types", 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 4, 4, 1, 0x70, 0, 0, 10, 14, 1, 12, 0,
		0xd0, 0x70, 0x41, 0xc0, 0x84, 0x3d, 0xfc, 0x0f, 0, 0x1a, 0x0b)
}

// TestTraps runs modules whose _start does nothing but one bad thing.
func TestTraps(t *testing.T) {
	r := newRuntime(t)
	patience := 10 * time.Second
	ends := func(reason session.Reason, detail string, body ...byte) {
		t.Helper()
		code := []byte("\x00asm\x01\x00\x00\x00" + // a type, a function of it, and its export
			"\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06_start\x00\x00")
		size := byte(len(body))
		code = append(append(code, 10, size+2, 1, size), body...)
		i, err := r.Start(t.Context(), code, wasm.StartOptions{Name: "x"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = session.Open(t.Context(), i, session.Options{Limits: session.Limits{StartTimeout: patience}})
		if session.ReasonOf(err) != reason || !strings.Contains(err.Error(), detail) {
			t.Errorf("% x: %v, want %s: %s", body, err, reason, detail)
		}
	}
	ends(session.ReasonTrap, "unreachable", 0, 0x00, 0x0b)
	ends(session.ReasonTrap, "stack overflow", 0, 0x10, 0x00, 0x0b)
	ends(session.ReasonExit, "exit status 0", 0, 0x0b)
	patience = 50 * time.Millisecond
	ends(session.ReasonDeadline, "not ready within 50ms", 0, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b)
}

// TestStartsAtOnce has one module loaded for several guests at the same time, and for files that differ in what is not executed.
func TestStartsAtOnce(t *testing.T) {
	r, code := newRuntime(t), read(t, guests.Compiled(t, runtimetest.Kitchen))
	other := append(bytes.Clone(code), 0, 2, 1, 'x') // a custom section
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			guest, err := r.Start(t.Context(), [][]byte{code, other}[i%2], wasm.StartOptions{Name: "kitchen", Stderr: io.Discard})
			if err != nil {
				t.Error(err)
				return
			}
			if m, err := session.Probe(t.Context(), guest, session.Limits{}); err != nil || m.Name != "kitchen" {
				t.Errorf("%q, %v", m.Name, err)
			}
		})
	}
	wait.Wait()
}
