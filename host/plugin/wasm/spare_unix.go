//go:build unix

package wasm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// backWithFile puts the pages of a file in the place of size bytes of executable memory at code. The file is written if it is not
// there or differs.
func backWithFile(code unsafe.Pointer, size int, path string) error {
	content := unsafe.Slice((*byte)(code), size)
	f, err := openSame(path, content)
	if err != nil {
		if err = writeCode(path, content); err != nil {
			return err
		}
		if f, err = openSame(path, content); err != nil {
			return err
		}
	}
	defer func() { _ = f.Close() }() // the mapping stays
	_, err = unix.MmapPtr(int(f.Fd()), 0, code, uintptr(size), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	return nil
}

// openSame opens the file if it holds content.
func openSame(path string, content []byte) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.Size() != int64(len(content)) || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s holds something else", path), f.Close())
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	same := bytes.Equal(mapped, content)
	if err := unix.Munmap(mapped); err != nil || !same {
		return nil, errors.Join(err, fmt.Errorf("%s holds something else", path), f.Close())
	}
	return f, nil
}

// writeCode writes a file under another name first, so that nobody sees half of it.
func writeCode(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after a rename
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
