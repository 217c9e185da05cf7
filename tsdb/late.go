package tsdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/head"
)

// SetOutOfOrderWindow changes how far a sample may come behind the newest one and still be taken; zero takes none out of
// order. What was taken before stays.
func (db *DB) SetOutOfOrderWindow(d time.Duration) error {
	return db.head.SetOutOfOrderWindow(d.Milliseconds())
}

// cutLate moves the samples that came out of order to blocks, one for each range of time. Queries that begin in between
// see them twice, and count them once.
func (db *DB) cutLate(ctx context.Context) error {
	cut, ok, err := db.head.BeginLateCut()
	if err != nil || !ok {
		return err
	}
	start := time.Now()
	db.metrics.compactionsTriggered.Inc()
	blocks, err := db.writeLate(ctx, db.opts.Dir, cut)
	if err != nil {
		db.metrics.compactionsFailed.Inc()
		return fmt.Errorf("cut blocks of out-of-order samples: %w", err)
	}
	db.mu.Lock()
	all := append(slices.Clip(db.blocks), blocks...)
	sortBlocks(all)
	db.blocks = all
	db.mu.Unlock()
	db.metrics.compactions.Inc()
	db.metrics.compactionDuration.Observe(time.Since(start).Seconds())
	db.logger.Info("Cut blocks of out-of-order samples", "blocks", len(blocks), "mint", cut.MinTime, "maxt", cut.MaxTime)
	return cut.Done(ctx)
}

// writeLate writes the samples of a cut as blocks in dir and opens them. On an error none is left.
func (db *DB) writeLate(ctx context.Context, dir string, cut *head.LateCut) (blocks []*block.Block, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, b := range blocks {
			err = errors.Join(err, b.Close(), db.opts.FS.RemoveAll(b.Dir()))
		}
		blocks = nil
	}()
	width := db.opts.MinBlockDuration.Milliseconds()
	for mint := cut.MinTime; mint <= cut.MaxTime; {
		end := head.RangeEnd(mint, width)
		b, err := db.writeLateBlock(ctx, dir, end-width, end, cut)
		if err != nil {
			return blocks, err
		}
		if b != nil {
			blocks = append(blocks, b)
		}
		mint = end
	}
	return blocks, nil
}

// writeLateBlock returns nil if the cut has no samples in [mint, maxt).
func (db *DB) writeLateBlock(ctx context.Context, dir string, mint, maxt int64, cut *head.LateCut) (*block.Block, error) {
	w, err := block.NewWriter(block.WriterOptions{
		Dir: dir, MinTime: mint, MaxTime: maxt, SegmentBytes: db.opts.ChunkSegmentBytes, FS: db.opts.FS,
		Compaction: block.Compaction{Hints: []string{block.HintOutOfOrder}},
	})
	if err != nil {
		return nil, err
	}
	add := func(ls labels.Labels, chunks []block.Chunk) error {
		db.metrics.observeChunks(chunks)
		return w.Add(ls, chunks)
	}
	if err := cut.Series(ctx, mint, maxt, add); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	meta, err := w.Finish()
	if errors.Is(err, block.ErrEmpty) {
		return nil, nil //nolint:nilnil // nothing in this range
	}
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	path := filepath.Join(dir, meta.ULID.String())
	b, err := block.Open(path)
	if err != nil {
		return nil, errors.Join(err, db.opts.FS.RemoveAll(path))
	}
	return b, nil
}

// snapshotLate writes the samples that came out of order as blocks in dir. They stay in the head.
func (db *DB) snapshotLate(ctx context.Context, dir string) error {
	cut, ok, err := db.head.BeginLateCut()
	if err != nil || !ok {
		return err
	}
	blocks, err := db.writeLate(ctx, dir, cut)
	for _, b := range blocks {
		err = errors.Join(err, b.Close())
	}
	return err
}
