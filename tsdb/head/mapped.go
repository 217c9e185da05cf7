package head

import (
	"context"
	"fmt"

	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/headchunk"
)

// mapBatch is the number of bytes of chunks after which they are written.
const mapBatch = 1 << 20

// DefaultMapQueue is the number of complete chunks that [Head.MapDue] waits for.
const DefaultMapQueue = 1 << 16

// MapDue receives something when so many chunks were completed that [Head.MapChunks] should be called early.
func (h *Head) MapDue() <-chan struct{} { return h.mapDue }

// countBegun notes that chunks were begun, which mostly means that as many were completed.
func (h *Head) countBegun(n int) {
	h.chunks.Add(int64(n))
	h.metrics.chunksCreated.Add(float64(n))
	if h.disk == nil || h.begun.Add(int64(n)) < h.mapQueue {
		return
	}
	select {
	case h.mapDue <- struct{}{}:
	default: // It was said before.
	}
}

// MapChunks moves the complete chunks from memory to files. Those that can't be written stay in memory.
func (h *Head) MapChunks(ctx context.Context) error {
	if h.disk == nil {
		return nil
	}
	h.truncating.Lock() // Meanwhile no chunk goes away.
	defer h.truncating.Unlock()
	if h.closed.Load() {
		return fmt.Errorf("write head chunks: %w", ErrClosed)
	}
	h.begun.Store(0)
	m := mapper{h: h}
	for _, p := range h.pagesToMap() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("write head chunks: %w", err)
		}
		m.collect(p)
		if m.bytes >= mapBatch {
			if err := m.write(); err != nil {
				return err
			}
		}
	}
	return m.write()
}

// pagesToMap returns the pages that have complete chunks in memory.
func (h *Head) pagesToMap() (pages []*page) {
	h.index.mu.RLock()
	defer h.index.mu.RUnlock()
	h.index.each(func(_ uint32, p *page) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.unmapped > 0 {
			pages = append(pages, p)
		}
	})
	return pages
}

// mapper writes the chunks of a few pages at a time.
type mapper struct {
	h      *Head
	chunks []headchunk.Chunk
	from   []mapSource
	bytes  int
}

// mapSource is a series of which chunks are written, n of them.
type mapSource struct {
	p    *page
	slot int
	n    int
}

// collect takes the chunks of a page that lie behind those in files: files keep the order of time.
func (m *mapper) collect(p *page) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.full {
		src := mapSource{p: p, slot: i}
		first := len(m.chunks)
		for b := p.complete(i); len(b) > 0; {
			var c fullChunk
			if c, b = nextFull(b); c.ref != 0 {
				m.chunks, src.n = m.chunks[:first], 0
				continue
			}
			m.chunks = append(m.chunks, headchunk.Chunk{Series: p.slots[i].ref, MinT: c.minT, MaxT: c.maxT, Encoding: c.enc, Data: c.data})
			src.n++
		}
		if src.n > 0 {
			m.from = append(m.from, src)
		}
		for k := range m.chunks[first:] {
			m.bytes += len(m.chunks[first+k].Data)
		}
	}
}

// write writes what was collected and lets go of the memory.
func (m *mapper) write() error {
	refs := make([]headchunk.Ref, len(m.chunks))
	written, err := m.h.disk.Append(m.chunks, refs)
	m.h.metrics.mapped.Add(float64(written))
	refs = refs[:written]
	for _, src := range m.from {
		n := min(src.n, len(refs))
		src.p.mapChunks(src.slot, refs[:n])
		refs = refs[n:]
	}
	clear(m.chunks)
	m.chunks, m.from, m.bytes = m.chunks[:0], m.from[:0], 0
	return err
}

// mapChunks puts places in files where the first chunks behind those in files are.
func (p *page) mapChunks(i int, refs []headchunk.Ref) {
	if len(refs) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unmapped -= len(refs)
	kept := 0 // The bytes up to the last chunk in a file.
	for b := p.complete(i); len(b) > 0; {
		var c fullChunk
		if c, b = nextFull(b); c.ref != 0 {
			kept = len(p.complete(i)) - len(b)
		}
	}
	const typical = 20
	full := append(make([]byte, 0, kept+len(refs)*typical), p.complete(i)[:kept]...)
	rest := p.complete(i)[kept:]
	for _, ref := range refs {
		var c fullChunk
		c, rest = nextFull(rest)
		full = appendMapped(full, fullChunk{enc: c.enc, minT: c.minT, maxT: c.maxT, ref: ref})
	}
	p.setComplete(i, append(full, rest...))
}

// load returns the bytes of a complete chunk.
func (c *fullChunk) load(disk *headchunk.Store) (chunk.Encoding, []byte, error) {
	if c.ref == 0 {
		return c.enc, c.data, nil
	}
	d, err := disk.Chunk(c.ref)
	return c.enc, d.Data, err
}

// damagedChunk reports a chunk that was right when it was written.
func (h *Head) damagedChunk(err error) {
	h.metrics.mapCorruptions.Inc()
	h.logger.Error("Head chunk cannot be read; the block is written without it", "err", err)
}

// closeDisk ends the use of the files once no querier is open.
func (h *Head) closeDisk() error {
	if h.disk == nil {
		return nil
	}
	s := &h.snapshots
	s.mu.Lock()
	if len(s.open) > 0 {
		s.idle = func() { _ = h.disk.Close() } // They were opened for reading, or are written by the kernel by now.
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	return h.disk.Close()
}

// dropFiles deletes the files with chunks that no series has any more.
func (h *Head) dropFiles() error {
	if h.disk == nil {
		return nil
	}
	first := headchunk.Ref(1<<64 - 1).File()
	h.index.mu.RLock()
	h.index.each(func(_ uint32, p *page) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i := range p.full {
			for b := p.complete(i); len(b) > 0; {
				var c fullChunk
				if c, b = nextFull(b); c.ref != 0 {
					first = min(first, c.ref.File())
				}
			}
		}
	})
	h.index.mu.RUnlock()
	if h.lateFile != 0 && h.lateMin.Load() <= h.lateMax.Load() {
		first = min(first, h.lateFile) // The log of what came out of order points there.
	}
	return h.disk.Truncate(first)
}
