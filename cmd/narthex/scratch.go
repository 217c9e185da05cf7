package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb"
)

// scratch is a storage in a folder of its own that is gone when it is closed.
type scratch struct {
	*tsdb.DB
	dir string
}

// scratchSpan is the time span that a scratch storage keeps in memory unless it needs a longer one.
const scratchSpan = 24 * time.Hour

// openScratch opens an empty storage that keeps a time span in memory.
func openScratch(ctx context.Context, span time.Duration) (*scratch, error) {
	return openIn(ctx, span, func(string) error { return nil })
}

// openCopy opens a copy of a data directory, which may be in use: the blocks are linked, and what is still being written
// is copied.
func openCopy(ctx context.Context, dir string) (*scratch, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return openIn(ctx, 0, func(data string) error { return copyData(dir, data) })
}

func openIn(ctx context.Context, span time.Duration, fill func(data string) error) (*scratch, error) {
	dir, err := os.MkdirTemp("", "narthex-")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := fill(data); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: data, MinBlockDuration: span, NoLockfile: true})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &scratch{db, dir}, nil
}

// Close closes the storage and removes its folder.
func (s *scratch) Close() error { return errors.Join(s.DB.Close(), os.RemoveAll(s.dir)) }

// copyData makes a data directory of another one.
func copyData(from, to string) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	data := false
	for _, e := range entries {
		put := func(old, new string) error { return copyFile(old, new) }
		switch name := e.Name(); {
		case name == "wal", name == "wbl", name == "chunks_head":
		case isBlock(name):
			put = os.Symlink // The storage replaces files, and never writes into one that is complete.
		default:
			continue
		}
		data = true
		if err := copyTree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), put); err != nil {
			return fmt.Errorf("copy %s: %w", e.Name(), err)
		}
	}
	if !data {
		return errors.New("it has neither blocks nor a write-ahead log: it is no data directory")
	}
	return nil
}

func isBlock(name string) bool {
	_, err := ulid.ParseStrict(name)
	return err == nil
}

// copyTree makes the folders below from anew and has put make the files. What disappears meanwhile is left out.
func copyTree(from, to string, put func(from, to string) error) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o777)
		}
		if err := put(path, filepath.Join(to, rel)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
