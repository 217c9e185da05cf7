package head

import (
	"context"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// StaleCut is a set of series that ended, on its way into blocks. It holds a snapshot: call [StaleCut.Done] or
// [StaleCut.Release].
type StaleCut struct {
	h *Head
	// MinTime and MaxTime bound the samples, both included.
	MinTime, MaxTime int64
	q                *querier
	// newest are the times of the stale markers at the ends of the series.
	newest map[uint32]int64
}

// isStale reports whether the latest sample of a series is a stale marker. The caller holds the lock.
func (p *page) isStale(i int) bool {
	s := &p.slots[i]
	switch {
	case s.ref == 0:
		return false
	case s.native:
		return p.native[uint8(i)].last.IsStale()
	}
	return s.xor.Samples() > 0 && sample.IsStale(s.xor.LastV())
}

// ended reports whether a series can be moved to a block as a whole: its latest sample is a stale marker, nothing came
// out of order and nothing is under way. The caller holds the lock.
func (p *page) ended(i int) bool {
	return p.isStale(i) && p.slots[i].pending == 0 && p.late[uint8(i)] == nil
}

// BeginStaleCut takes the series that ended for blocks; ok is false if there are none. Write them with
// [StaleCut.Series], then call [StaleCut.Done].
func (h *Head) BeginStaleCut() (c *StaleCut, ok bool, err error) {
	if h.closed.Load() {
		return nil, false, ErrClosed
	}
	c = &StaleCut{h: h, MinTime: math.MaxInt64, MaxTime: math.MinInt64, newest: map[uint32]int64{}}
	h.index.mu.RLock()
	h.index.each(func(first uint32, p *page) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.slots {
			if !p.ended(i) {
				continue
			}
			minT, maxT, _ := p.bounds(i)
			c.newest[first+uint32(i)] = maxT
			c.MinTime, c.MaxTime = min(c.MinTime, minT), max(c.MaxTime, maxT)
		}
	})
	h.index.mu.RUnlock()
	if len(c.newest) == 0 {
		return nil, false, nil
	}
	c.q = &querier{h: h, from: math.MinInt64}
	c.q.number, c.q.seq = h.snapshots.take()
	return c, true, nil
}

// Count returns the number of series.
func (c *StaleCut) Count() int { return len(c.newest) }

// Series calls f with each series of the cut that has samples in [mint, maxt), in the order of labels, and the chunks
// that hold exactly these; it stops when f fails.
func (c *StaleCut) Series(ctx context.Context, mint, maxt int64, f func(labels.Labels, []block.Chunk) error) error {
	ids := make([]uint32, 0, len(c.newest))
	for id := range c.newest {
		ids = append(ids, id)
	}
	return c.h.eachSeries(ctx, c.q.seq, c.h.index.sort(ids), mint, maxt, f)
}

// Release gives the cut up.
func (c *StaleCut) Release() { _ = c.q.Close() }

// Done forgets the series of the cut, which are in blocks by now, but for those that got another sample since. It waits for
// the queriers that are open when it is called, and returns the number of series that it forgot. The log is told, so that
// a restart does not bring them back.
func (c *StaleCut) Done(ctx context.Context) (int, error) {
	h := c.h
	c.Release()
	if err := h.snapshots.wait(ctx); err != nil {
		return 0, fmt.Errorf("wait for queries: %w", err)
	}
	h.truncating.Lock()
	defer h.truncating.Unlock()
	start := time.Now()
	h.commit.Lock()
	defer h.commit.Unlock()
	if h.closed.Load() {
		return 0, ErrClosed
	}
	n := h.evict(c.newest)
	h.metrics.gc.Observe(time.Since(start).Seconds())
	return n, h.logEvictions()
}

// evict forgets series whose newest sample has the given time and which are still at their end. The caller holds the
// commit lock.
func (h *Head) evict(newest map[uint32]int64) int {
	x := &h.index
	x.mu.Lock()
	defer x.mu.Unlock()
	var dead []uint32
	dropped := 0
	evicted := map[uint64]int64{}
	x.each(func(first uint32, p *page) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.slots {
			id := first + uint32(i)
			t, wanted := newest[id]
			if last, ok := p.newest(i); !wanted || !ok || last != t || !p.ended(i) {
				continue
			}
			dropped += p.truncate(&h.slab, i, math.MaxInt64)
			evicted[p.slots[i].ref] = t
			dead = append(dead, id)
		}
	})
	if len(dead) == 0 {
		return 0
	}
	h.extra.evict(dead, newest, evicted)
	for ref := range evicted {
		h.owed = append(h.owed, wal.Tombstone{Ref: ref, MinT: math.MinInt64, MaxT: math.MaxInt64})
	}
	x.remove(dead)
	h.extra.remove(dead, math.MinInt64)
	h.chunks.Add(-int64(dropped))
	h.metrics.chunksRemoved.Add(float64(dropped))
	h.metrics.seriesRemoved.Add(float64(len(dead)))
	return len(dead)
}

// evict notes the references of series that are forgotten, and when their last samples are.
func (x *extras) evict(dead []uint32, newest map[uint32]int64, refs map[uint64]int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	gone := make(map[uint32]bool, len(dead))
	for _, id := range dead {
		gone[id] = true
	}
	for ref, id := range x.aliases {
		if gone[id] {
			x.evicted[ref] = newest[id]
		}
	}
	maps.Copy(x.evicted, refs)
}

// logEvictions tells the log, as upstream does, that series are in blocks as a whole: by a deletion of all times, which
// holds for what the log has before it. The caller holds the commit lock.
func (h *Head) logEvictions() error {
	if len(h.owed) == 0 {
		return nil
	}
	if err := h.log.Append(wal.AppendTombstones(nil, h.owed)); err != nil {
		return fmt.Errorf("note series that were moved to blocks: %w", err)
	}
	h.owed = nil
	h.bounds.evicted = h.log.Index()
	return nil
}

// isEviction reports whether a deletion is one that logEvictions wrote: others end where their samples do.
func isEviction(s wal.Tombstone) bool { return s.MinT == math.MinInt64 && s.MaxT == math.MaxInt64 }

// evict forgets what came in order for a series that was moved to blocks as a whole at this point of the log.
func (p *player) evict(ref uint64) {
	h := p.h
	if p.reader.Segment().Dir == p.o.WAL.Dir {
		h.bounds.evicted = p.reader.Segment().Index
	}
	id, ok := p.ids.get(ref)
	if !ok {
		return
	}
	p.shards.wait()
	p.attachAll(id) // A series of the same labels that came later has another reference, which is not named yet.
	page, i := h.index.at(id)
	last, ok := page.newest(i)
	if !ok {
		return
	}
	h.extra.evicted[ref] = last
	h.chunks.Add(-int64(page.truncate(&h.slab, i, math.MaxInt64)))
	delete(h.extra.deleted, id)
}

// survey are numbers that are counted when they are asked for.
type survey struct {
	stale, natives int
	// buckets is the number of buckets of the latest histograms.
	buckets int
}

// survey counts. It looks at all series, which takes some milliseconds for a million of them.
func (h *Head) survey() (s survey) {
	h.index.mu.RLock()
	defer h.index.mu.RUnlock()
	h.index.each(func(_ uint32, p *page) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.slots {
			if p.isStale(i) {
				s.stale++
			}
		}
		s.natives += len(p.native)
		for _, n := range p.native {
			switch last := n.last; {
			case last.Int != nil:
				s.buckets += len(last.Int.PositiveBuckets) + len(last.Int.NegativeBuckets)
			case last.Float != nil:
				s.buckets += len(last.Float.PositiveBuckets) + len(last.Float.NegativeBuckets)
			}
		}
	})
	return s
}

// StaleSeries returns the number of series whose latest sample is a stale marker.
func (h *Head) StaleSeries() int { return h.survey().stale }
