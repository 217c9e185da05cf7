package tsdb

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

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
			if b, err = db.openBlock(filepath.Join(db.opts.Dir, name)); err != nil {
				db.quarantine(name, err)
				failed = errors.Join(failed, err)
				continue
			}
			delete(db.quarantined, name) // It is whole again.
		}
		blocks = append(blocks, b)
	}
	for _, b := range open {
		gone = append(gone, b) // Somebody else deleted it.
	}
	sortBlocks(blocks)
	db.reportMismatched(blocks)
	keep, drop := db.superfluous(blocks)
	db.setBlocks(keep)
	db.leftOut.Store(int64(len(names) - len(blocks)))
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

// openBlock opens a block whose damage is counted and logged when queries come across it.
func (db *DB) openBlock(dir string) (*block.Block, error) {
	b, err := block.Open(dir)
	if err != nil {
		return nil, err
	}
	b.OnDamage(func(err error) {
		db.metrics.queryDamage.Inc()
		if db.damage.first(dir, err.Error()) {
			db.logger.Error("A query came across damage in a block and failed; other series and times can be queried. Restore the block from a backup, or"+
				" delete its folder to get rid of the error. Only the first places in a block are logged", "block", filepath.Base(dir), "err", err)
		}
	})
	return b, nil
}

// quarantine reports a block that is left out, with what is missing for it. It stays where it is, for a human to look at.
func (db *DB) quarantine(name string, err error) {
	if db.quarantined[name] == err.Error() {
		return
	}
	db.quarantined[name] = err.Error()
	attrs := []any{"block", name, "err", err}
	if m, merr := block.ReadMeta(filepath.Join(db.opts.Dir, name)); merr == nil {
		attrs = append(attrs, "from", formatTime(m.MinTime), "to", formatTime(m.MaxTime), "series", m.Stats.NumSeries, "samples", m.Stats.NumSamples)
	} else {
		attrs = append(attrs, "made", formatTime(int64(timeOf(name))))
	}
	db.logger.Error("Block cannot be opened; going on without it. Its samples are missing from answers, as far as neither other blocks nor the log have them."+
		" It stays as it is: repair it or put a backup in its place, which is then read within a minute, or delete the folder", attrs...)
}

// mismatched reports whether a block's folder is not named as its description says, as a copy that somebody made. It is
// read, but since others may have the same name, nobody can tell what may be deleted for it: it stays.
func mismatched(b *block.Block) bool { return filepath.Base(b.Dir()) != b.Meta().ULID.String() }

// reportMismatched does so once for each block.
func (db *DB) reportMismatched(blocks []*block.Block) {
	for _, b := range blocks {
		name := filepath.Base(b.Dir())
		if !mismatched(b) || db.quarantined[name] != "" {
			continue
		}
		id := b.Meta().ULID.String()
		db.quarantined[name] = id
		_, err := os.Stat(filepath.Join(db.opts.Dir, id))
		db.logger.Warn("A block's folder has another name than its meta.json says. It is read, but not merged with others. If it is a copy, delete it;"+
			" else change the ulid in its meta.json to the folder's name", "block", name, "ulid", id, "both_there", err == nil)
	}
}

// formatTime formats milliseconds for humans.
func formatTime(millis int64) string { return time.UnixMilli(millis).UTC().Format(time.RFC3339) }

// timeOf returns when a block was named, in milliseconds.
func timeOf(name string) uint64 {
	id, err := ulid.ParseStrict(name)
	if err != nil {
		return 0
	}
	return id.Time()
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

// places remembers places of damage, by block, so that each is logged once.
type places struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

// maxPlaces is the number of places in a block after which none is logged any more.
const maxPlaces = 5

func (p *places) first(block, place string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]map[string]bool{}
	}
	if p.seen[block] == nil {
		p.seen[block] = map[string]bool{}
	}
	seen := p.seen[block]
	if seen[place] || len(seen) >= maxPlaces {
		return false
	}
	seen[place] = true
	return true
}
