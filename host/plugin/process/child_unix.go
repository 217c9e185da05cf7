//go:build unix && !linux

package process

import "syscall"

// processAttributes gives the child a process group of its own, so that all of it can be killed and a Ctrl-C for the
// host does not reach it.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
