// Package mmap gives read access to whole files as bytes: mapped into memory where the system can do that, read into
// it elsewhere. Start with [Open]. It does not write.
package mmap

import (
	"errors"
	"fmt"
	"os"
)

// File is the content of a file.
type File struct {
	data  []byte
	unmap func([]byte) error
}

// Open maps a file. An empty file is fine.
func Open(name string) (*File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	m, err := open(f)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", name, errors.Join(err, f.Close()))
	}
	if err := f.Close(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func open(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	size := info.Size()
	if size == 0 {
		return &File{}, nil
	}
	if int64(int(size)) != size {
		return nil, fmt.Errorf("%d bytes do not fit into the address space", size)
	}
	return mapFile(f, int(size))
}

// Bytes returns the content, which must not be written to, nor be touched in any way after Close.
func (f *File) Bytes() []byte { return f.data }

// Close releases the content. Calling it again does nothing.
func (f *File) Close() error {
	if f.unmap == nil {
		return nil
	}
	unmap, data := f.unmap, f.data
	f.unmap, f.data = nil, nil
	return unmap(data)
}
