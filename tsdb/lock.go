package tsdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// directoryLock keeps other processes out of a data directory. The zero value holds nothing.
type directoryLock struct {
	file *os.File
	// clean tells that no lock file of an earlier run was there.
	clean bool
}

// lockDirectory takes the lock, which the kernel releases when the process dies. A second one gets an error that names
// the first.
func lockDirectory(dir string) (*directoryLock, error) {
	path := filepath.Join(dir, "lock")
	for {
		_, err := os.Stat(path)
		l := &directoryLock{clean: os.IsNotExist(err)}
		if l.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
			return nil, fmt.Errorf("lock data directory: %w", err)
		}
		if err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, errors.Join(inUse(dir, path, err), l.file.Close())
		}
		if l.current(path) {
			l.writePID()
			return l, nil
		}
		// Another process removed the file between our opening and locking it.
		if err := l.file.Close(); err != nil {
			return nil, fmt.Errorf("lock data directory: %w", err)
		}
	}
}

func inUse(dir, path string, err error) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock data directory: %w", err)
	}
	pid, rerr := os.ReadFile(path)
	if rerr != nil || len(pid) == 0 {
		pid = []byte("unknown")
	}
	return fmt.Errorf("data directory %s is in use by another process (pid %s): stop it, or take another directory", dir, strings.TrimSpace(string(pid)))
}

// current reports whether the locked file is still the one that the path names.
func (l *directoryLock) current(path string) bool {
	a, errA := l.file.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// writePID is best effort: a full disk must not keep the server from starting.
func (l *directoryLock) writePID() {
	if err := l.file.Truncate(0); err == nil {
		_, _ = l.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
}

// release removes the file, which tells the next run that this one ended well, and the lock.
func (l *directoryLock) release() error {
	if l.file == nil {
		return nil
	}
	err := errors.Join(os.Remove(l.file.Name()), l.file.Close())
	l.file = nil
	if err != nil {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}
