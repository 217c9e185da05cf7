//go:build !unix

package process

import "syscall"

func processAttributes() *syscall.SysProcAttr { return nil }

// killGroup does nothing: the process itself is killed by other means.
func killGroup(int) {}
