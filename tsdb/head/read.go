package head

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/headchunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// querier is a snapshot.
type querier struct {
	h          *Head
	mint, maxt int64
	// from is the time from which on samples that came in order are shown.
	from        int64
	number, seq uint64
	// deletions is the number of the last deletion that the snapshot knows of.
	deletions uint64
	closed    atomic.Bool
}

// Querier returns a snapshot of the samples in [mint, maxt].
func (h *Head) Querier(mint, maxt int64) (storage.Querier, error) {
	return h.QuerierFrom(math.MinInt64, mint, maxt)
}

// QuerierFrom is Querier for those who have the samples before from that came in order elsewhere: these are left out.
func (h *Head) QuerierFrom(from, mint, maxt int64) (storage.Querier, error) {
	if h.closed.Load() {
		return nil, ErrClosed
	}
	q := &querier{h: h, mint: mint, maxt: maxt, from: from, deletions: h.lastDeletion()}
	q.number, q.seq = h.snapshots.take()
	return q, nil
}

// Close releases the snapshot.
func (q *querier) Close() error {
	if !q.closed.Swap(true) {
		q.h.snapshots.release(q.number)
	}
	return nil
}

// bounds returns the range of time that hints ask for.
func (q *querier) bounds(hints *storage.SelectHints) (mint, maxt int64) {
	if hints == nil {
		return q.mint, q.maxt
	}
	return max(q.mint, hints.Start), min(q.maxt, hints.End)
}

// find returns the series that the matchers select and that show samples in [mint, maxt].
func (q *querier) find(ctx context.Context, mint, maxt int64, ms []*labels.Matcher) ([]uint32, error) {
	ids, err := index.PostingsForMatchers(ctx, &q.h.index, ms...)
	if err != nil {
		return nil, fmt.Errorf("select in head: %w", err)
	}
	kept := ids[:0]
	// The lock is given up now and then, so that new series need not wait for a large selection.
	for batch := range slices.Chunk(ids, 4096) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("select in head: %w", err)
		}
		q.h.index.mu.RLock()
		for len(batch) > 0 {
			// Those of a page are looked at together.
			first, n := batch[0]/pageSize, 1
			for n < len(batch) && batch[n]/pageSize == first {
				n++
			}
			kept = q.filterPage(kept, batch[:n], mint, maxt)
			batch = batch[n:]
		}
		q.h.index.mu.RUnlock()
	}
	return kept, nil
}

// filterPage appends those series of a page that have samples to show. The caller holds the lock of the index.
func (q *querier) filterPage(kept, ids []uint32, mint, maxt int64) []uint32 {
	p := q.h.index.page(ids[0])
	if p == nil {
		return kept
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if i := int(id % pageSize); p.slots[i].ref != 0 && q.showsLocked(p, i, mint, maxt) {
			kept = append(kept, id)
		}
	}
	return kept
}

// shows reports whether the snapshot has samples of the series in [mint, maxt], as far as bounds tell.
func (q *querier) shows(p *page, i int, mint, maxt int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return q.showsLocked(p, i, mint, maxt)
}

// showsLocked is shows for those who hold the lock of the page.
func (q *querier) showsLocked(p *page, i int, mint, maxt int64) bool {
	limit, hidden := p.visibleUntil(i, q.seq)
	if last, open := p.newestOpen(i); open && !hidden && p.slots[i].openMin <= maxt && last >= max(mint, q.from) {
		return true // Fast path: the chunks before it, which may be out of the processor's reach, need not be looked at.
	}
	first, last, ok := p.bounds(i)
	if lateMin, lateMax, late := p.late[uint8(i)].bounds(); late && lateMin <= maxt && lateMax >= mint {
		return true
	}
	mint = max(mint, q.from)
	return ok && first <= maxt && last >= mint && (!hidden || first < limit)
}

// Select implements [storage.Querier].
func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{q: q}
	set.mint, set.maxt = q.bounds(hints)
	if hints != nil {
		set.latest = hints.Latest
		if hints.Projection {
			set.project = &hints.ProjectionLabels
		}
	}
	if set.mint > set.maxt {
		return set
	}
	q.h.extra.mu.RLock()
	set.deleted = len(q.h.extra.deleted) > 0
	q.h.extra.mu.RUnlock()
	set.ids, set.err = q.find(ctx, set.mint, set.maxt, ms)
	if sorted {
		set.ids = q.h.index.sort(set.ids)
	}
	if hints != nil && hints.Limit > 0 && len(set.ids) > hints.Limit {
		set.ids = set.ids[:hints.Limit]
	}
	return set
}

// LabelNames implements [storage.LabelQuerier].
func (q *querier) LabelNames(ctx context.Context, _ storage.LabelHints, ms ...*labels.Matcher) ([]string, storage.Warnings, error) {
	var names []string
	x := &q.h.index
	if len(ms) == 0 {
		x.mu.RLock()
		defer x.mu.RUnlock()
		names = slices.Grow(names, len(x.pairs.names))
		for name := range x.pairs.names {
			names = append(names, name)
		}
		slices.Sort(names)
		return names, nil, nil
	}
	err := q.eachPair(ctx, ms, func(e *pair) { names = append(names, e.name.name) })
	slices.Sort(names)
	return slices.Compact(names), nil, err
}

// LabelValues implements [storage.LabelQuerier].
func (q *querier) LabelValues(ctx context.Context, name string, _ storage.LabelHints, ms ...*labels.Matcher) ([]string, storage.Warnings, error) {
	var values []string
	x := &q.h.index
	if len(ms) == 0 {
		x.mu.RLock()
		if n, ok := x.pairs.names[name]; ok {
			values = make([]string, 0, len(n.values))
			for value := range n.values {
				values = append(values, value)
			}
		}
		x.mu.RUnlock()
		slices.Sort(values)
		return values, nil, nil
	}
	values, err := index.LabelValues(ctx, x, name, func(id uint32) bool {
		x.mu.RLock()
		defer x.mu.RUnlock()
		p, i := x.at(id)
		return p != nil && q.shows(p, i, q.mint, q.maxt)
	}, ms...)
	if err != nil {
		return nil, nil, fmt.Errorf("label values in head: %w", err)
	}
	return values, nil, nil
}

// eachPair calls f once with each pair of the selected series.
func (q *querier) eachPair(ctx context.Context, ms []*labels.Matcher, f func(*pair)) error {
	ids, err := q.find(ctx, q.mint, q.maxt, ms)
	if err != nil {
		return err
	}
	seen := map[uint32]struct{}{}
	x := &q.h.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, id := range ids {
		p, i := x.at(id)
		if p == nil {
			continue
		}
		for _, number := range p.labels(i) {
			if _, ok := seen[number]; !ok {
				seen[number] = struct{}{}
				f(&x.pairs.all[number])
			}
		}
	}
	return nil
}

// seriesSet goes through the selected series.
type seriesSet struct {
	q          *querier
	mint, maxt int64
	ids        []uint32
	project    *[]string
	// latest says that the latest sample of each series suffices.
	latest bool
	// deleted says that something was deleted, if not of these series.
	deleted bool
	// ready are the series that are handed out next.
	ready []series
	at    *series
	err   error
}

func (s *seriesSet) Next() bool {
	if s.err != nil || len(s.ids) == 0 {
		return false
	}
	if len(s.ready) == 0 {
		s.ready = s.prepare(s.ids[:min(512, len(s.ids))])
	}
	s.at, s.ready = &s.ready[0], s.ready[1:]
	s.ids = s.ids[1:]
	return true
}

// prepare makes series, with one look into the index.
func (s *seriesSet) prepare(ids []uint32) []series {
	made := make([]series, len(ids))
	x := &s.q.h.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	for k, id := range ids {
		made[k] = series{set: s, page: x.page(id), id: id}
	}
	return made
}

// Size returns how many series are left.
func (s *seriesSet) Size() int { return len(s.ids) }

func (s *seriesSet) At() storage.Series         { return s.at }
func (s *seriesSet) Err() error                 { return s.err }
func (s *seriesSet) Warnings() storage.Warnings { return nil }

// series is one series of a snapshot.
type series struct {
	set *seriesSet
	// page holds the series until it is removed; it may be nil then.
	page *page
	id   uint32
}

// Labels makes the labels; they are empty if the series was removed meanwhile.
func (s *series) Labels() labels.Labels { return s.set.q.h.index.projected(s.id, s.set.project) }

func (s *series) Samples(reuse storage.ColumnReader) storage.ColumnReader {
	r, ok := reuse.(*columnReader)
	if !ok {
		r = &columnReader{}
	}
	set, h := s.set, s.set.q.h
	r.latest, r.deleted = set.latest, nil
	if set.deleted {
		r.deleted = h.deletedOf(s.id, set.q.deletions)
	}
	// What came in order is shown from a time on, what came out of order from the beginning.
	late := h.openInOrder(r, s.page, s.id, set.q.seq, max(set.q.from, set.mint), set.maxt)
	r.late, r.err = late.points(set.mint, set.maxt)
	return r
}

// columnReader reads one series, a chunk at a time.
type columnReader struct {
	mint, maxt int64
	full       []byte
	// open is a copy of the chunk that is being filled, with its bounds; empty if there is none.
	open             []byte
	openEnc          chunk.Encoding
	openMin, openMax int64
	// latest says that the latest sample suffices; if it is at hand, it is all that is read.
	latest  bool
	last    sample.Sample
	hasLast bool
	deleted []interval
	// late are what came out of order, those that were not read yet.
	late []latePoint
	disk *headchunk.Store
	// decoder keeps its memory from one series to the next.
	decoder chunk.Decoder
	err     error
}

// lastDeletion returns the number of the last deletion.
func (h *Head) lastDeletion() uint64 {
	h.extra.mu.RLock()
	defer h.extra.mu.RUnlock()
	return h.extra.deletions
}

// deletedOf returns what the deletions up to that number, in whose order the intervals are, have deleted of a series.
func (h *Head) deletedOf(id uint32, last uint64) []interval {
	h.extra.mu.RLock()
	defer h.extra.mu.RUnlock()
	known := h.extra.deleted[id]
	for len(known) > 0 && known[len(known)-1].deletion > last {
		known = known[:len(known)-1]
	}
	return known
}

// pageOf returns the page of a series, nil if it was removed.
func (h *Head) pageOf(id uint32) *page {
	h.index.mu.RLock()
	defer h.index.mu.RUnlock()
	return h.index.page(id)
}

// openInOrder makes r read what a snapshot shows of a series on a page, less what r says is deleted. It leaves what came
// out of order to its caller.
func (h *Head) openInOrder(r *columnReader, p *page, id uint32, seq uint64, mint, maxt int64) (late lateReading) {
	r.full, r.open, r.openEnc, r.openMin, r.openMax = nil, r.open[:0], chunk.EncNone, 0, 0
	r.mint, r.maxt, r.late, r.disk, r.err, r.hasLast = mint, maxt, nil, h.disk, nil, false
	if p == nil {
		return late
	}
	i := int(id % pageSize)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots[i].ref == 0 {
		return late
	}
	late = p.readLate(i, seq)
	if limit, hidden := p.visibleUntil(i, seq); hidden {
		r.maxt = min(r.maxt, limit-1)
	}
	if r.latest && len(r.deleted) == 0 && len(late.open)+len(late.full) == 0 {
		if r.last, r.hasLast = p.latest(i); r.hasLast && r.last.T >= mint && r.last.T <= r.maxt {
			return late
		}
		r.hasLast = false
	}
	last, ok := p.newestOpen(i)
	if !ok || p.slots[i].openMin > mint { // Else all of them are earlier.
		r.full = p.complete(i)
	}
	if ok && p.slots[i].openMin <= r.maxt && last >= mint {
		r.open, r.openEnc = p.openChunk(&h.slab, i, r.open), p.openEncoding(i)
		r.openMin, r.openMax = p.slots[i].openMin, last
	}
	return late
}

// Read appends the samples of the next chunk.
func (r *columnReader) Read(dst *storage.Columns) bool {
	if r.hasLast {
		r.hasLast = false
		dst.Append(r.last.T, r.last.F, nil)
		return true
	}
	before := dst.Len()
	for dst.Len() == before && r.err == nil {
		var data []byte
		enc := r.openEnc
		switch {
		case len(r.full) > 0:
			var c fullChunk
			c, r.full = nextFull(r.full)
			if c.maxT < r.mint || c.minT > r.maxt {
				continue
			}
			if enc, data, r.err = c.load(r.disk); r.err != nil {
				r.err = fmt.Errorf("read chunk in head: %w", r.err)
				return dst.Len() > before
			}
		case len(r.open) > 0:
			data, r.open = r.open, r.open[:0]
		case len(r.late) > 0:
			r.late = mergeLate(dst, before, r.late, math.MaxInt64)
			dropDeleted(dst, before, r.deleted)
			continue
		default:
			return false
		}
		if err := r.decoder.Decode(enc, data, r.mint, r.maxt, (*chunk.Columns)(dst)); err != nil {
			r.err = fmt.Errorf("read chunk in head: %w", err)
			return dst.Len() > before
		}
		if n := dst.Len(); n > before && len(r.late) > 0 {
			r.late = mergeLate(dst, before, r.late, dst.T[n-1])
		}
		dropDeleted(dst, before, r.deleted)
	}
	return dst.Len() > before
}

// Err returns why reading failed.
func (r *columnReader) Err() error { return r.err }

// Bounds returns times between which the samples that are left lie.
func (r *columnReader) Bounds() (minT, maxT int64) {
	minT, maxT = math.MaxInt64, math.MinInt64
	if r.hasLast {
		return r.last.T, r.last.T
	}
	if len(r.full) > 0 {
		c, _ := nextFull(r.full)
		minT, maxT = max(r.mint, c.minT), r.maxt // Only the first one's bounds are cheap.
	}
	if len(r.open) > 0 {
		minT, maxT = min(minT, max(r.mint, r.openMin)), max(maxT, min(r.maxt, r.openMax))
	}
	if n := len(r.late); n > 0 {
		minT, maxT = min(minT, r.late[0].t), max(maxT, r.late[n-1].t)
	}
	return minT, maxT
}

// dropDeleted removes, from sample number from on, those in the deleted ranges. What a histogram says about the one before
// it is forgotten if that is removed.
func dropDeleted(c *storage.Columns, from int, deleted []interval) {
	if len(deleted) == 0 {
		return
	}
	n, gap := from, false
	for k := from; k < len(c.T); k++ {
		t := c.T[k]
		if inAny(deleted, t) {
			gap = true
			continue
		}
		c.T[n], c.F[n] = c.T[k], c.F[k]
		if len(c.H) > 0 {
			c.H[n] = c.H[k]
		}
		if len(c.ST) > 0 {
			c.ST[n] = c.ST[k]
		}
		if gap {
			c.ForgetReset(n)
			gap = false
		}
		n++
	}
	c.T, c.F = c.T[:n], c.F[:n]
	clear(c.H[min(n, len(c.H)):])
	c.H, c.ST = c.H[:min(n, len(c.H))], c.ST[:min(n, len(c.ST))]
}

func inAny(deleted []interval, t int64) bool {
	return slices.ContainsFunc(deleted, func(d interval) bool { return d.minT <= t && t <= d.maxT })
}

// Series calls f with each series that has samples in [mint, maxt), in the order of their labels, and the chunks that
// hold exactly these and are valid until f returns; it stops when f fails. Samples that are committed meanwhile may be missing: see [Head.Freeze].
func (h *Head) Series(ctx context.Context, mint, maxt int64, f func(labels.Labels, []block.Chunk) error) error {
	q := &querier{h: h, mint: mint, maxt: maxt - 1, from: math.MinInt64}
	q.number, q.seq = h.snapshots.take()
	defer func() { _ = q.Close() }()
	ids, err := q.find(ctx, mint, maxt-1, nil)
	if err != nil {
		return err
	}
	return h.eachSeries(ctx, q.seq, h.index.sort(ids), mint, maxt, f)
}

// eachSeries calls f with each of the series and its chunks, as Series does.
func (h *Head) eachSeries(ctx context.Context, seq uint64, ids []uint32, mint, maxt int64, f func(labels.Labels, []block.Chunk) error) (err error) {
	var r columnReader
	var chunks []block.Chunk
	for n, id := range ids {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r.deleted = h.deletedOf(id, math.MaxUint64)
		h.openInOrder(&r, h.pageOf(id), id, seq, mint, maxt-1)
		if chunks, err = r.chunks(chunks[:0], h.damagedChunk); err != nil {
			return fmt.Errorf("series %s: %w", h.index.labels(id), err)
		}
		if len(chunks) == 0 {
			continue
		}
		if err := f(h.index.labels(id), chunks); err != nil {
			return err
		}
	}
	return nil
}

// chunks returns the chunks that lie within the bounds as they are, and others cut down to them. Those that can't be read
// any more are left out and reported.
func (r *columnReader) chunks(dst []block.Chunk, damaged func(error)) ([]block.Chunk, error) {
	add := func(c fullChunk) error {
		if c.maxT < r.mint || c.minT > r.maxt {
			return nil
		}
		var err error
		if c.enc, c.data, err = c.load(r.disk); err != nil {
			damaged(err)
			return nil
		}
		if c.minT < r.mint || c.maxT > r.maxt || len(r.deleted) > 0 {
			kept, err := chunk.Filter(c.enc, c.data, func(t int64) bool { return r.mint <= t && t <= r.maxt && !inAny(r.deleted, t) })
			if err != nil || len(kept.Data) == 0 {
				return err
			}
			c.data, c.minT, c.maxT = kept.Data, kept.MinT, kept.MaxT
		}
		dst = append(dst, block.Chunk{Encoding: c.enc, Data: c.data, MinTime: c.minT, MaxTime: c.maxT})
		return nil
	}
	for b := r.full; len(b) > 0; {
		var c fullChunk
		c, b = nextFull(b)
		if err := add(c); err != nil {
			return dst, err
		}
	}
	if len(r.open) > 0 {
		err := add(fullChunk{enc: r.openEnc, minT: r.openMin, maxT: r.openMax, data: r.open})
		return dst, err
	}
	return dst, nil
}
