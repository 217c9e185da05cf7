package plugin

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LockName is the name of the file beside the config that says which plugins may be loaded.
const LockName = "plugins.lock"

// lockHeader is the first line of the file. Another version of the format has another one.
const lockHeader = "# narthex plugins.lock v1"

// lockNote is the second line.
const lockNote = "# Only these plugins are loaded. After a change: narthex plugin lock"

// Locked is one line of a lock: a plugin and the only file that it may have.
type Locked struct {
	Name string
	// SHA256 is the file's digest in lower-case hexadecimal.
	SHA256 string
	// Version is the one in the manifest, for people; it may be empty.
	Version string
}

// Lock says which plugins may be loaded, and from which files. A name may occur several times, for machines of different kinds.
type Lock []Locked

// ReadLock reads the lock in a folder, the config file's. Nil means that there is none.
func ReadLock(dir string) (*Lock, error) {
	path := filepath.Join(dir, LockName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no lock is a usual state
	}
	if err != nil {
		return nil, fmt.Errorf("read the lock of plugins: %w", err)
	}
	l, err := ParseLock(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w: remove the file and write it anew with narthex plugin lock", path, err)
	}
	return &l, nil
}

// ParseLock reads a lock's text. Its errors start with the number of a line.
func ParseLock(text []byte) (Lock, error) {
	lock := Lock{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		switch {
		case n == 1 && line != lockHeader:
			return nil, fmt.Errorf("1: the first line is not %q", lockHeader)
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		digest, version, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if !namePattern.MatchString(name) || !digestPattern.MatchString(digest) {
			return nil, fmt.Errorf("%d: %.100q is not a plugin's name, its sha256 and its version", n, line)
		}
		lock = append(lock, Locked{name, strings.ToLower(digest), strings.TrimSpace(version)})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", n+1, err)
	}
	if n == 0 {
		return nil, errors.New("1: the file is empty")
	}
	return lock, nil
}

// Encode returns the lock's text: sorted lines, the same for the same plugins wherever their files lie.
func (l Lock) Encode() []byte {
	sorted := slices.Clone(l)
	slices.SortFunc(sorted, func(a, b Locked) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.SHA256, b.SHA256))
	})
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s\n", lockHeader, lockNote)
	for _, e := range slices.Compact(sorted) {
		fmt.Fprintln(&b, strings.TrimRight(e.Name+" "+e.SHA256+" "+e.Version, " "))
	}
	return b.Bytes()
}

// Compare returns which lines of l other lacks, and which it has besides.
func (l Lock) Compare(other Lock) (gone, fresh Lock) {
	in := func(l Lock) func(Locked) bool {
		return func(e Locked) bool { return slices.Contains(l, e) }
	}
	return slices.DeleteFunc(slices.Clone(l), in(other)), slices.DeleteFunc(slices.Clone(other), in(l))
}

// of returns the lines for a name.
func (l Lock) of(name string) Lock {
	var found Lock
	for _, e := range l {
		if e.Name == name {
			found = append(found, e)
		}
	}
	return found
}

// lockError means that a file is not the one that the lock names.
type lockError struct{ text string }

// Error implements error.
func (e *lockError) Error() string { return e.text }

// check returns an error unless the lock names exactly this file. A nil lock allows everything.
func (l *Lock) check(f *file) error {
	if l == nil {
		return nil
	}
	lines := l.of(f.name)
	if len(lines) == 0 {
		return &lockError{fmt.Sprintf("%s does not name it: if it is to be used, write the lock anew with narthex plugin lock, and reload", LockName)}
	}
	for _, e := range lines {
		if e.SHA256 == f.digest {
			return nil
		}
	}
	back := "the file that was locked"
	if e := lines[0]; e.Version != "" {
		back = "version " + e.Version
	}
	return &lockError{fmt.Sprintf("its sha256 is %s, but %s has %s: put back %s or, if this file is to be used, write the lock anew with narthex plugin lock, and reload",
		f.digest, LockName, lines[0].SHA256, back)}
}

// MakeLock returns a lock of the plugins that the uses need, as their files are now. What is pinned in the config has to have its
// digest; an earlier lock does not count.
func (c *Catalogue) MakeLock(ctx context.Context, config Config, uses []Use) (Lock, error) {
	config.Lock = nil
	found, err := c.find(ctx, config, uses)
	if err != nil {
		return nil, err
	}
	lock := Lock{}
	var errs []error
	for i := range uses {
		f, err := found.resolve(&uses[i])
		if err != nil {
			errs = append(errs, uses[i].errorf("%w", err))
			continue
		}
		e := Locked{f.name, f.digest, f.manifest.Version}
		if !uses[i].Empty && !slices.Contains(lock, e) {
			lock = append(lock, e)
		}
	}
	return lock, errors.Join(errs...)
}
