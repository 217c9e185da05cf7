package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// store keeps groups in a folder, each in a file of its own: a line "narthex-notify 1 CRC32C", the checksum of the rest in
// hexadecimal, and then the group as JSON. A file is replaced as a whole, or not at all.
type store struct{ dir string }

const magic = "narthex-notify 1 "

// maxFile bounds what is read of a file, in bytes.
const maxFile = 64 << 20

func encode(g *group) ([]byte, error) {
	body, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%s%08x\n", magic, checksum(body)), body...), nil
}

func parse(text []byte) (*group, error) {
	head, body, ok := bytes.Cut(text, []byte("\n"))
	if !ok || !bytes.HasPrefix(head, []byte(magic)) {
		return nil, errors.New("not a group of alerts")
	}
	if want := fmt.Sprintf("%s%08x", magic, checksum(body)); want != string(head) {
		return nil, errors.New("the checksum differs")
	}
	var g group
	if err := json.Unmarshal(body, &g); err != nil {
		return nil, err
	}
	if g.Alerts == nil {
		g.Alerts = map[string]*alert{}
	}
	for print, a := range g.Alerts {
		if a == nil || print != fingerprint(a.Labels) {
			return nil, errors.New("an alert is not what its fingerprint says")
		}
	}
	for print := range g.Batch {
		if g.Alerts[print] == nil {
			return nil, errors.New("a batch names an alert that is not there")
		}
	}
	return &g, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (s store) path(g *group) string { return filepath.Join(s.dir, fingerprint(g.Labels)+".group") }

// save writes the group, durably.
func (s store) save(g *group) (err error) {
	text, err := encode(g)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.dir, "tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), s.path(g)); err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (s store) remove(g *group) error {
	err := os.Remove(s.path(g))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// damagedError is a file that cannot be used and was removed.
type damagedError struct {
	path string
	err  error
}

func (e *damagedError) Error() string { return fmt.Sprintf("%s: %v", e.path, e.err) }
func (e *damagedError) Unwrap() error { return e.err }

// load reads all groups. The errors are those of files that were left out: a [*damagedError] of one that is damaged, and
// was removed, and others of files that could not be read, and stay.
func (s store) load() (groups []*group, errs []error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		return nil, errs
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "tmp-"): // A write that was interrupted.
			_ = os.Remove(path)
		case strings.HasSuffix(e.Name(), ".group"):
			g, err := read(path)
			if damaged, ok := errors.AsType[*damagedError](err); ok {
				damaged.err = errors.Join(damaged.err, os.Remove(path))
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			g.saved = true
			groups = append(groups, g)
		}
	}
	return groups, errs
}

func read(path string) (*group, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, &damagedError{path, errors.New("not a file of a sensible size")}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g, err := parse(text)
	if err != nil {
		return nil, &damagedError{path, err}
	}
	return g, nil
}
