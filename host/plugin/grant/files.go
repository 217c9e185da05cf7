package grant

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	defaultFileBytes = 16 << 20
	// maxEntries bounds how many entries of one folder a glob looks at.
	maxEntries = 100_000
	// readBatch is how many of them are in memory at a time.
	readBatch = 1024
)

// Files reads granted files. Names are paths, absolute or relative to the working directory. It is safe for
// concurrent use, holds no descriptor between calls, and follows no symbolic link out of a granted folder: every
// access goes through an os.Root. Only regular files are read, and of those that are about processes, in /proc, only what is
// granted there by name: not what happens to lie below a granted folder.
type Files struct {
	rules    []rule
	maxBytes int64
	usage    *Usage
}

// rule grants names in a folder.
type rule struct {
	text    string // as the operator wrote it, resolved
	dir     string // absolute; the os.Root
	pattern string // for the one element below dir; "" grants everything below dir
}

// NewFiles grants what patterns name: paths whose last element may be a pattern as in path/filepath.Match; and trees,
// where a path to a folder grants everything below it too. Nothing needs to exist yet. maxBytes is the largest file
// that can be read; 0 means 16 MiB.
func NewFiles(patterns, trees []string, maxBytes int64) (*Files, error) {
	f := &Files{maxBytes: cmp.Or(maxBytes, defaultFileBytes)}
	for i, p := range slices.Concat(patterns, trees) {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("grant files %s: %w", p, err)
		}
		dir, pattern := filepath.Split(abs)
		dir = filepath.Clean(dir)
		if strings.ContainsAny(dir, `*?[`) {
			return nil, fmt.Errorf("grant files %s: only the last element of a path can be a pattern", p)
		}
		if _, err := filepath.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("grant files %s: %w", p, err)
		}
		if pattern != "" {
			f.rules = append(f.rules, rule{text: p, dir: dir, pattern: pattern})
		}
		if i >= len(patterns) && !strings.ContainsAny(pattern, `*?[`) {
			f.rules = append(f.rules, rule{text: p, dir: abs})
		}
	}
	return f, nil
}

// Patterns returns what is granted, sorted.
func (f *Files) Patterns() []string {
	if f == nil {
		return nil
	}
	texts := make([]string, len(f.rules))
	for i, r := range f.rules {
		texts[i] = r.text
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// find returns the rule that grants the absolute path and the path below the rule's folder.
func (f *Files) find(abs string) (rule, string, bool) {
	if f == nil {
		return rule{}, "", false
	}
	for _, r := range f.rules {
		rel, err := filepath.Rel(r.dir, abs)
		if err != nil || !filepath.IsLocal(rel) || rel == "." {
			continue
		}
		if r.pattern == "" {
			return r, rel, true
		}
		if ok, err := filepath.Match(r.pattern, rel); err == nil && ok {
			return r, rel, true
		}
	}
	return rule{}, "", false
}

// open opens a granted regular file. The caller closes it.
func (f *Files) open(op, name string) (*os.File, fs.FileInfo, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", op, name, err)
	}
	r, rel, ok := f.find(abs)
	if !ok {
		return nil, nil, fmt.Errorf("%s %s: %w", op, name, ErrNotGranted)
	}
	f.used(r)
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, nil, &fs.PathError{Op: op, Path: name, Err: cause(err)}
	}
	defer func() { _ = root.Close() }()
	// Looked at before it is opened, because opening alone can act on a device, and opened without blocking, because
	// a pipe may have taken its place in between.
	info, err := root.Stat(rel)
	if err != nil {
		return nil, nil, &fs.PathError{Op: op, Path: name, Err: cause(err)}
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s %s: not a regular file: %w", op, name, ErrNotGranted)
	}
	file, err := root.OpenFile(rel, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: op, Path: name, Err: cause(err)}
	}
	info, err = file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s %s: not a regular file: %w", op, name, ErrNotGranted)
	case isProc(file) && !r.isProc(root):
		err = fmt.Errorf("%s %s: the file is about processes, and what is granted does not begin there: %w", op, name, ErrNotGranted)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// isProc reports whether the rule, whose folder is root, begins where files are about processes.
func (r rule) isProc(root *os.Root) bool {
	dir, err := root.Open(".")
	if err != nil {
		return false
	}
	defer func() { _ = dir.Close() }()
	return isProc(dir)
}

// used counts a use of a rule.
func (f *Files) used(r rule) {
	f.usage.count(func(u *Used) map[string]uint64 { return u.Files }, r.text)
}

// cause strips the path that os put on err: it is relative to a root that the guest does not know.
func cause(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// ReadFile implements sdk.Files.
func (f *Files) ReadFile(name string) ([]byte, error) {
	file, info, err := f.open("read", name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if info.Size() > f.maxBytes {
		return nil, fmt.Errorf("read %s: %d bytes are more than the limit of %d", name, info.Size(), f.maxBytes)
	}
	b := make([]byte, 0, info.Size()+1)
	for {
		n, err := file.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", name, cause(err))
		case int64(len(b)) > f.maxBytes:
			return nil, fmt.Errorf("read %s: more than the limit of %d bytes", name, f.maxBytes)
		case len(b) == cap(b):
			b = slices.Grow(b, len(b)+1)
		}
	}
}

// Stat implements sdk.Files.
func (f *Files) Stat(name string) (fs.FileInfo, error) {
	file, info, err := f.open("stat", name)
	if err != nil {
		return nil, err
	}
	return info, file.Close()
}

// Glob implements sdk.Files: only the last element of pattern can be one. A folder that does not exist matches nothing.
func (f *Files) Glob(pattern string) ([]string, error) {
	dir, last := filepath.Split(pattern)
	if strings.ContainsAny(dir, `*?[`) {
		return nil, fmt.Errorf("glob %s: only the last element can be a pattern", pattern)
	}
	if _, err := filepath.Match(last, ""); err != nil {
		return nil, fmt.Errorf("glob %s: %w", pattern, err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("glob %s: %w", pattern, err)
	}
	if !f.grantsIn(abs) {
		return nil, fmt.Errorf("glob %s: %w", pattern, ErrNotGranted)
	}
	if r, _, ok := f.find(filepath.Join(abs, last)); ok {
		f.used(r)
	}
	root, err := os.OpenRoot(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "glob", Path: pattern, Err: cause(err)}
	}
	defer func() { _ = root.Close() }()
	names, err := f.entries(root, abs, last)
	if err != nil {
		return nil, fmt.Errorf("glob %s: %w", pattern, err)
	}
	for i := range names {
		names[i] = filepath.Join(dir, names[i])
	}
	slices.Sort(names)
	return names, nil
}

// grantsIn reports whether anything directly in the folder dir can be granted.
func (f *Files) grantsIn(dir string) bool {
	_, _, below := f.find(filepath.Join(dir, "x"))
	return below || f != nil && slices.ContainsFunc(f.rules, func(r rule) bool { return r.dir == dir })
}

// entries returns the granted regular files in root that match pattern.
func (f *Files) entries(root *os.Root, abs, pattern string) ([]string, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, cause(err)
	}
	defer func() { _ = d.Close() }()
	var names []string
	for seen := 0; seen <= maxEntries; {
		batch, err := d.Readdirnames(readBatch)
		for _, name := range batch {
			if ok, _ := filepath.Match(pattern, name); !ok {
				continue
			}
			if _, _, ok := f.find(filepath.Join(abs, name)); !ok {
				continue
			}
			if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
				names = append(names, name)
			}
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, cause(err)
		}
		seen += len(batch)
	}
	return nil, fmt.Errorf("the folder has more than %d entries", maxEntries)
}
