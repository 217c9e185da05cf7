package tsdb

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"github.com/narthex-io/narthex/tsdb/block"
)

// SetRetention replaces the bounds. They take effect with the next run of the background, within a minute.
func (db *DB) SetRetention(r Retention) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.opts.Retention = r
}

func (db *DB) currentRetention() Retention {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.opts.Retention
}

// checkRetention makes sure that a bound that the options give can be kept: without knowing the size of the file system
// nothing would be deleted, until the disk is full.
func (db *DB) checkRetention() error {
	r := db.currentRetention()
	if r.Percentage == 0 {
		return nil
	}
	if r.SizeBytes > 0 {
		db.logger.Warn("The retention by size has no effect, because one by percentage is given", "bytes", r.SizeBytes, "percentage", r.Percentage)
	}
	if _, err := db.opts.DiskSize(db.opts.Dir); err != nil {
		return fmt.Errorf("retention of %v%% of the file system: its size is unknown: bound the retention by size instead: %w", r.Percentage, err)
	}
	return nil
}

// sizeLimit returns how many bytes may be kept, zero for no bound.
func (db *DB) sizeLimit(r Retention) int64 {
	if r.Percentage <= 0 {
		return r.SizeBytes
	}
	size, err := db.opts.DiskSize(db.opts.Dir)
	if err != nil {
		db.logger.Warn("Size of the file system is unknown; the retention by percentage is not kept, that by size is",
			"percentage", r.Percentage, "bytes", r.SizeBytes, "err", err)
		return r.SizeBytes
	}
	return max(1, int64(float64(size)/100*r.Percentage))
}

// diskSize asks the kernel.
func diskSize(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	size := int64(s.Blocks) * s.Bsize
	if size <= 0 {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: errors.New("the file system has no size")}
	}
	return size, nil
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
		return !mismatched(b) && (merged[m.ULID] || m.Compaction.Deletable)
	})
	if retention.Time > 0 {
		newest := int64(math.MinInt64)
		for _, b := range rest {
			newest = max(newest, b.Meta().MaxTime)
		}
		remove(&old, func(b *block.Block) bool { return newest-b.Meta().MaxTime >= retention.Time.Milliseconds() })
	}
	if limit := db.sizeLimit(retention); limit > 0 {
		over := db.oversize(rest, limit)
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

// headBytes is the size on disk of the logs and of head chunks.
func (db *DB) headBytes() int64 {
	if db.head == nil {
		return 0
	}
	sum := db.head.ChunkFilesSize()
	if n, err := db.head.LogSize(); err == nil {
		sum += n
	}
	return sum
}
