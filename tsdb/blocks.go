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
		if err := os.RemoveAll(filepath.Join(db.opts.Dir, name)); err != nil {
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

// superfluous separates the blocks to keep from those to delete, all sorted by time.
func (db *DB) superfluous(blocks []*block.Block) (keep, drop []*block.Block) {
	merged := map[ulid.ULID]bool{}
	for _, b := range blocks {
		for _, p := range b.Meta().Compaction.Parents {
			merged[p.ULID] = true
		}
	}
	retention := db.currentRetention()
	rest := slices.Clone(blocks)
	remove := func(n *int, why func(b *block.Block) bool) {
		rest = slices.DeleteFunc(rest, func(b *block.Block) bool {
			if !why(b) {
				return false
			}
			drop = append(drop, b)
			*n++
			return true
		})
	}
	var replaced, old, excess int
	remove(&replaced, func(b *block.Block) bool {
		m := b.Meta()
		return merged[m.ULID] || m.Compaction.Deletable
	})
	if retention.Time > 0 {
		newest := int64(math.MinInt64)
		for _, b := range rest {
			newest = max(newest, b.Meta().MaxTime)
		}
		remove(&old, func(b *block.Block) bool { return newest-b.Meta().MaxTime >= retention.Time.Milliseconds() })
	}
	if retention.SizeBytes > 0 {
		over := db.oversize(rest, retention.SizeBytes)
		remove(&excess, func(b *block.Block) bool { return over[b] })
	}
	if old > 0 {
		db.metrics.timeRetentions.Inc()
	}
	if excess > 0 {
		db.metrics.sizeRetentions.Inc()
	}
	return rest, drop
}

// oversize returns the oldest blocks, without which everything takes no more than limit bytes.
func (db *DB) oversize(blocks []*block.Block, limit int64) map[*block.Block]bool {
	newestFirst := slices.Clone(blocks)
	slices.SortStableFunc(newestFirst, func(a, b *block.Block) int {
		switch x, y := a.Meta().MaxTime, b.Meta().MaxTime; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	sum := db.headBytes()
	over := map[*block.Block]bool{}
	for _, b := range newestFirst {
		sum += b.Size()
		if sum > limit {
			over[b] = true
		}
	}
	return over
}

// headBytes is the size on disk of the log and of head chunks that another program left.
func (db *DB) headBytes() int64 {
	var sum int64
	if db.head != nil {
		if n, err := db.head.LogSize(); err == nil {
			sum += n
		}
	}
	entries, err := os.ReadDir(filepath.Join(db.opts.Dir, "chunks_head"))
	if err != nil {
		return sum
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// deleteBlock deletes a block's folder. Queries that use it go on.
func (db *DB) deleteBlock(b *block.Block) error {
	meta := b.Meta()
	db.logger.Info("Deleting block", "block", meta.ULID.String(), "mint", meta.MinTime, "maxt", meta.MaxTime)
	tmp := b.Dir() + block.TmpForDeletion
	if err := errors.Join(b.Close(), os.Rename(b.Dir(), tmp), os.RemoveAll(tmp)); err != nil {
		return fmt.Errorf("delete block %s: %w", meta.ULID, err)
	}
	return nil
}

// inBlocks returns the time before which all samples are in blocks. Blocks of out-of-order samples say nothing about
// that.
func inBlocks(blocks []*block.Block) int64 {
	end := int64(math.MinInt64)
	for _, b := range blocks {
		if m := b.Meta(); !slices.Contains(m.Compaction.Hints, block.HintOutOfOrder) {
			end = max(end, m.MaxTime)
		}
	}
	return end
}
