package head

import (
	"cmp"
	"math"
	"slices"

	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/headchunk"
)

// mappedChunks are the chunks that earlier runs wrote to files, while the log is read. Those of one series are chained in
// the order in which they were written.
type mappedChunks struct {
	all []mappedChunk
	// ends lead from the log's references to the chains.
	ends map[uint64]chainEnds
	// next are, by the id of the series, the chunks that the log has not come to yet. The slice, but not what it leads to,
	// is guarded by the index's lock.
	next []*[cursorPage]cursor
}

const cursorPage = 1024

type mappedChunk struct {
	minT, maxT int64
	ref        headchunk.Ref
	after      int32 // place in all, plus one
	enc        chunk.Encoding
}

type chainEnds struct{ first, last int32 } // places, plus one

// cursor is the chunk that a series comes to next, and whether there is one: at is its place plus one. Without one the
// times are the largest, so that all samples come before it.
type cursor struct {
	minT, maxT int64
	at         int32
}

func noCursor() cursor { return cursor{minT: math.MaxInt64, maxT: math.MaxInt64} }

// of returns the cursor of a series.
func (m *mappedChunks) of(id uint32) *cursor { return &m.next[id/cursorPage][id%cursorPage] }

// grow makes cursors up to that of a series.
func (m *mappedChunks) grow(x *seriesIndex, id uint32) {
	for int(id/cursorPage) >= len(m.next) {
		page := new([cursorPage]cursor)
		for i := range page {
			page[i] = noCursor()
		}
		x.mu.Lock()
		m.next = append(m.next, page)
		x.mu.Unlock()
	}
}

// load reads the files. Chunks that are in blocks are left out, and so are those of samples out of order, which are in
// their log.
func (p *player) loadMapped() error {
	h, m := p.h, &p.mapped
	m.ends = map[uint64]chainEnds{}
	if h.disk == nil {
		return nil
	}
	err := h.disk.Each(func(ref headchunk.Ref, c headchunk.Chunk) {
		h.lastRef.Store(max(h.lastRef.Load(), c.Series)) // It must never be another series'.
		switch {
		case c.Late:
			h.lateFile = cmp.Or(h.lateFile, ref.File())
		case c.MaxT >= p.minValid && c.Encoding.Readable():
			m.add(c, ref)
		}
	}, func(d *headchunk.Damage) {
		h.metrics.mapCorruptions.Inc()
		h.logger.Error("File of head chunks is damaged; the write-ahead log fills in what it has of it",
			"file", d.File, "offset", d.Offset, "bytes", d.Bytes, "err", d.Err)
	})
	if len(m.all) > 0 {
		h.logger.Info("Read the head chunks", "chunks", len(m.all), "series", len(m.ends))
	}
	return err
}

func (m *mappedChunks) add(c headchunk.Chunk, ref headchunk.Ref) {
	m.all = append(m.all, mappedChunk{minT: c.MinT, maxT: c.MaxT, ref: ref, enc: c.Encoding})
	place := int32(len(m.all))
	ends, ok := m.ends[c.Series]
	if !ok {
		ends.first = place
	} else {
		m.all[ends.last-1].after = place
	}
	ends.last = place
	m.ends[c.Series] = ends
}

// claim gives the chunks of a reference to the series that the log names so. The series had no samples yet if it was
// just created.
func (p *player) claim(ref uint64, id uint32, created bool) {
	m := &p.mapped
	m.grow(&p.h.index, id)
	ends, ok := m.ends[ref]
	if !ok {
		return
	}
	if !created {
		p.shards.wait()
	}
	delete(m.ends, ref)
	var places []int32
	for _, from := range []int32{m.of(id).at, ends.first} {
		for at := from; at != 0; at = m.all[at-1].after {
			places = append(places, at)
		}
	}
	slices.SortStableFunc(places, func(a, b int32) int { return cmp.Compare(m.all[a-1].minT, m.all[b-1].minT) })
	for i, at := range places {
		m.all[at-1].after = 0
		if i > 0 {
			m.all[places[i-1]-1].after = at
		}
	}
	*m.of(id) = m.cursor(places[0])
}

func (m *mappedChunks) cursor(at int32) cursor {
	if at == 0 {
		return noCursor()
	}
	c := &m.all[at-1]
	return cursor{minT: c.minT, maxT: c.maxT, at: at}
}

// covered reports whether a sample is in a chunk that was written to a file. All chunks that end before it are attached
// to the series.
func (s *shard) covered(id uint32, t int64) bool {
	next := s.p.mapped.of(id)
	for t > next.maxT {
		s.attach(id)
	}
	return t >= next.minT && next.at != 0
}

// attach gives a series its next chunk, unless the log had samples that do not come before it.
func (s *shard) attach(id uint32) {
	p, m := s.p, &s.p.mapped
	next := m.of(id)
	c := &m.all[next.at-1]
	*next = m.cursor(c.after)
	page, i := p.h.index.at(id)
	if last, ok := page.newest(i); ok && last >= c.minT {
		return
	}
	switch {
	case page.slots[i].native:
		page.closeNative(i)
	case page.slots[i].xor.Samples() > 0:
		page.closeChunk(&p.h.slab, i)
	}
	page.setComplete(i, appendMapped(slices.Clip(page.complete(i)), fullChunk{enc: c.enc, minT: c.minT, maxT: c.maxT, ref: c.ref}))
	s.first, s.last = min(s.first, max(c.minT, p.minValid)), max(s.last, c.maxT)
	s.began++
}

// attachAll gives a series the chunks that come after what the log had so far. Nothing is pending.
func (p *player) attachAll(id uint32) {
	for p.mapped.of(id).at != 0 {
		p.shards.all[0].attach(id)
	}
}

// attachRest gives all series the chunks that come after what the log has.
func (p *player) attachRest() {
	for n := range p.mapped.next {
		for i := range cursorPage {
			p.attachAll(uint32(n*cursorPage + i))
		}
	}
	if n := len(p.mapped.ends); n > 0 {
		p.h.logger.Warn("There are head chunks of series that the write-ahead log does not name; they are left out", "series", n)
	}
	p.mapped = mappedChunks{}
}
