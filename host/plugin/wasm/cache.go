package wasm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/narthex-io/narthex/host/plugin/kept"
)

// Cache is a folder of compiled modules, one of those of [Options]. Whoever uses a module in it says so, and [Cache.Prune] removes
// what nobody has used for long. Nothing that is removed or damaged is lost: it is compiled anew. Several processes may share it.
//
//	wazero-VERSION-ARCH-OS/KEY          what wazero compiled, by a key of its own
//	receipts-v2/DIGEST-MODE-VERSION     where wazero has put the module with the digest, and the sum of that file
//	code-v1/DIGEST-MODE                 its code as it is executed: see spare
//
// A receipt is there because wazero's key cannot be known beforehand, and because wazero has a sum of the code alone: one wrong bit in
// what tells where functions begin would have the host execute anything. Where the file is, is a hint: another processor, say, has
// another key.
type Cache struct {
	// Dir is the folder; it is created when something is put in.
	Dir string `json:"dir"`
	// Within names a folder that Dir is in, or is itself, which others could have made, as in one for temporary files. The cache
	// is used only while that folder belongs to this user and nobody else can get in. It is made if what it is in is there, which keeps
	// others from exchanging it, as the sticky bit of /tmp does. [no such folder]
	Within string `json:"within,omitempty"`
}

// FolderError says that nothing could be put into a cache: it is full, say, or may only be read. The module is not to blame.
type FolderError struct {
	Dir string
	Err error
}

// Error implements error.
func (e *FolderError) Error() string {
	return "keep a compiled plugin in " + e.Dir + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FolderError) Unwrap() error { return e.Err }

const receiptsDir = "receipts-v2"

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

// entry returns the file that the receipt of a module names, if it is as it was when it was put in.
func (c Cache) entry(receipt string) (string, error) {
	text, err := os.ReadFile(receipt)
	if err != nil {
		return "", err
	}
	var name, want string
	if _, err := fmt.Sscanf(string(text), "%s %s\n", &name, &want); err != nil || !filepath.IsLocal(name) {
		return "", fmt.Errorf("%s names no file of the cache", receipt)
	}
	path := filepath.Join(c.Dir, name)
	if sum, err := sumOf(path); err != nil || sum != want {
		return "", errors.Join(err, fmt.Errorf("%s is damaged", path))
	}
	return path, nil
}

// sumOf returns a checksum of a regular file.
func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	h := xxhash.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return strconv.FormatUint(h.Sum64(), 16), nil
}

// Has reports whether the module with a digest, its SHA-256 in hexadecimal, is compiled for a speed and undamaged, and counts that as
// a use. It reads what is compiled, which takes some milliseconds.
func (c Cache) Has(digest string, fullSpeed bool) bool {
	receipt := c.receipt(digest, fullSpeed)
	if c.Dir == "" || c.checkOwner() != nil || kept.CheckOwner(c.Dir) != nil {
		return false
	}
	entry, err := c.entry(receipt)
	if err != nil {
		return false
	}
	kept.Touch(entry)
	kept.Touch(receipt)
	return true
}

// Fill puts in a module that compile compiles into an empty folder with [CompileInto], here or in another process. It takes the place
// of one that is there. A [FolderError] says that the cache takes nothing now; other errors are compile's.
func (c Cache) Fill(digest string, fullSpeed bool, compile func(dir string) error) error {
	dir, err := c.temporary()
	if err != nil {
		return &FolderError{c.Dir, err}
	}
	defer func() { _ = os.RemoveAll(dir) }() // pruned otherwise
	err = compile(dir)
	if folder, ok := errors.AsType[*FolderError](err); ok {
		return &FolderError{c.Dir, folder.Err}
	} else if err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(made) != 1 {
		return errors.Join(err, fmt.Errorf("compiling made %d files instead of one", len(made)))
	}
	if err := c.put(dir, made[0], c.receipt(digest, fullSpeed)); err != nil {
		return &FolderError{c.Dir, err}
	}
	return nil
}

// temporary makes a folder in the cache's, which is made too, but not before it is clear where that is: others may have put a link there.
func (c Cache) temporary() (string, error) {
	if c.Within != "" {
		if err := os.Mkdir(c.Within, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	if err := c.checkOwner(); err != nil {
		return "", err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", err
	}
	if err := kept.CheckOwner(c.Dir); err != nil {
		return "", err
	}
	return os.MkdirTemp(c.Dir, ".tmp-*")
}

// checkOwner returns why the cache must not be used.
func (c Cache) checkOwner() error {
	if c.Within == "" {
		return nil
	}
	info, err := os.Lstat(c.Within)
	if err != nil {
		return err
	}
	if !info.IsDir() || !kept.IsPrivate(info) {
		return fmt.Errorf("%s is not a folder of this user alone", c.Within)
	}
	return nil
}

// put moves a file from a temporary folder to where it belongs, and its receipt after it.
func (c Cache) put(dir, made, receipt string) error {
	name, err := filepath.Rel(dir, made)
	if err != nil {
		return err
	}
	sum, err := sumOf(made)
	if err != nil {
		return err
	}
	entry := filepath.Join(c.Dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(entry), 0o700), os.MkdirAll(filepath.Dir(receipt), 0o700)); err != nil {
		return err
	}
	if err := os.Rename(made, entry); err != nil {
		return err
	}
	written := filepath.Join(dir, "receipt")
	if err := os.WriteFile(written, fmt.Appendf(nil, "%s %s\n", name, sum), 0o600); err != nil {
		return err
	}
	return os.Rename(written, receipt)
}

// isFolders reports whether an error is about files, of which those in the cache's folder are the only ones that compiling touches.
func isFolders(err error) bool {
	path, link := (*fs.PathError)(nil), (*os.LinkError)(nil)
	return errors.As(err, &path) || errors.As(err, &link)
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
	if err := c.checkOwner(); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	errs := []error{kept.Prune(c.Dir, ".tmp-*", before)}
	var folders []string
	for _, pattern := range []string{"wazero-*", "receipts-*", codeDir} {
		found, err := filepath.Glob(filepath.Join(c.Dir, pattern))
		folders, errs = append(folders, found...), append(errs, err)
	}
	for _, folder := range folders {
		errs = append(errs, kept.Prune(folder, "*", before))
	}
	return errors.Join(errs...)
}
