package tsdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/compact"
)

const (
	// A merge that failed is tried again after firstRetry, then after twice the time, up to lastRetry.
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
)

// retry says when blocks whose merge failed are planned again.
type retry struct {
	at   time.Time
	wait time.Duration
}

// compactBlocks merges blocks until there is nothing to merge, or a block is to be cut from the head, which must not
// wait. One merge that fails does not keep others from being done. The caller has the turn.
func (db *DB) compactBlocks(ctx context.Context) error {
	var failed error
	for ctx.Err() == nil && !db.cutIsDue() {
		group := db.plan()
		if len(group) == 0 {
			return failed
		}
		db.metrics.compactionsTriggered.Inc()
		if err := db.compact(ctx, group); err != nil {
			if ctx.Err() != nil {
				return failed
			}
			db.metrics.compactionsFailed.Inc()
			db.postpone(group)
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// plan returns the blocks to merge next.
func (db *DB) plan() []*block.Block {
	blocks := db.currentBlocks()
	byID := make(map[ulid.ULID]*block.Block, len(blocks))
	metas := make([]block.Meta, 0, len(blocks))
	for _, b := range blocks {
		if m := b.Meta(); !mismatched(b) {
			metas = append(metas, m)
			byID[m.ULID] = b
		}
	}
	delayed := db.delayed(metas)
	now := time.Now()
	rules := compact.Rules{
		Ranges:       compact.Ranges(db.opts.MinBlockDuration.Milliseconds(), db.maxBlockDuration().Milliseconds()),
		KeepOverlaps: db.opts.KeepOverlaps,
		Skip:         func(m block.Meta) bool { return delayed(m) || now.Before(db.retries[m.ULID].at) },
	}
	var group []*block.Block
	for _, m := range rules.Plan(metas) {
		group = append(group, byID[m.ULID])
	}
	return group
}

// maxBlockDuration is what the options say, or a tenth of the retention: then no more than a tenth of the data is kept
// longer than it should be.
func (db *DB) maxBlockDuration() time.Duration {
	if db.opts.MaxBlockDuration > 0 {
		return db.opts.MaxBlockDuration
	}
	longest := DefaultMaxBlockDuration
	if r := db.currentRetention().Time; r > 0 {
		longest = min(longest, r/10)
	}
	return max(longest, db.opts.MinBlockDuration)
}

// postpone keeps blocks out of plans for a while.
func (db *DB) postpone(group []*block.Block) {
	for _, b := range group {
		id := b.Meta().ULID
		wait := min(max(2*db.retries[id].wait, firstRetry), lastRetry)
		db.retries[id] = retry{at: time.Now().Add(wait), wait: wait}
	}
}

// compact replaces blocks by one with the same samples, less the deleted ones. The new block names the old ones as its
// parents: if the process dies before they are deleted, the next start knows that they are superfluous. On an error
// everything is as before.
func (db *DB) compact(ctx context.Context, group []*block.Block) error {
	start := time.Now()
	merged, meta, err := db.merge(ctx, group)
	if err != nil {
		return err
	}
	db.replace(group, merged)
	var errs []error
	for _, b := range group {
		delete(db.retries, b.Meta().ULID)
		errs = append(errs, db.deleteBlock(b))
	}
	took := time.Since(start)
	db.metrics.compactions.Inc()
	db.metrics.compactionDuration.Observe(took.Seconds())
	if overlap(group) {
		db.metrics.verticalCompactions.Inc()
	}
	if merged != nil {
		db.logger.Info("Merged blocks", "block", meta.ULID.String(), "mint", meta.MinTime, "maxt", meta.MaxTime, "blocks", len(group),
			"level", meta.Compaction.Level, "samples", meta.Stats.NumSamples, "bytes", merged.Size(), "took", took)
	}
	return errors.Join(errs...)
}

// merge writes and opens the merged block; it is nil if no sample is left.
func (db *DB) merge(ctx context.Context, group []*block.Block) (*block.Block, block.Meta, error) {
	db.metrics.populating.Set(1)
	meta, err := compact.Merge(ctx, compact.Options{Dir: db.opts.Dir, SegmentBytes: db.opts.ChunkSegmentBytes, FS: db.opts.FS}, group...)
	db.metrics.populating.Set(0)
	if errors.Is(err, block.ErrEmpty) {
		return nil, meta, nil
	}
	names := make([]string, len(group))
	for i, b := range group {
		names[i] = filepath.Base(b.Dir())
	}
	if err != nil {
		return nil, meta, fmt.Errorf("%v stay as they are: %w", names, err)
	}
	dir := filepath.Join(db.opts.Dir, meta.ULID.String())
	merged, err := db.openBlock(dir)
	if err != nil {
		// Without its sources nobody could read it: they stay, and it goes.
		return nil, meta, fmt.Errorf("%v stay as they are: %w", names, errors.Join(err, db.opts.FS.RemoveAll(dir)))
	}
	return merged, meta, nil
}

// replace makes queries read merged, unless it is nil, instead of the others.
func (db *DB) replace(others []*block.Block, merged *block.Block) {
	db.mu.Lock()
	defer db.mu.Unlock()
	blocks := slices.DeleteFunc(slices.Clone(db.blocks), func(b *block.Block) bool { return slices.Contains(others, b) })
	if merged != nil {
		blocks = append(blocks, merged)
	}
	sortBlocks(blocks)
	db.blocks = blocks
}

// overlap reports whether some of the blocks, sorted by time, overlap.
func overlap(sorted []*block.Block) bool {
	for i, b := range sorted[1:] {
		if b.Meta().MinTime < sorted[i].Meta().MaxTime {
			return true
		}
	}
	return false
}

// CleanTombstones writes each block anew of which samples are deleted, without them, but for blocks whose folders are not
// named as their descriptions say. It waits for a merge that runs.
// What can't be written anew stays as it is and is named in the error; the others are done.
func (db *DB) CleanTombstones(ctx context.Context) error {
	give, err := db.maintenance(ctx)
	if err != nil {
		return fmt.Errorf("clean tombstones: %w", err)
	}
	defer give()
	start := time.Now()
	defer func() { db.metrics.tombstoneCleanup.Observe(time.Since(start).Seconds()) }()
	var errs []error
	for _, b := range db.currentBlocks() {
		if err := ctx.Err(); err != nil {
			errs = append(errs, err)
			break
		}
		// What takes the place of a block that has another one's name would take that one's place, too.
		if b.Tombstones().Count() > 0 && !mismatched(b) {
			errs = append(errs, db.compact(ctx, []*block.Block{b}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean tombstones: %w", err)
	}
	return nil
}
