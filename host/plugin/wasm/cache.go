package wasm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/narthex-io/narthex/host/plugin/kept"
)

// Cache is a folder of compiled modules, that of [Options]. Whoever uses a module in it says so, and [Cache.Prune] removes what
// nobody has used for long. Nothing that is removed is lost: it is compiled anew.
//
//	wazero-VERSION-ARCH-OS/KEY          what wazero compiled, by a key of its own
//	receipts-v1/DIGEST-MODE-VERSION     where wazero has put the module with the digest
//	code-v1/DIGEST-MODE                 its code as it is executed: see spare
//
// A receipt is there because wazero's key cannot be known beforehand. It is a hint: another processor, say, has another key.
type Cache struct{ Dir string }

const receiptsDir = "receipts-v1"

// mode names the two ways to compile a module.
func mode(fullSpeed bool) string {
	if fullSpeed {
		return "full"
	}
	return "checked"
}

func (c Cache) receipt(digest string, fullSpeed bool) string {
	return filepath.Join(c.Dir, receiptsDir, digest+"-"+mode(fullSpeed)+"-"+version())
}

// version tells receipts apart that programs with another wazero, or for another system, have written.
func version() string {
	v := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/tetratelabs/wazero" {
				v = m.Version
			}
		}
	}
	return v + "-" + runtime.GOARCH + "-" + runtime.GOOS
}

// entry returns the file, below the cache's folder, that a receipt names.
func (c Cache) entry(receipt string) (string, error) {
	name, err := os.ReadFile(receipt)
	if err != nil {
		return "", err
	}
	if !filepath.IsLocal(string(name)) {
		return "", fmt.Errorf("%s names no file of the cache", receipt)
	}
	return filepath.Join(c.Dir, string(name)), nil
}

// Has reports whether the module with a digest, its SHA-256 in hexadecimal, is compiled for a speed, and counts that as a use.
func (c Cache) Has(digest string, fullSpeed bool) bool {
	receipt := c.receipt(digest, fullSpeed)
	entry, err := c.entry(receipt)
	if err != nil {
		return false
	}
	if info, err := os.Stat(entry); err != nil || !info.Mode().IsRegular() {
		return false
	}
	kept.Touch(entry)
	kept.Touch(receipt)
	return true
}

// Fill puts in a module that compile compiles into an empty folder with [CompileInto], here or in another process. It takes the place
// of one that is there.
func (c Cache) Fill(digest string, fullSpeed bool, compile func(dir string) error) error {
	dir, err := os.MkdirTemp(c.Dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // pruned otherwise
	if err := compile(dir); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(made) != 1 {
		return errors.Join(err, fmt.Errorf("compiling made %d files instead of one", len(made)))
	}
	name, err := filepath.Rel(dir, made[0])
	if err != nil {
		return err
	}
	entry, receipt := filepath.Join(c.Dir, name), c.receipt(digest, fullSpeed)
	if err := errors.Join(os.MkdirAll(filepath.Dir(entry), 0o700), os.MkdirAll(filepath.Dir(receipt), 0o700)); err != nil {
		return err
	}
	if err := os.Rename(made[0], entry); err != nil {
		return err
	}
	written := filepath.Join(dir, "receipt")
	if err := os.WriteFile(written, []byte(name), 0o600); err != nil {
		return err
	}
	return os.Rename(written, receipt)
}

// Used says that modules are in use.
func (c Cache) Used(digests []string) {
	for _, digest := range digests {
		for _, full := range []bool{false, true} {
			c.Has(digest, full)
			kept.Touch(filepath.Join(c.Dir, codeDir, digest+"-"+mode(full)))
		}
	}
}

// Prune removes what was last used before a time. What is executed of it goes on.
func (c Cache) Prune(before time.Time) error {
	folders, err := filepath.Glob(filepath.Join(c.Dir, "wazero-*"))
	errs := []error{err, kept.Prune(c.Dir, ".tmp-*", before)}
	for _, folder := range append(folders, filepath.Join(c.Dir, receiptsDir), filepath.Join(c.Dir, codeDir)) {
		errs = append(errs, kept.Prune(folder, "*", before))
	}
	return errors.Join(errs...)
}
