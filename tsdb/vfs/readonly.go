package vfs

import "os"

// ReadOnly is a file system that is looked at alone. What mends or tidies up, such as cutting off an unfinished record,
// succeeds without an effect, so that the caller goes on as if it were done; nothing new can be made.
type ReadOnly struct{ FS }

// Create fails.
func (ReadOnly) Create(name string) (File, error) {
	return nil, &os.PathError{Op: "create", Path: name, Err: os.ErrPermission}
}

// Rename fails.
func (ReadOnly) Rename(oldName, _ string) error {
	return &os.PathError{Op: "rename", Path: oldName, Err: os.ErrPermission}
}

// Link fails.
func (ReadOnly) Link(oldName, _ string) error {
	return &os.PathError{Op: "link", Path: oldName, Err: os.ErrPermission}
}

// MkdirAll fails.
func (ReadOnly) MkdirAll(name string) error {
	return &os.PathError{Op: "mkdir", Path: name, Err: os.ErrPermission}
}

// Truncate does nothing.
func (ReadOnly) Truncate(string, int64) error { return nil }

// Remove does nothing.
func (ReadOnly) Remove(string) error { return nil }

// RemoveAll does nothing.
func (ReadOnly) RemoveAll(string) error { return nil }

// SyncDir does nothing.
func (ReadOnly) SyncDir(string) error { return nil }
