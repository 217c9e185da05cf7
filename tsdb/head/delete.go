package head

import (
	"context"
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/index"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// Delete deletes the samples in [mint, maxt] of the series that all matchers select, durably. Samples that are
// appended later stay, and so do batches that are not committed when it is called.
func (h *Head) Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	ids, err := index.PostingsForMatchers(ctx, &h.index, ms...)
	if err != nil {
		return fmt.Errorf("delete from head: %w", err)
	}
	h.commit.Lock() // What a batch appends is either deleted or comes later.
	defer h.commit.Unlock()
	if h.closed.Load() {
		return fmt.Errorf("delete from head: %w", ErrClosed)
	}
	// Else a restart would bring back what blocks alone know to be deleted.
	if err := h.logEvictions(); err != nil {
		return fmt.Errorf("delete from head: %w", err)
	}
	deleted, stones := h.stones(ids, mint, maxt)
	if len(stones) == 0 {
		return nil
	}
	if err := h.log.Append(wal.AppendTombstones(nil, stones)); err != nil {
		return fmt.Errorf("delete from head: %w", err)
	}
	h.extra.mu.Lock()
	defer h.extra.mu.Unlock()
	h.extra.deletions++
	for id, d := range deleted {
		d.deletion = h.extra.deletions
		// Readers may hold the slice.
		h.extra.deleted[id] = append(slices.Clip(h.extra.deleted[id]), d)
	}
	return nil
}

// isDeleted reports whether a time of a series is deleted in memory.
func (h *Head) isDeleted(id uint32, t int64) bool {
	h.extra.mu.RLock()
	defer h.extra.mu.RUnlock()
	return inAny(h.extra.deleted[id], t)
}

// stones returns what is deleted of each series, no further than its samples reach, by id and as the log has it.
func (h *Head) stones(ids []uint32, mint, maxt int64) (map[uint32]interval, []wal.Tombstone) {
	deleted := map[uint32]interval{}
	var stones []wal.Tombstone
	h.index.mu.RLock()
	defer h.index.mu.RUnlock()
	for _, id := range ids {
		p, i := h.index.at(id)
		if p == nil {
			continue
		}
		p.mu.Lock()
		first, last, ok := p.span(i)
		p.mu.Unlock()
		d := interval{minT: max(mint, first), maxT: min(maxt, last)}
		if ok && d.minT <= d.maxT {
			deleted[id] = d
			stones = append(stones, wal.Tombstone{Ref: p.slots[i].ref, MinT: d.minT, MaxT: d.maxT})
		}
	}
	return deleted, stones
}
