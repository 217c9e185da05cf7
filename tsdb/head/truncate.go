package head

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// Freeze lets no sample before mint in any more, so that a block can be cut. A batch under way that holds one fails.
func (h *Head) Freeze(mint int64) {
	h.commit.Lock()
	defer h.commit.Unlock()
	h.minValid.Store(max(h.minValid.Load(), mint))
}

// Truncate forgets the samples before mint, series that have none left, and the older part of the log. It waits for the
// queriers that are open when it is called; those made later must not ask for samples before mint.
func (h *Head) Truncate(ctx context.Context, mint int64) error {
	h.truncating.Lock()
	defer h.truncating.Unlock()
	h.metrics.truncations.Inc()
	if err := h.truncate(ctx, mint); err != nil {
		h.metrics.truncationsFailed.Inc()
		return fmt.Errorf("truncate head: %w", err)
	}
	return nil
}

func (h *Head) truncate(ctx context.Context, mint int64) error {
	h.Freeze(mint)
	if err := h.snapshots.wait(ctx); err != nil {
		return fmt.Errorf("wait for queries: %w", err)
	}
	start := time.Now()
	h.collect(mint)
	if err := h.dropFiles(); err != nil {
		return err
	}
	h.metrics.gc.Observe(time.Since(start).Seconds())
	start = time.Now()
	defer func() { h.metrics.walTruncation.Observe(time.Since(start).Seconds()) }()
	return h.checkpoint(mint)
}

// collect drops chunks and series.
func (h *Head) collect(mint int64) {
	// No commit runs meanwhile, so that the bounds stay true.
	h.commit.Lock()
	defer h.commit.Unlock()
	x := &h.index
	x.mu.Lock()
	defer x.mu.Unlock()
	var dead []uint32
	dropped, first, last := 0, int64(math.MaxInt64), int64(math.MinInt64)
	x.each(func(id uint32, p *page) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.slots {
			if p.slots[i].ref == 0 {
				continue
			}
			dropped += p.truncate(&h.slab, i, mint)
			minT, maxT, ok := p.bounds(i)
			_, _, late := p.late[uint8(i)].bounds()
			switch {
			case ok:
				first, last = min(first, minT), max(last, maxT)
			case !late && p.slots[i].pending == 0:
				dead = append(dead, id+uint32(i))
			}
		}
	})
	if len(dead) > 0 {
		x.remove(dead)
		h.extra.remove(dead, h.stoneMint(mint))
	}
	h.chunks.Add(-int64(dropped))
	h.metrics.chunksRemoved.Add(float64(dropped))
	h.metrics.seriesRemoved.Add(float64(len(dead)))
	// A chunk that lies across the bound stays whole, but nobody reads what is before it.
	h.minTime.Store(max(first, mint))
	if first > last {
		h.minTime.Store(math.MaxInt64)
	}
	h.toldWide.Store(false)
	h.noteWidth()
}

// stoneMint returns the time before which deletions are not needed, if what comes in order is from mint on: neither for samples
// that came out of order nor for those that still may. These are refused where they would be deleted, for segments of the log
// that stay may hold the deletion, and a restart would apply it to them.
func (h *Head) stoneMint(mint int64) int64 {
	mint = min(mint, h.lateMin.Load())
	if newest := h.maxTime.Load(); newest > math.MinInt64 {
		mint = min(mint, newest-h.window.Load())
	}
	return mint
}

// remove forgets series, given ascending, and deletions before mint.
func (x *extras) remove(dead []uint32, mint int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	gone := func(id uint32) bool { _, found := slices.BinarySearch(dead, id); return found }
	for id := range x.metadata {
		if gone(id) {
			delete(x.metadata, id)
		}
	}
	for id, all := range x.deleted {
		kept := slices.DeleteFunc(slices.Clone(all), func(d interval) bool { return d.maxT < mint })
		if gone(id) || len(kept) == 0 {
			delete(x.deleted, id)
		} else {
			x.deleted[id] = kept
		}
	}
	for ref, id := range x.aliases {
		if gone(id) {
			delete(x.aliases, ref)
		}
	}
}
