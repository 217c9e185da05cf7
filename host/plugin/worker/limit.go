//go:build linux && !race

package worker

import (
	"fmt"
	"syscall"
)

// limitMemory makes the kernel refuse the process more memory than that: it then ends by itself, not the machine.
func limitMemory(bytes uint64) error {
	var had syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &had); err == nil {
		bytes = min(bytes, had.Max) // which only root could raise
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: bytes, Max: bytes}); err != nil {
		return fmt.Errorf("limit the worker's memory to %d bytes: %w", bytes, err)
	}
	return nil
}
