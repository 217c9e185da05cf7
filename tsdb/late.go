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
	"github.com/narthex-io/narthex/tsdb/compact"
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
	blocks, err := db.writePart(ctx, db.opts.Dir, block.HintOutOfOrder, cut, cut.MinTime, cut.MaxTime)
	if err != nil {
		db.metrics.compactionsFailed.Inc()
		return fmt.Errorf("cut blocks of out-of-order samples: %w", err)
	}
	db.addBlocks(blocks)
	db.metrics.compactions.Inc()
	db.metrics.compactionDuration.Observe(time.Since(start).Seconds())
	db.logger.Info("Cut blocks of out-of-order samples", "blocks", len(blocks), "mint", cut.MinTime, "maxt", cut.MaxTime)
	return cut.Done(ctx)
}

// partCut is a part of the head on its way into blocks.
type partCut interface {
	Series(ctx context.Context, mint, maxt int64, f func(labels.Labels, []block.Chunk) error) error
}

// writePart writes the samples in [mint, maxt] of a cut as blocks in dir, one for each range of time, and opens them. On an
// error none is left.
func (db *DB) writePart(ctx context.Context, dir, hint string, cut partCut, mint, maxt int64) (blocks []*block.Block, err error) {
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
	for mint <= maxt {
		end := head.RangeEnd(mint, width)
		b, err := db.writePartBlock(ctx, dir, hint, cut, end-width, end)
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

// writePartBlock returns nil if the cut has no samples in [mint, maxt).
func (db *DB) writePartBlock(ctx context.Context, dir, hint string, cut partCut, mint, maxt int64) (*block.Block, error) {
	w, err := block.NewWriter(block.WriterOptions{
		Dir: dir, MinTime: mint, MaxTime: maxt, SegmentBytes: db.opts.ChunkSegmentBytes, FS: db.opts.FS,
		Compaction: block.Compaction{Hints: []string{hint}},
	})
	if err != nil {
		return nil, err
	}
	var packer compact.Packer
	add := func(ls labels.Labels, chunks []block.Chunk) error {
		chunks = packer.Pack(chunks)
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
	b, err := db.openBlock(path)
	if err != nil {
		return nil, errors.Join(err, db.opts.FS.RemoveAll(path))
	}
	return b, nil
}

// addBlocks makes queries read further blocks.
func (db *DB) addBlocks(blocks []*block.Block) {
	db.mu.Lock()
	defer db.mu.Unlock()
	all := append(slices.Clip(db.blocks), blocks...)
	sortBlocks(all)
	db.blocks = all
}

// snapshotLate writes the samples that came out of order as blocks in dir. They stay in the head.
func (db *DB) snapshotLate(ctx context.Context, dir string) error {
	cut, ok, err := db.head.BeginLateCut()
	if err != nil || !ok {
		return err
	}
	blocks, err := db.writePart(ctx, dir, block.HintOutOfOrder, cut, cut.MinTime, cut.MaxTime)
	for _, b := range blocks {
		err = errors.Join(err, b.Close())
	}
	return err
}
