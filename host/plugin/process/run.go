package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// ErrNotStarted is the error of a program that did not run at all.
var ErrNotStarted = errors.New("the process did not start")

// stderrBytes is how much of what a program of one task writes to stderr is kept: of a crash, the reason comes first.
const stderrBytes = 4 << 10

// TaskError is the error of a program that ran and did not do its task.
type TaskError struct {
	// Status says how it ended, such as "exit status 1" or "signal: killed".
	Status string
	// Code is its exit status; -1 when a signal ended it.
	Code int
	// Stderr is the beginning of what it wrote to stderr.
	Stderr string
}

// Error implements error.
func (e *TaskError) Error() string {
	if e.Status == "exit status 1" && e.Stderr != "" { // which is how a task fails in an orderly way
		return e.Stderr
	}
	return e.Status + ": " + e.Stderr
}

// Run runs an executable for one task, to its end. Like a [Child] it has a small environment and a lifeline, and it is killed when ctx
// ends. Errors are [ErrNotStarted], what ended ctx, or a [TaskError].
func Run(ctx context.Context, path string, args, env []string) error {
	lifeline, ours, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotStarted, err)
	}
	stderr := &beginning{}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(environment(StartOptions{}), env...)
	cmd.Stdin, cmd.Stderr, cmd.SysProcAttr = lifeline, stderr, processAttributes()
	cmd.WaitDelay = exitGrace
	cmd.Cancel = func() error {
		killGroup(cmd.Process.Pid)
		return cmd.Process.Kill()
	}
	err = cmd.Start()
	_ = lifeline.Close() // the child has its own
	if err != nil {
		_ = ours.Close()
		return fmt.Errorf("%w: %w", ErrNotStarted, errors.Join(ctx.Err(), err))
	}
	err = cmd.Wait()
	_ = ours.Close()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &TaskError{Status: err.Error(), Code: cmd.ProcessState.ExitCode(), Stderr: stderr.kept.String()}
}

// Hold ends this process when its host is gone, for a program that [Run] started. It returns at once.
func Hold() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
}

// beginning keeps the beginning of what is written to it.
type beginning struct{ kept bytes.Buffer } // not embedded: io.Copy would find its ReadFrom

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	_, _ = b.kept.Write(p[:min(len(p), stderrBytes-b.kept.Len())]) // never fails
	return len(p), nil
}
