package head

import (
	"cmp"
	"maps"
	"slices"

	"github.com/narthex-io/narthex/tsdb/wal"
)

// checkpointRecord is the number of entries that a record of a checkpoint has at most. Damage costs the record that it hits, or the
// page of 32 KiB if it hits the length of one: smaller records lose less. They also compress worse (BenchmarkCheckpoint).
const checkpointRecord = 128

// checkpoint shortens the log: what stays are the series that are alive, and entries from mint on. The caller holds
// truncating.
func (h *Head) checkpoint(mint int64) error {
	last, how, err := h.planCheckpoint(mint)
	if err != nil || how == noCheckpoint {
		return err
	}
	stoneMint := h.stoneMint(mint)
	if how == fromMemory {
		err = h.log.Checkpoint(last, func(add func(recs ...[]byte) error) error { return h.writeState(add, stoneMint) })
	} else {
		c := checkpointer{appendSamples: h.appendSamples, mint: mint, stoneMint: stoneMint, refs: h.refs(), metadata: map[uint64]wal.Metadata{}}
		err = h.log.Rewrite(last, c.rewrite, h.damaged)
	}
	if err != nil {
		return err
	}
	h.commit.Lock()
	defer h.commit.Unlock()
	h.bounds.drop(last)
	return nil
}

// Ways to make a checkpoint.
type checkpointKind uint8

const (
	noCheckpoint checkpointKind = iota
	// fromMemory writes what is in memory: nothing in the segments is needed but what was forgotten.
	fromMemory
	// fromLog reads the segments and copies what is needed.
	fromLog
)

// planCheckpoint ends a segment and says up to which one the log is to be shortened, and how.
func (h *Head) planCheckpoint(mint int64) (last int, how checkpointKind, err error) {
	h.commit.Lock()
	defer h.commit.Unlock()
	if err := h.log.NextSegment(); err != nil {
		return 0, noCheckpoint, err
	}
	h.noteSegments()
	h.extra.mu.Lock()
	maps.DeleteFunc(h.extra.evicted, func(_ uint64, last int64) bool { return last < mint })
	evicted := len(h.extra.evicted)
	h.extra.mu.Unlock()
	last, ok := h.bounds.before(mint)
	switch {
	case !ok:
		// Something in the log is far ahead, or time hardly goes on.
		if last, ok = h.bounds.older(); ok {
			return last, fromLog, nil
		}
		return 0, noCheckpoint, nil
	case evicted > 0 || h.bounds.evicted > last:
		// Their labels are not in memory any more. And what the log says of evictions is about the references that it
		// named before: they must not come behind a series of the same labels that came later.
		return last, fromLog, nil
	}
	return last, fromMemory, nil
}

// logBounds tell up to which time the complete segments of the log have samples and exemplars. The commit lock guards
// them.
type logBounds struct {
	all []logBound
	// newest is the latest time in the log.
	newest int64
	// evicted is the last segment that may tell of evictions.
	evicted int
}

// logBound says that nothing in the segments up to last is later than newest.
type logBound struct {
	last   int
	newest int64
}

// note takes notice of a time in the log.
func (b *logBounds) note(t int64) { b.newest = max(b.newest, t) }

// end says that the segments up to last are complete.
func (b *logBounds) end(last int) {
	if n := len(b.all); n == 0 || b.all[n-1].last < last {
		b.all = append(b.all, logBound{last: last, newest: b.newest})
	}
}

// before returns the last segment up to which everything is before mint; ok is false if there is none.
func (b *logBounds) before(mint int64) (last int, ok bool) {
	for _, o := range b.all {
		if o.newest >= mint {
			break
		}
		last, ok = o.last, true
	}
	return last, ok
}

// manyBounds is the number of complete segments from which on the log is read to be shortened where nothing else helps.
const manyBounds = 6

// older returns the segment at two thirds of the complete ones; ok is false while there are few.
func (b *logBounds) older() (last int, ok bool) {
	if len(b.all) < manyBounds {
		return 0, false
	}
	return b.all[(len(b.all)-1)*2/3].last, true
}

// drop forgets the segments up to last.
func (b *logBounds) drop(last int) {
	b.all = slices.DeleteFunc(b.all, func(o logBound) bool { return o.last <= last })
}

// noteSegments notes which segments are complete. The caller holds the commit lock; what was written to them is in
// memory.
func (h *Head) noteSegments() {
	h.bounds.note(h.maxTime.Load())
	h.bounds.end(h.log.Index() - 1)
}

// noteLogged notes that the batch is in the log and in memory.
func (a *appender) noteLogged() {
	for i := range a.exemplars {
		a.h.bounds.note(a.exemplars[i].T)
	}
	a.h.noteSegments()
}

// writeState hands over, as records, what the log has to say besides samples and exemplars.
func (h *Head) writeState(add func(recs ...[]byte) error, stoneMint int64) error {
	named := h.named()
	var buf []byte
	series := make([]wal.Series, 0, checkpointRecord)
	for part := range slices.Chunk(named, checkpointRecord) {
		series = series[:0]
		for _, n := range part {
			if ls := h.index.labels(n.id); !ls.IsEmpty() {
				series = append(series, wal.Series{Ref: n.ref, Labels: ls})
			}
		}
		if len(series) == 0 {
			continue
		}
		buf = wal.AppendSeries(buf[:0], series)
		if err := add(buf); err != nil {
			return err
		}
	}
	stones, metadata := h.notes(named, stoneMint)
	for part := range slices.Chunk(stones, checkpointRecord) {
		buf = wal.AppendTombstones(buf[:0], part)
		if err := add(buf); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(metadata, checkpointRecord) {
		buf = wal.AppendMetadata(buf[:0], part)
		if err := add(buf); err != nil {
			return err
		}
	}
	return nil
}

// namedSeries is a series and a reference that the log uses for it.
type namedSeries struct {
	ref uint64
	id  uint32
}

// named returns all series, each first with the reference that it has in memory.
func (h *Head) named() []namedSeries {
	h.index.mu.RLock()
	all := make([]namedSeries, 0, h.index.series)
	h.index.each(func(first uint32, p *page) {
		for i := range p.slots {
			if ref := p.slots[i].ref; ref != 0 {
				all = append(all, namedSeries{ref, first + uint32(i)})
			}
		}
	})
	h.index.mu.RUnlock()
	n := len(all)
	h.extra.mu.RLock()
	for ref, id := range h.extra.aliases {
		all = append(all, namedSeries{ref, id})
	}
	h.extra.mu.RUnlock()
	slices.SortFunc(all[n:], func(a, b namedSeries) int { return cmp.Compare(a.ref, b.ref) })
	return all
}

// notes returns the deletions that reach beyond a time, and the metadata, of the series.
func (h *Head) notes(named []namedSeries, stoneMint int64) (stones []wal.Tombstone, metadata []wal.Metadata) {
	h.extra.mu.RLock()
	defer h.extra.mu.RUnlock()
	done := make(map[uint32]bool, len(h.extra.deleted)+len(h.extra.metadata))
	for _, n := range named {
		deleted := h.extra.deleted[n.id]
		md, described := h.extra.metadata[n.id]
		if !described && len(deleted) == 0 || done[n.id] {
			continue
		}
		done[n.id] = true
		for _, d := range deleted {
			if d.maxT >= stoneMint {
				stones = append(stones, wal.Tombstone{Ref: n.ref, MinT: d.minT, MaxT: d.maxT})
			}
		}
		if described {
			metadata = append(metadata, wal.Metadata{Ref: n.ref, Metadata: md})
		}
	}
	return stones, metadata
}
