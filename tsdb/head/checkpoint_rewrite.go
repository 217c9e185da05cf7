package head

import (
	"slices"

	"github.com/narthex-io/narthex/tsdb/wal"
)

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
