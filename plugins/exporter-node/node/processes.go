//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// processes counts all processes and threads by state. It reads a file for each thread of the machine and is therefore
// off by default.
type processes struct {
	proc procfs.FS
	path string
}

func (c processes) collect(ctx context.Context, _ readings, out *exposition) error {
	n, err := c.count(ctx)
	if err != nil {
		return err
	}
	maxThreads, err := readUint(filepath.Join(c.path, "sys/kernel/threads-max"))
	if err != nil {
		return err
	}
	maxPIDs, err := readUint(filepath.Join(c.path, "sys/kernel/pid_max"))
	if err != nil {
		return err
	}
	out.gauge("node_processes_pids", "Processes.", float64(n.processes))
	out.gauge("node_processes_max_processes", "Process ids that the kernel can give.", float64(maxPIDs))
	out.gauge("node_processes_threads", "Threads.", float64(n.threads))
	out.gauge("node_processes_max_threads", "Threads that the kernel allows.", float64(maxThreads))
	for _, state := range slices.Sorted(maps.Keys(n.processStates)) {
		out.gauge("node_processes_state", "Processes by state.", float64(n.processStates[state]), label{"state", state})
	}
	for _, state := range slices.Sorted(maps.Keys(n.threadStates)) {
		out.gauge("node_processes_threads_state", "Threads by state.", float64(n.threadStates[state]),
			label{"thread_state", state})
	}
	return nil
}

type processCounts struct {
	processes, threads          int
	processStates, threadStates map[string]int
}

func (c processes) count(ctx context.Context) (processCounts, error) {
	n := processCounts{processStates: make(map[string]int), threadStates: make(map[string]int)}
	all, err := c.proc.AllProcs()
	if err != nil {
		return n, fmt.Errorf("list processes: %w", err)
	}
	for _, p := range all {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		s, err := p.Stat()
		if hasEnded(err) {
			continue
		}
		if err != nil {
			return n, fmt.Errorf("read process %d: %w", p.PID, err)
		}
		n.processes++
		n.processStates[s.State]++
		n.threads += s.NumThreads
		if err := c.countThreads(p.PID, s.State, n.threadStates); err != nil {
			return n, fmt.Errorf("read threads of process %d: %w", p.PID, err)
		}
	}
	return n, nil
}

func (c processes) countThreads(pid int, state string, states map[string]int) error {
	tasks, err := procfs.NewFS(filepath.Join(c.path, strconv.Itoa(pid), "task"))
	if err != nil {
		return unlessEnded(err)
	}
	threads, err := tasks.AllProcs()
	if err != nil {
		return unlessEnded(err)
	}
	for _, t := range threads {
		if t.PID == pid {
			states[state]++
			continue
		}
		s, err := t.Stat()
		if hasEnded(err) {
			continue
		}
		if err != nil {
			return err
		}
		states[s.State]++
	}
	return nil
}

// hasEnded says that a process or thread ended while it was read.
func hasEnded(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

func unlessEnded(err error) error {
	if hasEnded(err) {
		return nil
	}
	return err
}
