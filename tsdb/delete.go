package tsdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/narthex-io/narthex/model/labels"
)

// Delete deletes the samples in [mint, maxt] of the series that all matchers, of which there must be one, select. When
// it returns, the deletion is durable and no query that starts later sees the samples; their space comes back when
// their blocks are merged, or with [DB.CleanTombstones]. After an error some may be deleted already; deleting again does
// no harm. It waits for a merge that runs.
func (db *DB) Delete(ctx context.Context, mint, maxt int64, matchers ...*labels.Matcher) error {
	if len(matchers) == 0 {
		return errors.New("delete samples: no matchers given")
	}
	give, err := db.maintenance(ctx)
	if err != nil {
		return fmt.Errorf("delete samples: %w", err)
	}
	defer give()
	for _, b := range db.currentBlocks() {
		if m := b.Meta(); m.MinTime > maxt || m.MaxTime <= mint {
			continue
		}
		if err := b.Delete(ctx, db.opts.FS, mint, maxt, matchers...); err != nil {
			return fmt.Errorf("delete samples: %w", err)
		}
	}
	if err := db.head.Delete(ctx, mint, maxt, matchers...); err != nil {
		return fmt.Errorf("delete samples: %w", err)
	}
	return nil
}
