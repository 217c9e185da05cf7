package tsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/head"
	"github.com/narthex-io/narthex/tsdb/merge"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// ErrClosed is what calls on a closed DB fail with.
var ErrClosed = head.ErrClosed

// DB is an open data directory. It implements [storage.Appendable] and [storage.Queryable] and is safe for use by
// several goroutines.
type DB struct {
	opts    Options
	logger  *slog.Logger
	metrics *metrics
	lock    *directoryLock
	head    *head.Head
	closed  atomic.Bool

	// maintaining serializes what changes the set of blocks, or deletes from them.
	maintaining turn
	// quarantined are the blocks that can't be opened, with the reason, and retries those whose merge failed; maintaining
	// guards both.
	quarantined map[string]string
	retries     map[ulid.ULID]retry
	// cutDelay is how long a block that is due waits for being cut; maintaining guards since when one is.
	cutDelay time.Duration
	dueSince time.Time
	paused   atomic.Bool
	// leftOut is the number of blocks that can't be opened; damage are the places in the others that queries found.
	leftOut atomic.Int64
	damage  places

	// mu guards the set of blocks and the time from which on samples are read from the head: they change together.
	mu       sync.RWMutex
	blocks   []*block.Block
	headFrom int64
}

var (
	_ storage.Appendable = (*DB)(nil)
	_ storage.Queryable  = (*DB)(nil)
)

// Open locks the directory, opens its blocks and reads the write-ahead log; afterwards everything that was
// acknowledged before is there. It starts no goroutine: run [DB.Run] for the background. ctx interrupts reading the
// log. A block or a part of the log that is damaged is reported and left out.
func Open(ctx context.Context, opts Options) (*DB, error) {
	opts, err := opts.validated()
	if err != nil {
		return nil, fmt.Errorf("storage options: %w", err)
	}
	db := &DB{
		opts: opts, logger: opts.Logger, lock: &directoryLock{}, headFrom: math.MinInt64,
		maintaining: newTurn(), quarantined: map[string]string{}, retries: map[ulid.ULID]retry{},
		cutDelay: randomDelay(opts.MinBlockDuration, opts.CutDelayPercent),
	}
	db.metrics = newMetrics(db)
	db.metrics.registerReplay(opts.Registerer, opts.Replay)
	if err := db.open(ctx); err != nil {
		db.metrics.unregister()
		return nil, fmt.Errorf("open storage %s: %w", opts.Dir, errors.Join(err, db.release()))
	}
	opts.Replay.done.Store(true)
	db.metrics.register()
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	err := os.MkdirAll(db.opts.Dir, 0o777)
	if err != nil {
		return err
	}
	if !db.opts.NoLockfile {
		lock, err := lockDirectory(db.opts.Dir)
		if err != nil {
			return err
		}
		db.lock = lock
	}
	if err := db.checkRetention(); err != nil {
		return err
	}
	if err := db.removeLeftovers(); err != nil {
		return err
	}
	if err := db.reload(); err != nil {
		db.logger.Error("Cannot tidy up the blocks", "err", err)
	}
	db.headFrom = inBlocks(db.blocks)
	db.head, err = head.Open(ctx, db.headOptions())
	return err
}

// headOptions says how the head is opened.
func (db *DB) headOptions() head.Options {
	return head.Options{
		WAL: wal.Options{
			Dir:         filepath.Join(db.opts.Dir, "wal"),
			SegmentSize: int64(db.opts.WALSegmentSize),
			Compression: db.opts.WALCompression.wal(),
			FS:          db.opts.FS,
		},
		LateWAL: wal.Options{
			Dir:         filepath.Join(db.opts.Dir, "wbl"),
			SegmentSize: int64(db.opts.WALSegmentSize),
			Compression: db.opts.WALCompression.wal(),
		},
		SamplesV2:        db.opts.WALCompression == CompressionDefault,
		OutOfOrderWindow: db.opts.OutOfOrderWindow.Milliseconds(),
		XOR2:             db.opts.XOR2, HistogramST: db.opts.HistogramST, KeepST: db.opts.StartTimestamps,

		ChunkDir:     filepath.Join(db.opts.Dir, "chunks_head"),
		MapQueue:     db.opts.HeadChunksQueue,
		ChunkRange:   db.opts.MinBlockDuration.Milliseconds(),
		MinValidTime: db.headFrom,
		MaxExemplars: db.opts.MaxExemplars,
		OnCommit:     db.opts.OnCommit,
		OnSegment:    db.opts.Replay.set,
		Logger:       db.logger,
		Registerer:   db.opts.Registerer,
	}
}

// release gives back what was opened.
func (db *DB) release() error {
	var errs []error
	if db.head != nil {
		errs = append(errs, db.head.Close())
	}
	for _, b := range db.blocks {
		errs = append(errs, b.Close())
	}
	return errors.Join(append(errs, db.lock.release())...)
}

// Appender starts a batch.
func (db *DB) Appender() storage.Appender { return db.head.Appender() }

// Querier returns a snapshot of the samples in [mint, maxt] of the blocks and the head.
func (db *DB) Querier(mint, maxt int64) (storage.Querier, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed.Load() {
		return nil, ErrClosed
	}
	var qs []storage.Querier
	err := db.eachSource(mint, maxt, func(open func(mint, maxt int64) (storage.Querier, error)) error {
		q, err := open(mint, maxt)
		if err == nil {
			qs = append(qs, q)
		}
		return err
	})
	if err != nil {
		for _, q := range qs {
			err = errors.Join(err, q.Close())
		}
		return nil, fmt.Errorf("open querier: %w", err)
	}
	return merge.Queriers(qs...), nil
}

// Exemplars returns those in [mint, maxt] of the series that one of the sets of matchers selects.
func (db *DB) Exemplars(ctx context.Context, mint, maxt int64, matchers ...[]*labels.Matcher) ([]storage.SeriesExemplars, error) {
	return db.head.Exemplars(ctx, mint, maxt, matchers...)
}

// SetMaxExemplars changes how many exemplars are kept, zero for none.
func (db *DB) SetMaxExemplars(n int) { db.head.SetMaxExemplars(n) }

// SetXOR2 makes new chunks of floats have the encoding XOR2, or XOR again.
func (db *DB) SetXOR2(on bool) { db.head.SetXOR2(on) }

// eachSource calls f with what opens the blocks and the head, as far as they can have samples in [mint, maxt].
func (db *DB) eachSource(mint, maxt int64, f func(open func(mint, maxt int64) (storage.Querier, error)) error) error {
	for _, b := range db.blocks {
		if m := b.Meta(); m.MinTime > maxt || m.MaxTime <= mint {
			continue
		}
		if err := f(b.Querier); err != nil {
			return err
		}
	}
	from := max(mint, db.headFrom)
	s := db.head.Stats()
	inOrder := from <= maxt && (!s.Samples || s.MinTime <= maxt && s.MaxTime >= from)
	late := s.Late && s.LateMinTime <= maxt && s.LateMaxTime >= mint
	if !inOrder && !late {
		return nil
	}
	from = db.headFrom
	return f(func(mint, maxt int64) (storage.Querier, error) { return db.head.QuerierFrom(from, mint, maxt) })
}

// HeadStats describes the samples in memory.
func (db *DB) HeadStats() HeadStats { return HeadStats(db.head.Stats()) }

// HeadStats describes the head.
type HeadStats struct {
	// Series and Chunks are the numbers in memory.
	Series, Chunks int
	// MinTime and MaxTime are the times of the oldest and the newest sample in milliseconds. They have no meaning
	// while Samples is false.
	MinTime, MaxTime int64
	// Samples reports whether the head holds any.
	Samples bool
	// LateMinTime and LateMaxTime are the times of the oldest and the newest sample that came out of order; they have
	// no meaning while Late is false.
	LateMinTime, LateMaxTime int64
	Late                     bool
}

// Cardinality tells where the series in memory come from.
type Cardinality = head.Cardinality

// Count is an entry of the lists in [Cardinality].
type Count = head.Count

// Cardinality counts the series in memory by label, with lists of up to limit entries.
func (db *DB) Cardinality(limit int) Cardinality { return db.head.Cardinality(limit) }

// Close ends the use of the directory: it waits for what is running, writes everything out and releases the lock. Run
// must have returned. Queriers that are still open keep their blocks open until they are closed. Calls after the first
// do nothing.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	db.maintaining <- struct{}{}
	defer db.maintaining.give()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.metrics.unregister()
	if err := db.release(); err != nil {
		return fmt.Errorf("close storage %s: %w", db.opts.Dir, err)
	}
	return nil
}
