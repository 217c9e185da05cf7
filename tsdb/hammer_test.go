package tsdb

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// TestHammer appends, queries, cuts blocks and deletes old ones at once. Each query must see each batch once and
// whole, and from the first that it sees on, all up to the last.
func TestHammer(t *testing.T) {
	const width, end = 12, 240 * minute
	db := openDB(t, t.TempDir())
	done := make(chan struct{})
	var writer, others sync.WaitGroup
	writer.Go(func() { fill(t, db, 0, end, width) })
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					checkContinuous(t, db, width)
				}
			}
		})
	}
	others.Go(func() {
		db.SetRetention(Retention{Time: 2 * time.Hour})
		for {
			select {
			case <-done:
				return
			default:
				if err := db.maintain(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	writer.Wait()
	close(done)
	others.Wait()
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last := checkContinuous(t, db, width); last != end-10_000 {
		t.Errorf("the last batch is at %d", last)
	}
	if n := len(db.currentBlocks()); n < 10 || n > 13 {
		t.Errorf("%d blocks", n)
	}
}

// checkContinuous returns the time of the last batch.
func checkContinuous(t *testing.T, db *DB, width int) (last int64) {
	t.Helper()
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer q.Close() //nolint:errcheck // a test's reader
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	var first int64
	n := 0
	for ; set.Next(); n++ {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil || c.Len() == 0 {
			t.Errorf("%d samples, %v", c.Len(), r.Err())
			return 0
		}
		if n == 0 {
			first, last = c.T[0], c.T[c.Len()-1]
		}
		if c.T[0] != first || c.T[c.Len()-1] != last || int64(c.Len()-1) != (last-first)/10_000 {
			t.Errorf("series %d has %d samples from %d to %d, the first one %d to %d", n, c.Len(), c.T[0], c.T[c.Len()-1], first, last)
		}
	}
	if set.Err() != nil || n != 0 && n != width {
		t.Errorf("%d of %d series, %v", n, width, set.Err())
	}
	return last
}
