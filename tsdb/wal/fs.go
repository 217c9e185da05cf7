package wal

import "github.com/narthex-io/narthex/tsdb/vfs"

// FS, File and OS are the names of the package that the log writes through, for those who import this one alone.
type (
	FS   = vfs.FS
	File = vfs.File
	OS   = vfs.OS
)
