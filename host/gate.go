package host

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// errNotOpen is what reading fails with before the storage is open, and reading and writing after it was closed.
var errNotOpen = errors.New("the storage is not open")

// gate is the storage as the other parts see it: it can be there or not. Queries that are under way hold the gate, so
// that the storage is closed after they have ended.
type gate struct {
	// log, if set, is told when storing begins to fail and when it works again; once, since every scrape would say so.
	log     *slog.Logger
	mu      sync.RWMutex
	db      *tsdb.DB
	readers sync.WaitGroup
	early   early // until the storage is open
	closed  bool
	failing atomic.Bool
}

var (
	_ storage.Appendable = (*gate)(nil)
	_ storage.Queryable  = (*gate)(nil)

	_ storage.ExemplarQueryable = (*gate)(nil)
)

// open lets everybody in, after it stored the batches that came early.
func (g *gate) open(ctx context.Context, db *tsdb.DB) {
	log := cmp.Or(g.log, slog.New(slog.DiscardHandler))
	g.mu.Lock()
	waiting := g.early.take()
	g.mu.Unlock()
	stored, rejected := storeEarly(ctx, db, waiting, log) // most of them, while more may come
	g.mu.Lock()
	defer g.mu.Unlock()
	more, no := storeEarly(ctx, db, g.early.take(), log)
	g.db = db
	if stored += more; stored > 0 {
		log.Info("samples that were scraped while the storage was opening are stored", "samples", stored, "rejected", rejected+no)
	}
}

// await makes a batch wait for the storage, unless that is open by now: then it is returned.
func (g *gate) await(batch []earlySample) (*tsdb.DB, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.db != nil:
		return g.db, nil
	case g.closed:
		return nil, errNotOpen
	}
	return nil, g.early.add(batch)
}

// shut lets nobody in any more and waits for the queries under way.
func (g *gate) shut() {
	g.mu.Lock()
	g.db, g.closed = nil, true
	g.mu.Unlock()
	g.readers.Wait()
}

// get returns the storage, or nil.
func (g *gate) get() *tsdb.DB {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.db
}

// Appender starts a batch. Before the storage is open it waits for that; afterwards it fails.
func (g *gate) Appender() storage.Appender {
	if db := g.get(); db != nil {
		return &watchedAppender{Appender: db.Appender(), gate: g}
	}
	return &watchedAppender{Appender: &earlyAppender{gate: g}, gate: g}
}

// watchedAppender tells the gate how committing went.
type watchedAppender struct {
	storage.Appender
	gate *gate
}

// Commit commits the batch.
func (a *watchedAppender) Commit(ctx context.Context) error {
	err := a.Appender.Commit(ctx)
	g := a.gate
	switch {
	case err != nil && !g.failing.Swap(true) && g.log != nil:
		g.log.Error("samples are not stored; scrapes go on and fail until this is mended", "err", err)
	case err == nil && g.failing.Load() && g.failing.Swap(false) && g.log != nil:
		g.log.Info("samples are stored again")
	}
	return err
}

// Querier returns a snapshot of the storage, if it is open.
func (g *gate) Querier(mint, maxt int64) (storage.Querier, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.db == nil {
		return nil, errNotOpen
	}
	q, err := g.db.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	g.readers.Add(1)
	return &gatedQuerier{Querier: q, done: sync.OnceFunc(g.readers.Done)}, nil
}

// Exemplars asks the storage, if it is open.
func (g *gate) Exemplars(ctx context.Context, mint, maxt int64, matchers ...[]*labels.Matcher) ([]storage.SeriesExemplars, error) {
	db := g.get()
	if db == nil {
		return nil, errNotOpen
	}
	return db.Exemplars(ctx, mint, maxt, matchers...)
}

type gatedQuerier struct {
	storage.Querier
	done func()
}

// Close releases the snapshot and the gate.
func (q *gatedQuerier) Close() error {
	defer q.done()
	return q.Querier.Close()
}
