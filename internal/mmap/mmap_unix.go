//go:build unix

package mmap

import (
	"os"

	"golang.org/x/sys/unix"
)

func mapFile(f *os.File, size int) (*File, error) { return Window(f.Fd(), size) }

// Window maps the first size bytes of an open file, also those that it does not have yet: they must not be touched
// before the file has grown. Where the system can't do that, it is an error.
func Window(fd uintptr, size int) (*File, error) {
	data, err := unix.Mmap(int(fd), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &File{data: data, unmap: unix.Munmap}, nil
}
