package process

import "syscall"

// processAttributes gives the child a process group of its own, so that all of it can be killed and a Ctrl-C for the
// host does not reach it, and lets the kernel kill it when the host dies.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
