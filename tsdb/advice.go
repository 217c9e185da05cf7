package tsdb

import (
	"errors"
	"os"
	"syscall"

	"github.com/narthex-io/narthex/tsdb/block"
)

// advice says what a human can do about an error.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room, or lower the retention; samples are refused until then, and memory grows"
	case errors.Is(err, syscall.EROFS):
		return "the file system is mounted read-only: look for what the kernel says about it"
	case errors.Is(err, syscall.EIO):
		return "the disk does not work: look for what the kernel says about it, and copy the data directory"
	case errors.Is(err, os.ErrPermission):
		return "let the server's user write to the data directory and all that is in it"
	case block.IsDamage(err):
		return "the blocks stay as they are and are tried again ever more rarely; restore the damaged one from a backup, or delete its folder"
	}
	return "see the error"
}
