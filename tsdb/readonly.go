package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
type ReadOnly struct {
	db *DB
	// unopened are the blocks that can't be opened, by name.
	unopened map[string]error
}

var _ storage.Queryable = (*ReadOnly)(nil)

// ErrNoData means that a folder is no data directory.
var ErrNoData = errors.New("there are neither blocks nor a write-ahead log")

// openAttempts is how often a directory is read again because a server cut a block meanwhile.
const openAttempts = 5

// OpenReadOnly opens the data directory that the options name; of the others, only Logger, MinBlockDuration and
// SkipDamage count. What came since is not seen. A block or a part of the log that is damaged is logged and left out.
func OpenReadOnly(ctx context.Context, opts Options) (*ReadOnly, error) {
	opts, err := Options{
		Dir: opts.Dir, Logger: opts.Logger, MinBlockDuration: opts.MinBlockDuration, SkipDamage: opts.SkipDamage, StartTimestamps: true,
	}.validated()
	if err != nil {
		return nil, fmt.Errorf("storage options: %w", err)
	}
	r, same, err := openOnce(ctx, opts)
	for range openAttempts - 1 {
		if same || err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// A server has cut or merged blocks meanwhile: what has left the log may be in none of those that were found.
		if r != nil {
			err = r.db.release()
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			r, same, err = openOnce(ctx, opts)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open storage %s to read it: %w", opts.Dir, err)
	}
	r.reportUnopened()
	return r, nil
}

// openOnce opens a directory, and reports whether the blocks stayed the same meanwhile.
func openOnce(ctx context.Context, opts Options) (r *ReadOnly, same bool, err error) {
	db := &DB{opts: opts, logger: opts.Logger, lock: &directoryLock{}, headFrom: math.MinInt64, maintaining: newTurn(), quarantined: map[string]string{}}
	db.metrics = newMetrics(db)
	r = &ReadOnly{db: db, unopened: map[string]error{}}
	names, err := blockNames(opts.Dir)
	if err != nil {
		return nil, false, err
	}
	if _, err := os.Stat(filepath.Join(opts.Dir, "wal")); err != nil && len(names) == 0 {
		return nil, true, ErrNoData
	}
	blocks := r.openBlocks(names)
	sortBlocks(blocks)
	var drop []*block.Block
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
	return r, slices.Equal(names, after), err
}

// openBlocks opens those blocks that can be opened.
func (r *ReadOnly) openBlocks(names []string) []*block.Block {
	var blocks []*block.Block
	merged := map[string]bool{}
	for _, name := range names {
		b, err := r.db.openBlock(filepath.Join(r.db.opts.Dir, name))
		if err != nil {
			r.unopened[name] = err
			continue
		}
		if r.db.opts.SkipDamage {
			b.SkipDamage()
			b.OnDamage(func(err error) { r.skipped(name, err) })
		}
		blocks = append(blocks, b)
		for _, p := range b.Meta().Compaction.Parents {
			merged[p.ULID.String()] = true
		}
	}
	for name := range merged {
		delete(r.unopened, name) // What is in a block that was made of it is not missing.
	}
	return blocks
}

// reportUnopened reports the blocks that can't be opened.
func (r *ReadOnly) reportUnopened() {
	for _, name := range slices.Sorted(maps.Keys(r.unopened)) {
		r.db.logger.Error("Block cannot be opened; going on without it. Its samples are missing as far as neither other blocks nor the log have them",
			"block", name, "err", r.unopened[name])
	}
}

// skipped reports damage that a query came across and left out.
func (r *ReadOnly) skipped(name string, err error) {
	if r.db.damage.first(name, err.Error()) {
		r.db.logger.Error("Part of a block is damaged; going on without it. Only the first places in a block are reported", "block", name, "err", err)
	}
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
