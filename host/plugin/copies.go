package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/narthex-io/narthex/host/plugin/kept"
)

// copies keeps what is started: a copy of each plugin's file, by digest. What runs can then be restarted, and is what was vetted,
// whatever happens to the file itself; and that can be overwritten, which a system refuses for an executable that runs.
type copies struct{ dir string }

// copiesDir is their folder in the cache.
const copiesDir = "files"

// of returns the path of the file's copy, which it makes if there is none. An error means that the file cannot be read, or has
// another digest than it had when it was found.
func (c copies) of(f *file) (string, error) {
	path := filepath.Join(c.dir, f.digest, filepath.Base(f.path))
	if err := kept.CheckOwner(c.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if digest, err := digestOf(path); err == nil && digest == f.digest {
		kept.Touch(filepath.Dir(path))
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after a rename
	digest, err := copyTo(tmp, f.path)
	if err := errors.Join(err, tmp.Chmod(0o500), tmp.Close()); err != nil {
		return "", err
	}
	if digest != f.digest {
		return "", changedError(f)
	}
	return path, os.Rename(tmp.Name(), path)
}

// copyTo copies the file at path and returns the digest of what was copied.
func copyTo(w io.Writer, path string) (string, error) {
	r, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, h), r); err != nil {
		return "", fmt.Errorf("copy %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// startable returns the path to start the file from: its copy or, where there can be none, the file itself if it is still the one
// that was found.
func (t *transports) startable(f *file) (string, error) {
	if t.copies.dir != "" {
		path, err := t.copies.of(f)
		if err == nil {
			return path, nil
		}
		t.log.Debug("no copy of plugin", "plugin", f.name, "path", f.path, "err", err)
	}
	digest, err := digestOf(f.path)
	if err == nil && digest != f.digest {
		err = changedError(f)
	}
	return f.path, err
}
