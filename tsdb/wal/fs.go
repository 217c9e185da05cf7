package wal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// FS is the part of a file system that the log needs; tests put in one that fails. Names are whole paths.
type FS interface {
	// Create makes a new file, or empties an existing one, for writing.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// Truncate cuts a file that is not open.
	Truncate(name string, size int64) error
	// Rename replaces newName and makes the change durable.
	Rename(oldName, newName string) error
	// Remove deletes a file, RemoveAll a folder with what is in it.
	Remove(name string) error
	RemoveAll(name string) error
	// MkdirAll makes a folder and those above it.
	MkdirAll(name string) error
	// List returns the names in a folder, sorted; a folder that does not exist has none.
	List(dir string) ([]string, error)
	// SyncDir makes the creation and deletion of files in a folder durable.
	SyncDir(dir string) error
}

// File is an open file of an [FS].
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	// Size returns the length in bytes.
	Size() (int64, error)
}

// OS is the file system of the machine.
type OS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Create implements [FS].
func (OS) Create(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Open implements [FS].
func (OS) Open(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Truncate implements [FS].
func (OS) Truncate(name string, size int64) error { return os.Truncate(name, size) }

// Rename implements [FS].
func (o OS) Rename(oldName, newName string) error {
	if err := os.RemoveAll(newName); err != nil {
		return err
	}
	if err := os.Rename(oldName, newName); err != nil {
		return err
	}
	return o.SyncDir(filepath.Dir(newName))
}

// Remove implements [FS].
func (OS) Remove(name string) error { return os.Remove(name) }

// RemoveAll implements [FS].
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// MkdirAll implements [FS].
func (OS) MkdirAll(name string) error { return os.MkdirAll(name, 0o777) }

// List implements [FS].
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir implements [FS].
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
