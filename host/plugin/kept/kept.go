// Package kept is about files that are kept between starts because making them again takes time: a file, or a folder, bears the
// time of its last use, and goes when that was long ago.
//
// Start with [Touch], for whoever uses something, and [Prune]. What is where, and how to make it again, others know.
package kept

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Life is how long something is kept that nobody uses.
const Life = 30 * 24 * time.Hour

// accuracy is how old the time of the last use may be that something bears: using it does not mean writing each time.
const accuracy = 24 * time.Hour

// Touch says that what is at path, if anything, is in use. Where that cannot be noted, it is removed some day and made again.
func Touch(path string) {
	now := time.Now()
	if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > accuracy {
		_ = os.Chtimes(path, now, now)
	}
}

// Prune removes from a folder what was last used before a time and has a name that match, a pattern of [filepath.Match], matches. A
// missing folder is an empty one, and so is what is no folder. On error, the rest is removed all the same.
func Prune(dir, match string, before time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		ok, err := filepath.Match(match, e.Name())
		errs = append(errs, err)
		if info, err := e.Info(); err == nil && ok && info.ModTime().Before(before) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
