package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb/block"
)

// Snapshot makes a data directory in dir, which must not exist or be empty, with the blocks as hard links, and with the
// samples in memory as a block of their own if withHead is set. dir must be on the same file system and not be the data
// directory itself, though it can lie below. On an error it removes what it made. It waits for a merge that runs;
// appending and queries go on.
func (db *DB) Snapshot(ctx context.Context, dir string, withHead bool) error {
	if err := db.snapshot(ctx, dir, withHead); err != nil {
		return fmt.Errorf("make snapshot %s: %w", dir, err)
	}
	return nil
}

func (db *DB) snapshot(ctx context.Context, dir string, withHead bool) error {
	if _, err := ulid.ParseStrict(filepath.Base(dir)); err == nil {
		return errors.New("its name is that of a block")
	}
	give, err := db.maintenance(ctx)
	if err != nil {
		return err
	}
	defer give()
	made, err := db.makeEmpty(dir)
	if err != nil {
		return err
	}
	err = db.fillSnapshot(ctx, dir, withHead)
	if err == nil {
		return nil
	}
	entries, readErr := os.ReadDir(dir)
	errs := []error{err, readErr}
	for _, e := range entries {
		errs = append(errs, db.opts.FS.RemoveAll(filepath.Join(dir, e.Name())))
	}
	if made {
		errs = append(errs, db.opts.FS.Remove(dir))
	}
	return errors.Join(errs...)
}

// makeEmpty makes a folder, or checks that it is empty, and reports which.
func (db *DB) makeEmpty(dir string) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, db.opts.FS.MkdirAll(dir)
	case err != nil:
		return false, err
	case len(entries) > 0:
		return false, errors.New("the folder is not empty")
	}
	return false, nil
}

func (db *DB) fillSnapshot(ctx context.Context, dir string, withHead bool) error {
	for _, b := range db.currentBlocks() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := db.linkBlock(b.Dir(), filepath.Join(dir, filepath.Base(b.Dir()))); err != nil {
			return err
		}
	}
	if !withHead {
		return nil
	}
	if err := db.snapshotLate(ctx, dir); err != nil {
		return err
	}
	s := db.head.Stats()
	if !s.Samples {
		return nil
	}
	_, err := db.writeBlockTo(ctx, dir, max(s.MinTime, db.readHeadFrom()), s.MaxTime+1)
	if errors.Is(err, block.ErrEmpty) {
		return nil
	}
	return err
}

// linkBlock makes a copy of a block that shares its files. They are never written to, only replaced.
func (db *DB) linkBlock(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return db.opts.FS.MkdirAll(filepath.Join(to, rel))
		}
		return db.opts.FS.Link(path, filepath.Join(to, rel))
	})
}
