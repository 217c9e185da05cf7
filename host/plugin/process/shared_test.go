package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// together starts a process for several guests.
func together(tb testing.TB, o process.StartOptions) *process.Shared {
	tb.Helper()
	s, err := process.StartShared(tb.Context(), guests.Native(tb, runtimetest.Shared), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = s.Close()
		if alive(s.PID()) {
			tb.Errorf("process %d outlives its guests", s.PID())
		}
	})
	return s
}

// sharing is a suite whose guests are all in one process, for as long as that lives.
func sharing(tb testing.TB, o process.StartOptions) (runtimetest.Suite, func() *process.Shared) {
	tb.Helper()
	var mu sync.Mutex
	var current *process.Shared
	out := &latest{}
	o.Stderr = out
	process := func() *process.Shared {
		mu.Lock()
		defer mu.Unlock()
		if current == nil || current.Err() != nil {
			current = together(tb, o)
		}
		return current
	}
	return runtimetest.Suite{Start: func(tb testing.TB, stderr io.Writer) session.Transport {
		tb.Helper()
		out.set(stderr)
		stream, err := process().Open(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = stream.Close() })
		return stream
	}}, process
}

// latest passes on what a process writes to whom the last guest writes to.
type latest struct {
	mu sync.Mutex
	to io.Writer
}

func (l *latest) set(to io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = to
}

// Write implements io.Writer.
func (l *latest) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return len(p), nil
	}
	return l.to.Write(p)
}

// TestShared: a guest with siblings in its process is like any other.
func TestShared(t *testing.T) {
	s, process := sharing(t, process.StartOptions{})
	first := process().PID()
	runtimetest.Run(t, s)
	if process().PID() != first {
		t.Error("the guests did not stay in one process")
	}
	s.Killable = true // each fault may cost a process
	t.Run("faults", func(t *testing.T) { runtimetest.Run(t, s) })
}

// TestSiblings: what goes wrong with one guest is nothing to another, as long as the process can go on.
func TestSiblings(t *testing.T) {
	s, process := sharing(t, process.StartOptions{MessageBytes: 1 << 20})
	well := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo", Text: "well 1\n"})
	good := func() {
		t.Helper()
		if got, err := runtimetest.Collect(t, well); got != "well 1\n" || err != nil {
			t.Fatalf("the sibling answers %q, %v", got, err)
		}
	}
	good()
	if _, err := s.TryOpen(t, sdk.KindExporter, kitchen.Config{}); err == nil || !strings.Contains(err.Error(), "field do: missing") {
		t.Errorf("a bad config: %v", err)
	}
	good()
	giant := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "giant", Size: 2 << 20})
	_, _ = runtimetest.Collect(t, giant)
	<-giant.Done()
	if got := session.ReasonOf(giant.Err()); got != session.ReasonMessage {
		t.Errorf("a giant message ended its guest with %q: %v", got, giant.Err())
	}
	good()
	gone := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo"})
	if err := gone.Close(t.Context()); err != nil {
		t.Errorf("closing one of several: %v", err)
	}
	good()
	if got := process().PID(); got != well.Process() || got == 0 {
		t.Errorf("the process is %d, the guest says %d", got, well.Process())
	}
}

// TestHungSibling: a guest that does not let go is ended with the process, and the others learn that it was not they.
func TestHungSibling(t *testing.T) {
	s, process := sharing(t, process.StartOptions{})
	shared := process()
	well := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo"})
	hung := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "ignore-cancel"}, func(o *session.Options) { o.Limits.Grace = 10 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := hung.Exporter().Collect(ctx, io.Discard); err == nil {
		t.Error("a call that hangs was answered")
	}
	<-hung.Done()
	<-well.Done()
	if got := session.ReasonOf(hung.Err()); got != session.ReasonDeadline {
		t.Errorf("the hung guest ended with %q: %v", got, hung.Err())
	}
	if got := session.ReasonOf(well.Err()); got != session.ReasonSibling {
		t.Errorf("its sibling ended with %q: %v", got, well.Err())
	}
	if _, err := shared.Open(t.Context()); session.ReasonOf(err) != session.ReasonSibling {
		t.Errorf("a guest of a process that has ended: %v", err)
	}
}

// TestSharedEnds: when the process ends, all its guests do, and say why.
func TestSharedEnds(t *testing.T) {
	ends := func(name string, o process.StartOptions, reasons []session.Reason, how func(*testing.T, runtimetest.Suite, *process.Shared)) {
		t.Run(name, func(t *testing.T) {
			s, process := sharing(t, o)
			both := []*session.Session{
				s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo"}), s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo"}),
			}
			how(t, s, process())
			for _, g := range both {
				<-g.Done()
				got := session.ReasonOf(g.Err())
				if got != reasons[0] && got != reasons[len(reasons)-1] {
					t.Errorf("ended with %q, want %q: %v", got, reasons, g.Err())
				}
			}
		})
	}
	call := func(do string) func(*testing.T, runtimetest.Suite, *process.Shared) {
		return func(t *testing.T, s runtimetest.Suite, _ *process.Shared) {
			t.Helper()
			if _, err := runtimetest.Collect(t, s.Open(t, sdk.KindExporter, kitchen.Config{Do: do})); err == nil {
				t.Error("the call succeeded")
			}
		}
	}
	ends("exit", process.StartOptions{}, []session.Reason{session.ReasonExit}, call("exit"))
	ends("panic", process.StartOptions{}, []session.Reason{session.ReasonExit}, call("panic"))
	ends("memory", process.StartOptions{MemoryBytes: 64 << 20}, []session.Reason{session.ReasonMemory}, call("oom"))
	// Go's runtime turns the signal into an exit with a stack trace.
	ends("signal", process.StartOptions{}, []session.Reason{session.ReasonTrap, session.ReasonExit}, func(t *testing.T, _ runtimetest.Suite, p *process.Shared) {
		t.Helper()
		if err := syscall.Kill(p.PID(), syscall.SIGSEGV); err != nil {
			t.Fatal(err)
		}
	})
	ends("close", process.StartOptions{}, []session.Reason{session.ReasonClosed}, func(t *testing.T, _ runtimetest.Suite, p *process.Shared) {
		t.Helper()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSharedStopped: a process that a SIGSTOP keeps from answering is ended in time.
func TestSharedStopped(t *testing.T) {
	s, process := sharing(t, process.StartOptions{})
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "echo"})
	if err := syscall.Kill(process().PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for !stopped(t, process().PID()) { // its threads stop one after the other
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := sess.Close(ctx); session.ReasonOf(err) != session.ReasonDeadline {
		t.Errorf("Close = %v", err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("closing took %v", d)
	}
}

// stopped reports whether all threads of a process have stopped.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Skip("no /proc here:", err)
	}
	for _, path := range threads {
		if text, err := os.ReadFile(path); err == nil && !strings.Contains(string(text), ") T ") {
			return false
		}
	}
	return true
}

// TestNotShared: a plugin whose manifest does not say that it can be shared serves one stream.
func TestNotShared(t *testing.T) {
	s, err := process.StartShared(t.Context(), guests.Native(t, runtimetest.Kitchen), process.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	open := func() error {
		stream, err := s.Open(t.Context())
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = stream.Close() })
		_, err = stream.Recv(t.Context())
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "already serving") {
		t.Errorf("a second guest: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := process.StartShared(ctx, guests.Native(t, runtimetest.Shared), process.StartOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a start that nobody waits for: %v", err)
	}
}
