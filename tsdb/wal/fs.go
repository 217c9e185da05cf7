package wal

import "github.com/narthex-io/narthex/tsdb/vfs"

// What the log is written through, for those who import this package alone.
type (
	// FS is a file system.
	FS = vfs.FS
	// File is an open file.
	File = vfs.File
	// OS is the file system of the machine.
	OS = vfs.OS
	// ReadOnly is [vfs.ReadOnly].
	ReadOnly = vfs.ReadOnly
)
