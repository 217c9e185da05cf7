//go:build e2e && linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// How often conditions are looked at, and how long starting and stopping may take.
const (
	pollInterval = 20 * time.Millisecond
	startTimeout = 30 * time.Second
	// readyTimeout is longer: plugins that were never compiled are, at low priority, and a machine may have much else to do.
	readyTimeout = 3 * time.Minute
	stopTimeout  = 20 * time.Second
)

// eventually waits for check to return nil, and fails the test with its last error when that takes too long.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	begin := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(begin) > within {
			t.Fatalf("%s: not within %v: %v", what, within, err)
		}
		<-ticker.C
	}
}

// process is a running program whose output goes to a file that a failed test shows.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process was waited for
}

// launch starts a program, and sees to it that nothing of it is left when the test ends.
func launch(t *testing.T, dir, path string, args ...string) *process {
	t.Helper()
	return launchIn(t, dir, nil, path, args...)
}

// launchIn is launch with more in the environment.
func launchIn(t *testing.T, dir string, env []string, path string, args ...string) *process {
	t.Helper()
	logFile, err := os.CreateTemp(t.TempDir(), filepath.Base(path)+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer logFile.Close()
	p := &process{t: t, cmd: exec.Command(path, args...), log: logFile.Name(), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = dir, append(environment(), env...)
	p.cmd.Stdout, p.cmd.Stderr = logFile, logFile
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test binary be killed
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // Whoever waits looks at ProcessState.
	}()
	t.Cleanup(func() {
		if !p.ended() {
			p.stop()
		}
		if t.Failed() {
			t.Logf("--- log of %s\n%s", strings.Join(p.cmd.Args, " "), lastLines(p.output(), 100))
		}
	})
	return p
}

// environment is the test's own without settings that would reach the server, and with the cache of this run.
func environment() []string {
	env := []string{"NARTHEX_PLUGINS_CACHE_DIRECTORY=" + cache}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "NARTHEX_") {
			env = append(env, pair)
		}
	}
	return env
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// output is everything that the process has written so far.
func (p *process) output() string {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("signal %v: %v", sig, err)
	}
}

// stop asks the process to end and checks that it does so in an orderly way, and its children with it.
func (p *process) stop() {
	p.t.Helper()
	p.stopBy(syscall.SIGTERM)
}

// stopBy is stop with a signal of choice.
func (p *process) stopBy(sig syscall.Signal) {
	p.t.Helper()
	family := children(p.t, p.cmd.Process.Pid)
	p.signal(sig)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.t.Errorf("%s does not stop", p.cmd.Path)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if state := p.cmd.ProcessState; !state.Success() {
		p.t.Errorf("%s ended with %v", p.cmd.Path, state)
	}
	p.wantGone(family)
}

// kill ends the process as a power cut would, and checks that its children do not outlive it.
func (p *process) kill() {
	p.t.Helper()
	family := children(p.t, p.cmd.Process.Pid)
	p.signal(syscall.SIGKILL)
	<-p.done
	p.wantGone(family)
}

// killAtEnd has a program that knows no orderly end killed when the test ends.
func (p *process) killAtEnd() {
	p.t.Helper()
	p.t.Cleanup(func() {
		if !p.ended() {
			p.kill()
		}
	})
}

func (p *process) wantGone(family []child) {
	p.t.Helper()
	eventually(p.t, 5*time.Second, "children are gone", func() error {
		for _, c := range family {
			if c.runs() {
				return fmt.Errorf("%s, process %d, is still there", c.name, c.pid)
			}
		}
		return nil
	})
}

// options say how a server is started. The zero value is an empty configuration in a folder of its own.
type options struct {
	// dir is the working directory; empty means a new one. A server that is started there again finds its data.
	dir string
	// config is written to narthex.yml in dir. Empty leaves the file alone if there is one.
	config string
	// plugins is a directory to search for plugins before those that were built.
	plugins string
	// args come after the flags that all servers get.
	args []string
	// in is where the server runs.
	in place
}

// place is what a program finds around it, where that is not what the test itself has.
type place struct {
	env []string
	// wrap is a command that runs the one after it, such as env or unshare.
	wrap []string
}

// launch starts a program in this place.
func (in place) launch(t *testing.T, dir, path string, args ...string) *process {
	t.Helper()
	line := append(append(slices.Clone(in.wrap), path), args...)
	return launchIn(t, dir, in.env, line[0], line[1:]...)
}

// server is a running narthex.
type server struct {
	t *testing.T
	*process
	client
	dir    string
	config string // path of the configuration file
}

// start starts a server and waits until it is ready.
func start(t *testing.T, o options) *server {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	s := &server{t: t, dir: o.dir, config: filepath.Join(o.dir, "narthex.yml")}
	if _, err := os.Stat(s.config); o.config != "" || errors.Is(err, os.ErrNotExist) {
		write(t, s.config, o.config)
	}
	args := []string{
		"--config.file=narthex.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0",
		"--web.enable-lifecycle", "--scrape.discovery-reload-interval=100ms",
	}
	if o.plugins != "" {
		args = append(args, "--plugins.directory="+o.plugins)
	}
	s.process = o.in.launch(t, o.dir, narthex, append(args, o.args...)...)
	s.awaitReady()
	return s
}

var listening = regexp.MustCompile(`msg=listening .*address=(\S+)`)

// awaitReady finds out where the server listens and waits until it is ready.
func (s *server) awaitReady() {
	s.t.Helper()
	eventually(s.t, startTimeout, "server listens", func() error {
		if s.ended() {
			s.t.Fatalf("server ended: %v", s.cmd.ProcessState)
		}
		match := listening.FindStringSubmatch(s.output())
		if match == nil {
			return errors.New("its log does not say where")
		}
		s.client = client{t: s.t, base: "http://" + match[1]}
		return nil
	})
	s.awaitStatus("/-/ready", http.StatusOK, s.process)
}

// reload asks for a reload by HTTP and returns the answer.
func (s *server) reload() (status int, body string) {
	s.t.Helper()
	return s.do(http.MethodPost, "/-/reload", nil)
}

// wantReload puts a configuration in force.
func (s *server) wantReload(config string) {
	s.t.Helper()
	write(s.t, s.config, config)
	if status, body := s.reload(); status != http.StatusOK {
		s.t.Fatalf("reload answers %d %s\nof\n%s", status, body, config)
	}
}

// write replaces a file's content in place, as a shell's redirection does.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace exchanges a file by renaming another one onto it, as editors do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// command runs a program to its end and returns what it printed.
func command(t *testing.T, dir, input, path string, args ...string) (stdout, stderr string, exitCode int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, environment(), strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %v: %v", path, args, errors.Join(err, ctx.Err()))
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// wantCommand runs a program that has to succeed.
func wantCommand(t *testing.T, dir, path string, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, code := command(t, dir, "", path, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", filepath.Base(path), strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// freePort returns a port that nobody listened on a moment ago, for programs that cannot choose one themselves.
func freePort(t *testing.T) string {
	t.Helper()
	const first, end = 20000, 32000 // below what Linux gives to those who ask for any port, as our servers here do
	for range 100 {
		port := strconv.Itoa(first + rand.IntN(end-first))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatalf("no free port between %d and %d", first, end)
	return ""
}

// awaitBlocks waits until the server has at least n blocks.
func (s *server) awaitBlocks(n int) {
	s.t.Helper()
	eventually(s.t, 75*time.Second, "blocks are cut", func() error { // The server looks once a minute.
		if got, _ := s.metric("prometheus_tsdb_blocks_loaded", ""); got < float64(n) {
			return fmt.Errorf("there are %v", got)
		}
		return nil
	})
}
