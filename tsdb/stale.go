package tsdb

import (
	"context"
	"fmt"
	"time"

	"github.com/narthex-io/narthex/tsdb/block"
)

// soon is how long before a block is cut series that ended wait for it.
const soon = 10 * time.Minute

// SetStaleSeriesThreshold changes the share of series that ended, between 0 and 1, from which on these are moved from
// memory to blocks before their time; zero and less, and more than 1, mean never.
func (db *DB) SetStaleSeriesThreshold(share float64) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.opts.StaleSeriesThreshold = share
}

// staleCutIsDue reports whether so many series ended that moving them is worthwhile, and no block is cut soon anyway.
func (db *DB) staleCutIsDue() bool {
	db.mu.RLock()
	threshold := db.opts.StaleSeriesThreshold
	db.mu.RUnlock()
	s := db.head.Stats()
	if threshold <= 0 || s.Series == 0 || !s.Samples {
		return false
	}
	width := db.opts.MinBlockDuration
	if due := width / 2 * 3; s.MaxTime-s.MinTime > (due - min(soon, width/12)).Milliseconds() {
		return false
	}
	stale := db.head.StaleSeries()
	return stale > 0 && float64(stale)/float64(s.Series) >= threshold
}

// cutStale moves series that ended to blocks, one for each range of time. Queries that begin in between see them twice, and
// count them once. Series that go on meanwhile stay.
func (db *DB) cutStale(ctx context.Context) error {
	if !db.staleCutIsDue() {
		return nil
	}
	start := time.Now()
	db.metrics.staleTriggered.Inc()
	err := db.moveStale(ctx)
	db.metrics.staleDuration.Observe(time.Since(start).Seconds())
	if err != nil {
		db.metrics.staleFailed.Inc()
		return fmt.Errorf("move series that ended to blocks: %w", err)
	}
	return nil
}

func (db *DB) moveStale(ctx context.Context) error {
	cut, ok, err := db.head.BeginStaleCut()
	if err != nil || !ok {
		return err
	}
	blocks, err := db.writePart(ctx, db.opts.Dir, block.HintStaleSeries, cut, max(cut.MinTime, db.readHeadFrom()), cut.MaxTime)
	if err != nil {
		cut.Release()
		return err
	}
	db.addBlocks(blocks)
	n, err := cut.Done(ctx)
	if err != nil {
		return err
	}
	db.logger.Info("Moved series that ended to blocks", "blocks", len(blocks), "series", n, "went_on", cut.Count()-n)
	return nil
}
