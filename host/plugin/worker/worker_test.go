package worker_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/host/plugin/wasm"
	"github.com/narthex-io/narthex/host/plugin/worker"
	"github.com/narthex-io/narthex/sdk"
)

// guests are built once for the test binary.
var guests *runtimetest.Guests

// TestMain lets the test binary be the host's binary, and so the worker.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		worker.Main(os.Args[2:])
	}
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

// options are those of the kitchen guest, whose compiled code is kept for the test binary.
func options(tb testing.TB) worker.Options {
	tb.Helper()
	path := guests.Compiled(tb, runtimetest.Kitchen)
	code, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(code)
	return worker.Options{Path: path, SHA256: hex.EncodeToString(sum[:]), Name: "kitchen", Caches: []wasm.Cache{guests.Cache()}}
}

// own returns the test's binary.
func own(tb testing.TB) string {
	tb.Helper()
	binary, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return binary
}

// suite has workers of a binary.
func suite(tb testing.TB, binary string, o worker.Options) runtimetest.Suite {
	tb.Helper()
	return runtimetest.Suite{
		Killable: true,
		Start: func(tb testing.TB, stderr io.Writer) session.Transport {
			tb.Helper()
			c, err := worker.Start(tb.Context(), binary, o, stderr)
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = c.Close() })
			return c
		},
	}
}

// TestSuite: a guest in a worker can do what one inside the host can, and no more; an endless loop, which nothing in the worker
// interrupts, ends with the worker.
func TestSuite(t *testing.T) { runtimetest.Run(t, suite(t, guests.Host(t), options(t))) }

// TestRaces has a worker of the test's binary, and so with the race detector, answer calls side by side and stop.
func TestRaces(t *testing.T) {
	var stderr bytes.Buffer
	s := suite(t, own(t), options(t))
	start := s.Start
	s.Start = func(tb testing.TB, log io.Writer) session.Transport {
		tb.Helper()
		return start(tb, io.MultiWriter(log, &stderr))
	}
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo", Text: strings.Repeat("a 1\n", 1000)})
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for range 10 {
				if out, err := runtimetest.Collect(t, sess); err != nil || len(out) != 4000 {
					t.Errorf("%d bytes, %v", len(out), err)
				}
			}
		})
	}
	calls.Wait()
	if err := sess.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(stderr.String(), "DATA RACE") {
		t.Error(&stderr)
	}
}

// TestMemory: a guest that wants more than its limit ends by that name, though it ended in another process.
func TestMemory(t *testing.T) {
	s := suite(t, guests.Host(t), options(t))
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "oom"})
	if _, err := runtimetest.Collect(t, sess); session.ReasonOf(err) != session.ReasonMemory {
		t.Errorf("ended with %v", err)
	}
}

func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*worker.Options){
		"reload the config to use the new file": func(o *worker.Options) { o.SHA256 = strings.Repeat("0", 64) },
		"no such file":                          func(o *worker.Options) { o.Path += ".gone" },
	} {
		o := options(t)
		change(&o)
		s := suite(t, own(t), o)
		if _, err := s.TryOpen(t, sdk.KindExporter, kitchen.Config{Do: "echo"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// BenchmarkCall is the cost of a call with an empty answer.
func BenchmarkCall(b *testing.B) {
	s := suite(b, own(b), options(b))
	sess := s.Open(b, sdk.KindExporter, kitchen.Config{Do: "echo"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := runtimetest.Collect(b, sess); err != nil {
			b.Fatal(err)
		}
	}
}
