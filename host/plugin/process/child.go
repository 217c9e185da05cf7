package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"

	"github.com/narthex-io/narthex/host/plugin/session"
)

// child is the operating system's side of a plugin process; it implements go-plugin's runner.Runner. Other than the
// default one it gives the child a lifeline as standard input, knows when the process has exited whatever holds its
// pipes, and kills the child's whole process group.
type child struct {
	cmd       *exec.Cmd
	socketDir string // go-plugin's; it forgets to remove it when the start fails
	pid       int
	stdout    *os.File
	stderr    *os.File
	lifeline  *os.File // the child's standard input ends when this is closed
	exited    chan struct{}

	mu      sync.Mutex
	started bool
	killed  bool // by us
}

func newChild(path string, args, env []string) *child {
	// Not exec.Command, which looks for a name without a slash in PATH.
	cmd := &exec.Cmd{Path: path, Args: append([]string{path}, args...), Env: env, SysProcAttr: processAttributes()}
	return &child{cmd: cmd, exited: make(chan struct{})}
}

// Start implements runner.Runner.
func (c *child) Start(context.Context) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return errClosed
	}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			err = errors.Join(err, f.Close())
		}
	}()
	pipe := func(ours **os.File, childReads bool) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		if childReads {
			r, w = w, r
		}
		*ours, theirs = r, append(theirs, w)
		return w, nil
	}
	stdin, err1 := pipe(&c.lifeline, true)
	stdout, err2 := pipe(&c.stdout, false)
	stderr, err3 := pipe(&c.stderr, false)
	if err := errors.Join(err1, err2, err3); err != nil {
		return errors.Join(err, c.closeOurs())
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, stdout, stderr
	if err := c.cmd.Start(); err != nil {
		return errors.Join(err, c.closeOurs())
	}
	c.started, c.pid = true, c.cmd.Process.Pid
	go c.wait()
	return nil
}

// wait waits for the process, and ends what it may have left behind in its group: that would hold the pipes open.
func (c *child) wait() {
	defer close(c.exited)
	_ = c.cmd.Wait() // end reads the state
	killGroup(c.pid)
}

func (c *child) closeOurs() error {
	var errs []error
	for _, f := range []*os.File{c.stdout, c.stderr, c.lifeline} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// hangUp closes the lifeline: the child exits when it gets to it.
func (c *child) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifeline != nil {
		_ = c.lifeline.Close() // again is fine
	}
}

// kill ends the child by force; before its start, it prevents that.
func (c *child) kill() {
	c.hangUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.exited:
		return // the id may belong to somebody else by now
	default:
	}
	c.killed = true
	if c.started {
		killGroup(c.pid)
		_ = c.cmd.Process.Kill()
	}
}

// end says how the process ended by itself; nil while it runs and when it ended because it was killed by us.
func (c *child) end() *session.EndError {
	select {
	case <-c.exited:
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.cmd.ProcessState
	switch {
	case state == nil:
		return nil
	case state.Exited():
		return &session.EndError{Reason: session.ReasonExit, Code: state.ExitCode(), Detail: state.String()}
	case c.killed:
		return nil
	default:
		return &session.EndError{Reason: session.ReasonTrap, Detail: state.String()}
	}
}

func (c *child) removeSockets() {
	if c.socketDir != "" {
		_ = os.RemoveAll(c.socketDir)
	}
}

// Kill implements runner.Runner.
func (c *child) Kill(context.Context) error {
	c.kill()
	return nil
}

// Wait implements runner.Runner.
func (c *child) Wait(context.Context) error {
	<-c.exited
	return errors.Join(c.stdout.Close(), c.stderr.Close())
}

// Stdout implements runner.Runner.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr implements runner.Runner.
func (c *child) Stderr() io.ReadCloser { return c.stderr }

// Name implements runner.Runner.
func (c *child) Name() string { return c.cmd.Path }

// ID implements runner.Runner; it is empty before the start.
func (c *child) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		return ""
	}
	return strconv.Itoa(c.pid)
}

// Diagnose implements runner.Runner.
func (*child) Diagnose(context.Context) string {
	return "it is no Narthex plugin, or it wrote to standard output before guest.Main"
}

// PluginToHost implements runner.Runner: both live in one file system.
func (*child) PluginToHost(network, addr string) (string, string, error) { return network, addr, nil }

// HostToPlugin implements runner.Runner.
func (*child) HostToPlugin(network, addr string) (string, string, error) { return network, addr, nil }

// memoryOf reads a process's resident memory, and what of it no file backs, from Linux's /proc; elsewhere both are 0.
func memoryOf(pid int) (resident, private uint64) {
	if runtime.GOOS != "linux" {
		return 0, 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0
	}
	var size, all, shared uint64
	if _, err := fmt.Sscan(string(b), &size, &all, &shared); err != nil {
		return 0, 0
	}
	page := uint64(os.Getpagesize())
	return all * page, (all - min(shared, all)) * page
}
