package process_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/plugin/internal/kitchen"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/process"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// guests are built once for the test binary.
var guests *runtimetest.Guests

// hostOf names the variable that turns the test binary into a host of the guest that it names.
const hostOf = "NARTHEX_TEST_HOST_OF"

func TestMain(m *testing.M) {
	if guest := os.Getenv(hostOf); guest != "" {
		actAsHost(guest)
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

// actAsHost starts the guest, prints its process id, and waits to be killed.
func actAsHost(guest string) {
	c, err := process.Start(context.Background(), guest, process.StartOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.PID())
	select {}
}

func start(tb testing.TB, path string, o process.StartOptions) *process.Child {
	tb.Helper()
	c, err := process.Start(tb.Context(), path, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Close()
		if alive(c.PID()) {
			tb.Errorf("process %d outlives its session", c.PID())
		}
	})
	return c
}

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil { // not Linux
		return syscall.Kill(pid, 0) == nil
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}

func suite(tb testing.TB, o process.StartOptions) runtimetest.Suite {
	tb.Helper()
	path := guests.Native(tb, runtimetest.Kitchen)
	return runtimetest.Suite{
		Killable: true,
		Start: func(tb testing.TB, stderr io.Writer) session.Transport {
			tb.Helper()
			o.Stderr = stderr
			return start(tb, path, o)
		},
	}
}

func TestProcess(t *testing.T) { runtimetest.Run(t, suite(t, process.StartOptions{})) }

func TestGiantMessage(t *testing.T) {
	s := suite(t, process.StartOptions{MessageBytes: 1 << 20})
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "giant", Size: 2 << 20})
	if out, err := runtimetest.Collect(t, sess); err == nil {
		t.Errorf("%d bytes passed a limit of 1 MiB", len(out))
	}
	<-sess.Done()
	if got := session.ReasonOf(sess.Err()); got != session.ReasonMessage {
		t.Errorf("ended with %q: %v", got, sess.Err())
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("NARTHEX_TEST_SECRET", "x")
	s := suite(t, process.StartOptions{Env: []string{"GIVEN=1"}})
	sess := s.Open(t, sdk.KindExporter, kitchen.Config{Do: "environment"})
	if _, err := runtimetest.Collect(t, sess); err != nil {
		t.Fatal(err)
	}
	child := start(t, guests.Native(t, runtimetest.Kitchen), process.StartOptions{Env: []string{"GIVEN=1"}})
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", child.PID()))
	if err != nil {
		t.Skip("no /proc here:", err)
	}
	env := strings.Split(string(b), "\x00")
	if strings.Contains(string(b), "NARTHEX_TEST_SECRET") || !strings.Contains(string(b), "GIVEN=1") {
		t.Errorf("the child's environment is %q", env)
	}
	if child.MemoryBytes() < 1<<20 {
		t.Errorf("resident memory of %d bytes", child.MemoryBytes())
	}
}

func TestKilledFromOutside(t *testing.T) {
	child := start(t, guests.Native(t, runtimetest.Kitchen), process.StartOptions{})
	sess, err := session.Open(t.Context(), child, session.Options{Config: sdk.Config(`{"do":"echo"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child.PID(), syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	<-sess.Done()
	// Go's runtime turns the signal into an exit with a stack trace.
	if r := session.ReasonOf(sess.Err()); r != session.ReasonTrap && r != session.ReasonExit {
		t.Errorf("ended with %q: %v", r, sess.Err())
	}
}

// TestStopped closes a process that a SIGSTOP keeps from answering anything.
func TestStopped(t *testing.T) {
	child := start(t, guests.Native(t, runtimetest.Kitchen), process.StartOptions{})
	sess, err := session.Open(t.Context(), child, session.Options{Config: sdk.Config(`{"do":"echo"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := sess.Close(ctx); session.ReasonOf(err) != session.ReasonDeadline {
		t.Errorf("Close = %v", err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("closing a stopped process took %v", d)
	}
}

func TestNotAPlugin(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	refused := func(path string, parts ...string) {
		t.Helper()
		c, err := process.Start(t.Context(), path, process.StartOptions{StartTimeout: 500 * time.Millisecond})
		if err == nil {
			_ = c.Close()
			t.Errorf("%s started", path)
			return
		}
		for _, p := range append(parts, path) {
			if !strings.Contains(err.Error(), p) {
				t.Errorf("error %q lacks %q", err, p)
			}
		}
	}
	refused(filepath.Join(dir, "absent"), "no such file")
	refused(script("data", "x", 0o644), "permission denied")
	refused(script("talks", "#!/bin/sh\necho hello\nexec sleep 100\n", 0o755), "hello", "no Narthex plugin")
	refused(script("silent", "#!/bin/sh\nexec sleep 100\n", 0o755), "timeout")
	refused(script("exits", "#!/bin/sh\nexit 3\n", 0o755), "exit status 3")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := process.Start(ctx, script("slow", "#!/bin/sh\nexec sleep 100\n", 0o755), process.StartOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("start with a context that ends: %v", err)
	}
}

func TestByHand(t *testing.T) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), guests.Native(t, runtimetest.Kitchen))
	cmd.Stderr = &stderr
	err := cmd.Run()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("exit: %v", err)
	}
	if out := stderr.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "kitchen is a plugin of Narthex") {
		t.Errorf("it says %q", out)
	}
}

// TestHostDies kills a host that cannot clean up any more.
func TestHostDies(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.CommandContext(t.Context(), self)
	host.Env = append(os.Environ(), hostOf+"="+guests.Native(t, runtimetest.Kitchen), "TMPDIR="+t.TempDir())
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the guest is not there")
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	deadline := time.After(10 * time.Second)
	for alive(pid) {
		select {
		case <-deadline:
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the guest outlives its host")
		case <-time.After(time.Millisecond):
		}
	}
}
