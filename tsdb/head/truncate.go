package head

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/narthex-io/narthex/tsdb/wal"
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
		h.extra.remove(dead, min(mint, h.lateMin.Load()))
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

// checkpoint shortens the log: what stays are the series that are alive, and entries from mint on.
func (h *Head) checkpoint(mint int64) error {
	if err := h.log.NextSegment(); err != nil {
		return err
	}
	h.extra.mu.Lock()
	maps.DeleteFunc(h.extra.evicted, func(_ uint64, last int64) bool { return last < mint })
	h.extra.mu.Unlock()
	c := checkpointer{appendSamples: h.appendSamples, mint: mint, stoneMint: min(mint, h.lateMin.Load()), refs: h.refs(), metadata: map[uint64]wal.Metadata{}}
	_, err := h.log.Checkpoint(c.rewrite, h.damaged)
	return err
}

// refs returns the references that the log uses for series that it must name, sorted.
func (h *Head) refs() []uint64 {
	h.index.mu.RLock()
	refs := make([]uint64, 0, h.index.series)
	h.index.each(func(_ uint32, p *page) {
		for i := range p.slots {
			if p.slots[i].ref != 0 {
				refs = append(refs, p.slots[i].ref)
			}
		}
	})
	h.index.mu.RUnlock()
	h.extra.mu.RLock()
	for ref := range h.extra.aliases {
		refs = append(refs, ref)
	}
	for ref := range h.extra.evicted { // Their last samples may be in segments that stay.
		refs = append(refs, ref)
	}
	h.extra.mu.RUnlock()
	slices.Sort(refs)
	return slices.Compact(refs)
}

// checkpointer decides what stays in a checkpoint.
type checkpointer struct {
	appendSamples func(dst []byte, samples []wal.Sample) []byte

	mint int64
	refs []uint64
	// stoneMint is the time before which deletions are not needed: they are about samples out of order, too.
	stoneMint int64
	// metadata is the latest of each series, written at the end.
	metadata map[uint64]wal.Metadata

	series     []wal.Series
	samples    []wal.Sample
	stones     []wal.Tombstone
	exemplars  []wal.Exemplar
	histograms []wal.Histogram
	described  []wal.Metadata
}

func (c *checkpointer) alive(ref uint64) bool {
	_, found := slices.BinarySearch(c.refs, ref)
	return found
}

// rewrite is a [wal.Rewriter]. A record that can't be decoded, or whose type is not known, is dropped: nobody can tell
// whether it is still needed.
func (c *checkpointer) rewrite(rec []byte) ([][]byte, error) {
	if rec == nil {
		return c.latestMetadata(), nil
	}
	switch t := wal.TypeOf(rec); {
	case t == wal.TypeSeries:
		return keep(rec, &c.series, wal.DecodeSeries, wal.AppendSeries, func(s wal.Series) bool { return c.alive(s.Ref) })
	case t == wal.TypeSamples, t == wal.TypeSamplesV2:
		return keep(rec, &c.samples, wal.DecodeSamples, c.appendSamples, func(s wal.Sample) bool { return s.T >= c.mint && c.alive(s.Ref) })
	case t == wal.TypeTombstones:
		return keep(rec, &c.stones, wal.DecodeTombstones, wal.AppendTombstones, func(s wal.Tombstone) bool { return s.MaxT >= c.stoneMint && c.alive(s.Ref) })
	case t == wal.TypeExemplars:
		return keep(rec, &c.exemplars, wal.DecodeExemplars, wal.AppendExemplars, func(e wal.Exemplar) bool { return e.T >= c.mint && c.alive(e.Ref) })
	case t == wal.TypeMetadata:
		c.described, _ = wal.DecodeMetadata(rec, c.described[:0])
		for _, m := range c.described {
			if c.alive(m.Ref) {
				c.metadata[m.Ref] = m
			}
		}
	case t.IsHistograms():
		c.histograms, _ = wal.DecodeHistograms(rec, c.histograms[:0])
		c.histograms = slices.DeleteFunc(c.histograms, func(s wal.Histogram) bool { return s.T < c.mint || !c.alive(s.Ref) })
		return wal.AppendHistograms(nil, c.histograms), nil
	}
	return nil, nil
}

// keep returns the record with the entries for which wanted is true, or none. A damaged record has no entries.
func keep[T any](rec []byte, buf *[]T, decode func([]byte, []T) ([]T, error), encode func([]byte, []T) []byte, wanted func(T) bool) ([][]byte, error) {
	all, _ := decode(rec, (*buf)[:0]) // What can't be decoded now can't be at a restart.
	n := len(all)
	kept := slices.DeleteFunc(all, func(e T) bool { return !wanted(e) })
	*buf = all
	switch len(kept) {
	case 0:
		return nil, nil
	case n:
		return [][]byte{rec}, nil
	}
	return [][]byte{encode(nil, kept)}, nil
}

func (c *checkpointer) latestMetadata() [][]byte {
	all := make([]wal.Metadata, 0, len(c.metadata))
	for _, m := range c.metadata {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b wal.Metadata) int {
		if a.Ref < b.Ref {
			return -1
		}
		return 1
	})
	if len(all) == 0 {
		return nil
	}
	return [][]byte{wal.AppendMetadata(nil, all)}
}
