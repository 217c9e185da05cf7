package tsdb

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/tsdb/block"
)

// removeLeftovers deletes what an interrupted run left half made or half deleted.
func (db *DB) removeLeftovers() error {
	entries, err := os.ReadDir(db.opts.Dir)
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		base, tmp := strings.CutSuffix(name, block.TmpForCreation)
		if !tmp {
			base, tmp = strings.CutSuffix(name, block.TmpForDeletion)
		}
		if !tmp {
			base, tmp = strings.CutSuffix(name, ".tmp")
		}
		if _, err := ulid.ParseStrict(base); !tmp || err != nil && !strings.HasPrefix(base, "chunk_snapshot.") {
			continue
		}
		db.logger.Info("Removing what an interrupted run left behind", "dir", name)
		if err := db.opts.FS.RemoveAll(filepath.Join(db.opts.Dir, name)); err != nil {
			db.logger.Error("Cannot remove what an interrupted run left behind", "dir", name, "err", err)
		}
	}
	return nil
}

// reload brings the open blocks in line with the directory, deletes those that retention or a merged block makes
// superfluous, and reports every block that can't be opened once. It does not stop at one.
func (db *DB) reload() error {
	db.metrics.reloads.Inc()
	if err := db.reloadBlocks(); err != nil {
		db.metrics.reloadsFailed.Inc()
		return fmt.Errorf("reload blocks: %w", err)
	}
	return nil
}

func (db *DB) reloadBlocks() error {
	names, err := blockNames(db.opts.Dir)
	if err != nil {
		return err
	}
	open := map[string]*block.Block{}
	for _, b := range db.currentBlocks() {
		open[filepath.Base(b.Dir())] = b
	}
	var blocks, gone []*block.Block
	var failed error
	for _, name := range names {
		b, ok := open[name]
		delete(open, name)
		if !ok {
			if b, err = block.Open(filepath.Join(db.opts.Dir, name)); err != nil {
				db.quarantine(name, err)
				failed = errors.Join(failed, err)
				continue
			}
		}
		blocks = append(blocks, b)
	}
	for _, b := range open {
		gone = append(gone, b) // Somebody else deleted it.
	}
	sortBlocks(blocks)
	keep, drop := db.superfluous(blocks)
	db.setBlocks(keep)
	var errs []error
	for _, b := range gone {
		errs = append(errs, b.Close())
	}
	for _, b := range drop {
		errs = append(errs, db.deleteBlock(b))
	}
	if failed != nil {
		db.metrics.reloadsFailed.Inc()
	}
	return errors.Join(errs...)
}

// quarantine reports a block that is left out. It stays where it is, for a human to look at.
func (db *DB) quarantine(name string, err error) {
	if db.quarantined[name] == err.Error() {
		return
	}
	db.quarantined[name] = err.Error()
	db.logger.Error("Block cannot be opened; going on without it", "block", name, "err", err)
}

func blockNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err == nil && e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func sortBlocks(blocks []*block.Block) {
	slices.SortStableFunc(blocks, func(a, b *block.Block) int {
		switch x, y := a.Meta().MinTime, b.Meta().MinTime; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// BlockMeta describes a block; as JSON it is the content of the block's meta.json.
type BlockMeta = block.Meta

// Blocks describes the blocks, in the order of their times.
func (db *DB) Blocks() []BlockMeta {
	blocks := db.currentBlocks()
	metas := make([]BlockMeta, len(blocks))
	for i, b := range blocks {
		metas[i] = b.Meta()
	}
	return metas
}

func (db *DB) currentBlocks() []*block.Block {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.blocks
}

func (db *DB) setBlocks(blocks []*block.Block) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.blocks = blocks
}

// deleteBlock deletes a block's folder. Queries that use it go on.
func (db *DB) deleteBlock(b *block.Block) error {
	meta := b.Meta()
	db.logger.Info("Deleting block", "block", meta.ULID.String(), "mint", meta.MinTime, "maxt", meta.MaxTime)
	tmp := b.Dir() + block.TmpForDeletion
	fs := db.opts.FS
	if err := errors.Join(b.Close(), fs.Rename(b.Dir(), tmp), fs.RemoveAll(tmp)); err != nil {
		return fmt.Errorf("delete block %s: %w", meta.ULID, err)
	}
	return nil
}

// inBlocks returns the time before which all samples are in blocks. Blocks of a part of the head say nothing about that.
func inBlocks(blocks []*block.Block) int64 {
	end := int64(math.MinInt64)
	for _, b := range blocks {
		if m := b.Meta(); !m.Compaction.Partial() {
			end = max(end, m.MaxTime)
		}
	}
	return end
}
