package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/compact"
	"github.com/narthex-io/narthex/tsdb/head"
)

// defaultMaintenanceInterval is how often the background looks whether something is to be done.
const defaultMaintenanceInterval = time.Minute

// Run cuts blocks from the head, reloads blocks, applies the retention and merges blocks, at once, then once in each
// maintenance interval and as soon as samples arrive that let a block be cut, until ctx ends; beside that it moves complete
// chunks of the head to files. It returns nil then.
// What fails is logged and tried again.
func (db *DB) Run(ctx context.Context) error {
	var mapping sync.WaitGroup
	mapping.Go(func() { db.runMapping(ctx) })
	defer mapping.Wait()
	tick := time.NewTicker(db.opts.MaintenanceInterval)
	defer tick.Stop()
	for {
		if err := db.maintain(ctx); err != nil && ctx.Err() == nil {
			db.logger.Error("Maintenance of the storage failed. Nothing is lost by that; it is tried again", "advice", advice(err), "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-db.head.CutDue():
		}
	}
}

// runMapping moves complete chunks of the head to files once in each interval, and when there are many.
func (db *DB) runMapping(ctx context.Context) {
	tick := time.NewTicker(db.opts.MaintenanceInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-db.head.MapDue():
		}
		if err := db.head.MapChunks(ctx); err != nil && ctx.Err() == nil {
			db.logger.Error("Complete chunks stay in memory", "err", err)
		}
	}
}

// maintain does what is due.
func (db *DB) maintain(ctx context.Context) error {
	give, err := db.maintenance(ctx)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	defer give()
	if db.paused.Load() {
		db.metrics.compactionsSkipped.Inc()
		return db.reload()
	}
	err = errors.Join(db.cutBlocks(ctx), db.cutStale(ctx), db.reload())
	return errors.Join(err, db.compactBlocks(ctx))
}

// SetCompaction turns off and on again what the background does on its own: cutting blocks from the head, and merging
// them. The retention is applied in any case. While it is off, memory and log grow. It does not wait for what runs.
func (db *DB) SetCompaction(enabled bool) { db.paused.Store(!enabled) }

// cutIsDue reports whether the head spans more than one and a half times the range of a block, and has done so for as
// long as the cut may wait. The caller has the turn.
func (db *DB) cutIsDue() bool {
	if !db.head.Wide() {
		db.dueSince = time.Time{}
		return false
	}
	if db.cutDelay == 0 {
		return true
	}
	if db.dueSince.IsZero() {
		db.dueSince = time.Now()
	}
	return time.Since(db.dueSince) >= db.cutDelay
}

// randomDelay returns a time of up to so many percent of a range.
func randomDelay(width time.Duration, percent int) time.Duration {
	longest := width / 100 * time.Duration(percent)
	if longest <= 0 {
		return 0
	}
	return rand.N(longest)
}

// cutBlocks cuts blocks as long as the head spans more than one and a half times the range of a block.
func (db *DB) cutBlocks(ctx context.Context) error {
	width := db.opts.MinBlockDuration.Milliseconds()
	if from := db.readHeadFrom(); db.head.Stats().MinTime < from {
		// The head was not truncated behind the latest block, because a query took too long.
		if err := db.head.Truncate(ctx, from); err != nil {
			return err
		}
	}
	for cuts := 0; ctx.Err() == nil; cuts++ {
		if !db.cutIsDue() {
			if cuts > 0 {
				return db.cutLate(ctx)
			}
			return nil
		}
		s := db.head.Stats()
		db.metrics.compactionsTriggered.Inc()
		start := time.Now()
		if err := db.cut(ctx, s.MinTime, head.RangeEnd(s.MinTime, width)); err != nil {
			db.metrics.compactionsFailed.Inc()
			return fmt.Errorf("cut block from head: %w", err)
		}
		db.metrics.compactions.Inc()
		db.metrics.compactionDuration.Observe(time.Since(start).Seconds())
	}
	return nil
}

func (db *DB) readHeadFrom() int64 {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.headFrom
}

// cut moves the samples in [mint, maxt) from the head to a block. Each query sees them in one of the two: they change
// places in one step, and the head forgets them when no query that was made before is left.
func (db *DB) cut(ctx context.Context, mint, maxt int64) error {
	db.head.Freeze(maxt)
	db.metrics.populating.Set(1)
	meta, err := db.writeBlockTo(ctx, db.opts.Dir, mint, maxt)
	db.metrics.populating.Set(0)
	if err != nil && !errors.Is(err, block.ErrEmpty) {
		return err
	}
	var cut *block.Block
	if err == nil {
		dir := filepath.Join(db.opts.Dir, meta.ULID.String())
		if cut, err = db.openBlock(dir); err != nil {
			return errors.Join(err, db.opts.FS.RemoveAll(dir)) // The samples are still in the head: try again later.
		}
	}
	db.adopt(cut, maxt)
	if cut != nil {
		db.logger.Info("Cut block from head", "block", meta.ULID.String(), "mint", mint, "maxt", maxt,
			"series", meta.Stats.NumSeries, "samples", meta.Stats.NumSamples)
	}
	return db.head.Truncate(ctx, maxt)
}

// adopt makes queries take samples before maxt from blocks, of which cut is the newest unless it is nil.
func (db *DB) adopt(cut *block.Block, maxt int64) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if cut != nil {
		blocks := append(slices.Clip(db.blocks), cut)
		sortBlocks(blocks)
		db.blocks = blocks
	}
	db.headFrom = maxt
}

// writeBlockTo writes the samples in [mint, maxt) of the head as a block in dir.
func (db *DB) writeBlockTo(ctx context.Context, dir string, mint, maxt int64) (block.Meta, error) {
	w, err := block.NewWriter(block.WriterOptions{Dir: dir, MinTime: mint, MaxTime: maxt, SegmentBytes: db.opts.ChunkSegmentBytes, FS: db.opts.FS})
	if err != nil {
		return block.Meta{}, err
	}
	var packer compact.Packer
	add := func(ls labels.Labels, chunks []block.Chunk) error {
		chunks = packer.Pack(chunks)
		db.metrics.observeChunks(chunks)
		return w.Add(ls, chunks)
	}
	if err := db.head.Series(ctx, mint, maxt, add); err != nil {
		return block.Meta{}, errors.Join(err, w.Abort())
	}
	meta, err := w.Finish()
	if err != nil {
		return block.Meta{}, errors.Join(err, w.Abort())
	}
	return meta, nil
}

// MinTime returns the time of the oldest sample in milliseconds; ok is false while there is none.
func (db *DB) MinTime() (mint int64, ok bool) {
	mint = math.MaxInt64
	for _, b := range db.currentBlocks() {
		mint = min(mint, b.Meta().MinTime)
	}
	s := db.head.Stats()
	if s.Samples {
		mint = min(mint, s.MinTime)
	}
	if s.Late {
		mint = min(mint, s.LateMinTime)
	}
	return mint, mint != math.MaxInt64
}
