//go:build !unix

package mmap

import (
	"errors"
	"io"
	"os"
)

func mapFile(f *os.File, size int) (*File, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return &File{data: data}, nil
}

// Window maps the first size bytes of an open file, also those that it does not have yet: they must not be touched
// before the file has grown. Where the system can't do that, it is an error.
func Window(uintptr, int) (*File, error) { return nil, errors.ErrUnsupported }
