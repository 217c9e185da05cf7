// Package vfs is the part of a file system that the storage writes through: log, checkpoints, blocks, deletions and
// snapshots.
//
// Start with [FS]; [OS] is the machine's. Tests put in one that fails, see package vfstest. What is only read, such as
// files that are mapped into memory, does not go through it.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// FS is a file system. Names are whole paths. It is safe for concurrent use.
type FS interface {
	// Create makes a new file, or empties an existing one, for writing.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// Truncate cuts a file that is not open.
	Truncate(name string, size int64) error
	// Rename replaces newName, which for a file happens in one step, and makes the change durable.
	Rename(oldName, newName string) error
	// Link gives a file a second name.
	Link(oldName, newName string) error
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
	err := os.Rename(oldName, newName)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) { // A folder takes the place of another.
		if err := os.RemoveAll(newName); err != nil {
			return err
		}
		err = os.Rename(oldName, newName)
	}
	if err != nil {
		return err
	}
	return o.SyncDir(filepath.Dir(newName))
}

// Link implements [FS].
func (OS) Link(oldName, newName string) error { return os.Link(oldName, newName) }

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

// Stream reads and writes a [File] at a position that moves on.
type Stream struct {
	File File
	pos  int64
}

// Read implements [io.Reader].
func (s *Stream) Read(b []byte) (int, error) {
	n, err := s.File.ReadAt(b, s.pos)
	s.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Write implements [io.Writer].
func (s *Stream) Write(b []byte) (int, error) {
	n, err := s.File.WriteAt(b, s.pos)
	s.pos += int64(n)
	return n, err
}

// Seek implements [io.Seeker].
func (s *Stream) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.pos
	case io.SeekEnd:
		size, err := s.File.Size()
		if err != nil {
			return s.pos, err
		}
		offset += size
	}
	if offset < 0 {
		return s.pos, errors.New("seek to a position before the file")
	}
	s.pos = offset
	return s.pos, nil
}

// Replace writes a file beside the named one and renames it over it, once it is on the disk: at each moment either the old
// content is there or the new one. On an error before that the old one is.
func Replace(fs FS, name string, content []byte) error {
	tmp := name + ".tmp"
	if err := WriteFile(fs, tmp, content); err != nil {
		_ = fs.Remove(tmp)
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := fs.Rename(tmp, name); err != nil {
		_ = fs.Remove(tmp)
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}

// WriteFile makes a file whose content is on the disk when it returns. Its name is not yet: see SyncDir.
func WriteFile(fs FS, name string, content []byte) error {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		return errors.Join(err, f.Close())
	}
	return CloseSynced(f)
}

// CloseSynced closes a file after its content is on the disk.
func CloseSynced(f File) error { return errors.Join(f.Sync(), f.Close()) }
