// Package vfstest is a file system that fails on demand, for tests of what writes through package vfs.
//
// Start with [New], then set a rule with [Faulty.Fail]. What does not fail happens on the machine's file system.
package vfstest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/narthex-io/narthex/tsdb/vfs"
)

// Op names an operation that changes something.
type Op string

// The operations.
const (
	Create    Op = "create"
	Write     Op = "write"
	Sync      Op = "sync"
	Close     Op = "close"
	Truncate  Op = "truncate"
	Rename    Op = "rename"
	Link      Op = "link"
	Remove    Op = "remove"
	RemoveAll Op = "remove all"
	MkdirAll  Op = "mkdir"
	SyncDir   Op = "sync folder"
)

// Rule decides whether an operation, the n-th since the rule was set, counted from zero, fails; nil lets it happen. It
// must be safe for concurrent use.
type Rule func(n int, op Op, name string) error

// Faulty is a file system. A write that fails writes the first half. What fails with [ErrAfter] has happened. Nothing is
// flushed to the disk: tests don't pull the plug, and waiting for disks would make them slow.
type Faulty struct {
	vfs.OS
	mu   sync.Mutex
	rule Rule
	n    atomic.Int64
	log  []string
}

// ErrAfter makes, wrapped by what a rule returns, an operation fail after it has happened.
var ErrAfter = errors.New("after the fact")

var _ vfs.FS = (*Faulty)(nil)

// New returns a file system on which nothing fails yet.
func New() *Faulty { return &Faulty{} }

// Fail replaces the rule, begins to count anew and returns the number of operations since it was called before. nil is
// the rule that nothing fails.
func (f *Faulty) Fail(rule Rule) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule, f.log = rule, nil
	return int(f.n.Swap(0))
}

// Operations lists what was asked for since the rule was set.
func (f *Faulty) Operations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

// At fails one operation.
func At(n int, err error) Rule {
	return func(k int, _ Op, _ string) error {
		if k == n {
			return err
		}
		return nil
	}
}

// From fails an operation and all that follow.
func From(n int, err error) Rule {
	return func(k int, _ Op, _ string) error {
		if k >= n {
			return err
		}
		return nil
	}
}

// FullDisk fails what needs space.
func FullDisk(_ int, op Op, name string) error {
	switch op {
	case Create, Write, Link:
		return syscall.ENOSPC
	case MkdirAll:
		if _, err := os.Stat(name); err != nil {
			return syscall.ENOSPC
		}
	}
	return nil
}

// do asks the rule, and does what it lets happen. partly, if not nil, is what happens of an operation that fails.
func (f *Faulty) do(op Op, name string, act, partly func() error) error {
	f.mu.Lock()
	rule := f.rule
	n := int(f.n.Add(1)) - 1
	f.log = append(f.log, fmt.Sprintf("%d %s %s", n, op, name))
	f.mu.Unlock()
	var err error
	if rule != nil {
		err = rule(n, op, name)
	}
	if err == nil {
		return act()
	}
	err = fmt.Errorf("%s %s: %w", op, name, err)
	switch {
	case errors.Is(err, ErrAfter):
		return errors.Join(act(), err)
	case partly != nil:
		return errors.Join(partly(), err)
	}
	return err
}

// Create implements [vfs.FS].
func (f *Faulty) Create(name string) (vfs.File, error) {
	var made vfs.File
	err := f.do(Create, name, func() (err error) {
		made, err = f.OS.Create(name)
		return err
	}, nil)
	if err != nil {
		if made != nil {
			err = errors.Join(err, made.Close())
		}
		return nil, err
	}
	return &file{made, f, name}, nil
}

// Truncate implements [vfs.FS].
func (f *Faulty) Truncate(name string, size int64) error {
	return f.do(Truncate, name, func() error { return f.OS.Truncate(name, size) }, nil)
}

// Rename implements [vfs.FS].
func (f *Faulty) Rename(oldName, newName string) error {
	return f.do(Rename, newName, func() error { return rename(oldName, newName) }, nil)
}

// rename replaces files and folders.
func rename(oldName, newName string) error {
	err := os.Rename(oldName, newName)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		err = errors.Join(os.RemoveAll(newName), os.Rename(oldName, newName))
	}
	return err
}

// Link implements [vfs.FS].
func (f *Faulty) Link(oldName, newName string) error {
	return f.do(Link, newName, func() error { return f.OS.Link(oldName, newName) }, nil)
}

// Remove implements [vfs.FS].
func (f *Faulty) Remove(name string) error {
	return f.do(Remove, name, func() error { return f.OS.Remove(name) }, nil)
}

// RemoveAll implements [vfs.FS].
func (f *Faulty) RemoveAll(name string) error {
	return f.do(RemoveAll, name, func() error { return f.OS.RemoveAll(name) }, nil)
}

// MkdirAll implements [vfs.FS].
func (f *Faulty) MkdirAll(name string) error {
	return f.do(MkdirAll, name, func() error { return f.OS.MkdirAll(name) }, nil)
}

// SyncDir implements [vfs.FS].
func (f *Faulty) SyncDir(name string) error {
	return f.do(SyncDir, name, func() error { return nil }, nil)
}

// file is a file that was made through a Faulty.
type file struct {
	vfs.File
	fs   *Faulty
	name string
}

func (f *file) WriteAt(b []byte, off int64) (n int, err error) {
	write := func(b []byte) func() error {
		return func() (err error) {
			n, err = f.File.WriteAt(b, off)
			return err
		}
	}
	err = f.fs.do(Write, f.name, write(b), write(b[:len(b)/2]))
	return n, err
}

func (f *file) Truncate(size int64) error {
	return f.fs.do(Truncate, f.name, func() error { return f.File.Truncate(size) }, nil)
}

func (f *file) Sync() error {
	return f.fs.do(Sync, f.name, func() error { return nil }, nil)
}

// Close closes the file in any case, as the kernel does.
func (f *file) Close() error {
	return f.fs.do(Close, f.name, f.File.Close, f.File.Close)
}
