package wal

import (
	"errors"
	"syscall"
)

// faulty is the file system of the machine, with errors on demand.
type faulty struct {
	OS
	// room is the number of bytes that can still be written; then the disk is full, after a part was written.
	room int
	// noTruncate makes cutting files back fail, noCreate making them, noSync flushing them.
	noTruncate, noCreate, noSync bool
	// unreadable is the offset of a page that can't be read, if not negative.
	unreadable int64
	// failures is how many attempts at it fail.
	failures int
}

func newFaulty() *faulty { return &faulty{room: 1 << 40, unreadable: -1} }

type faultyFile struct {
	File
	fs *faulty
}

func (f *faulty) Create(name string) (File, error) {
	if f.noCreate {
		return nil, syscall.ENOSPC
	}
	file, err := f.OS.Create(name)
	if err != nil {
		return nil, err
	}
	return faultyFile{file, f}, nil
}

func (f *faulty) Open(name string) (File, error) {
	file, err := f.OS.Open(name)
	if err != nil {
		return nil, err
	}
	return faultyFile{file, f}, nil
}

func (f faultyFile) WriteAt(b []byte, off int64) (int, error) {
	n := min(len(b), f.fs.room)
	f.fs.room -= n
	got, err := f.File.WriteAt(b[:n], off)
	if err == nil && n < len(b) {
		err = syscall.ENOSPC
	}
	return got, err
}

func (f faultyFile) Truncate(size int64) error {
	if f.fs.noTruncate {
		return errors.New("input/output error")
	}
	return f.File.Truncate(size)
}

func (f faultyFile) Sync() error {
	if f.fs.noSync {
		return errors.New("input/output error")
	}
	return f.File.Sync()
}

func (f faultyFile) ReadAt(b []byte, off int64) (int, error) {
	if off == f.fs.unreadable && f.fs.failures > 0 {
		f.fs.failures--
		return 0, errors.New("input/output error")
	}
	return f.File.ReadAt(b, off)
}
