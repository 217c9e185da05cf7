package tsdb

import "context"

// turn is a mutex that can be waited for with a context.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits until nobody else has the turn, or ctx ends.
func (t turn) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// maintenance takes the turn to change the set of blocks. give must be called unless it fails.
func (db *DB) maintenance(ctx context.Context) (give func(), err error) {
	if err := db.maintaining.take(ctx); err != nil {
		return nil, err
	}
	if db.closed.Load() {
		db.maintaining.give()
		return nil, ErrClosed
	}
	return db.maintaining.give, nil
}
