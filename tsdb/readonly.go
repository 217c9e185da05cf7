package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/head"
)

// ReadOnly is a data directory as it was when it was opened: its blocks, and what the write-ahead log holds. Nothing in the
// directory is written, locked or mended, so that it may be in use by a server, Prometheus's included. It implements
// [storage.Queryable] and is safe for use by several goroutines.
type ReadOnly struct{ db *DB }

var _ storage.Queryable = (*ReadOnly)(nil)

// ErrNoData means that a folder is no data directory.
var ErrNoData = errors.New("there are neither blocks nor a write-ahead log")

// openAttempts is how often a directory is read again because a server cut a block meanwhile.
const openAttempts = 5

// OpenReadOnly opens the data directory that the options name; of the others, only Logger and MinBlockDuration count. What
// came since is not seen. A block or a part of the log that is damaged is logged and left out.
func OpenReadOnly(ctx context.Context, opts Options) (*ReadOnly, error) {
	opts, err := Options{Dir: opts.Dir, Logger: opts.Logger, MinBlockDuration: opts.MinBlockDuration, StartTimestamps: true}.validated()
	if err != nil {
		return nil, fmt.Errorf("storage options: %w", err)
	}
	db, same, err := openOnce(ctx, opts)
	for range openAttempts - 1 {
		if same || err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// A server has cut or merged blocks meanwhile: what has left the log may be in none of those that were found.
		if db != nil {
			err = db.release()
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			db, same, err = openOnce(ctx, opts)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open storage %s to read it: %w", opts.Dir, err)
	}
	return &ReadOnly{db}, nil
}

// openOnce opens a directory, and reports whether the blocks stayed the same meanwhile.
func openOnce(ctx context.Context, opts Options) (db *DB, same bool, err error) {
	db = &DB{opts: opts, logger: opts.Logger, lock: &directoryLock{}, headFrom: math.MinInt64, maintaining: newTurn(), quarantined: map[string]string{}}
	db.metrics = newMetrics(db)
	names, err := blockNames(opts.Dir)
	if err != nil {
		return nil, false, err
	}
	if _, err := os.Stat(filepath.Join(opts.Dir, "wal")); err != nil && len(names) == 0 {
		return nil, true, ErrNoData
	}
	var blocks, drop []*block.Block
	for _, name := range names {
		b, err := db.openBlock(filepath.Join(opts.Dir, name))
		if err != nil {
			db.quarantine(name, err)
			continue
		}
		blocks = append(blocks, b)
	}
	sortBlocks(blocks)
	db.blocks, drop = db.superfluous(blocks)
	db.headFrom = inBlocks(db.blocks)
	for _, b := range drop {
		err = errors.Join(err, b.Close())
	}
	if err == nil {
		o := db.headOptions()
		o.ReadOnly = true
		db.head, err = head.Open(ctx, o)
	}
	if err != nil {
		return nil, false, errors.Join(err, db.release())
	}
	after, err := blockNames(opts.Dir)
	return db, slices.Equal(names, after), err
}

// Querier returns a querier over the samples in [mint, maxt].
func (r *ReadOnly) Querier(mint, maxt int64) (storage.Querier, error) {
	return r.db.Querier(mint, maxt)
}

// Blocks describes the blocks, in the order of their times.
func (r *ReadOnly) Blocks() []BlockMeta { return r.db.Blocks() }

// HeadStats describes what the write-ahead log held.
func (r *ReadOnly) HeadStats() HeadStats { return r.db.HeadStats() }

// Close lets go of the files, those of blocks once all queriers are closed.
func (r *ReadOnly) Close() error { return r.db.Close() }
