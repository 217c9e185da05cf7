package head

import (
	"encoding/binary"
	"math"
	"slices"
	"sync"

	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/headchunk"
)

// pageSize is the number of series in a page.
const pageSize = 64

const (
	// chunkHeader is the number of bytes in which a chunk counts its samples.
	chunkHeader = 2
	// maxOpenBytes is the number of bytes, header aside, at which a chunk takes no further sample.
	maxOpenBytes = chunk.MaxBytes - chunkHeader - chunk.MaxXORSampleBytes
)

// page holds the series of consecutive ids.
type page struct {
	mu   sync.Mutex
	live int
	// full are the complete chunks of each slot, one behind the other: the distance from the first to the last
	// sample's time and the length, both as uvarint, then the bytes. Chunks other than XOR have a length of zero there,
	// then the encoding, the time of the first sample as varint and the length; so have those in a file, with [onDisk]
	// added to the encoding and their place as uvarint instead of the length. Chunks in files come before the others.
	// A slice is replaced, never written to, so that readers need no lock for its content.
	// They are nil until a slot has any: many a series ends before.
	full *[pageSize][]byte
	// unmapped is the number of complete chunks that are in no file.
	unmapped int
	// pairs are the labels of all slots. They are set before the series can be found and never change.
	pairs []uint32
	// undo tells readers of older snapshots from which time on samples came later than their snapshot. It is in
	// order of seq and is kept only while there are such readers.
	undo []undo
	// native are the slots whose open chunk holds histograms; nil on most pages.
	native map[uint8]*native
	// starts are what the writers of open XOR2 chunks remember of start timestamps; nil on most pages.
	starts map[uint8]*chunk.STState
	// late are what came out of order; nil on most pages.
	late map[uint8]*lateSeries
	// slots come last: the garbage collector reads an object up to its last pointer.
	slots [pageSize]slot
}

// slot is one series. The zero value is an unused one.
type slot struct {
	// ref is the series' name in the log, zero for an unused slot.
	ref uint64
	// xor is the state of the open chunk, openMin the time of its first sample. Without samples there is none.
	xor     chunk.XORState
	openMin int64
	// open is the end of the open chunk's bytes, which have the length openLen without the header; the last tailLen of
	// them are in tail, so that most samples touch no other memory than the slot.
	open    cell
	openLen uint16
	// pairs[firstPair:][:pairCount] of the page are the labels.
	pairCount uint16
	firstPair uint32
	// pending is the number of staged samples, which keep the series alive.
	pending uint32
	// logged tells that the log has the labels of ref.
	logged bool
	// native tells that the open chunk is that in the page's native, not the one here.
	native  bool
	tailLen uint8
	tail    [tailBytes]byte
}

// tailBytes fills the slot up to 80 bytes.
const tailBytes = 13

// undo says that a batch appended to a slot: samples from t on are not in snapshots before seq.
type undo struct {
	seq  uint64
	t    int64
	slot uint8
}

// labels returns the numbers of the series' pairs.
func (p *page) labels(i int) []uint32 {
	s := &p.slots[i]
	return p.pairs[s.firstPair:][:s.pairCount]
}

// complete returns the complete chunks of a slot.
func (p *page) complete(i int) []byte {
	if p.full == nil {
		return nil
	}
	return p.full[i]
}

func (p *page) setComplete(i int, b []byte) {
	if p.full == nil {
		if b == nil {
			return
		}
		p.full = new([pageSize][]byte)
	}
	p.full[i] = b
}

// append adds a sample, with its start timestamp or zero, behind those that are there, in a new chunk if the current one
// is complete, and reports whether it began one. The caller holds the lock.
func (p *page) append(slab *slab, i int, t, st int64, v float64, f *format) (began bool) {
	s := &p.slots[i]
	if s.native {
		p.closeNative(i)
	}
	if n := s.xor.Samples(); n > 0 && (n >= chunk.TargetSamples || p.openFull(i, st) || t >= f.rangeEnd(s.openMin)) {
		p.closeChunk(slab, i)
	}
	if s.xor.IsXOR2() || s.openLen == 0 && (f.xor2 || st != 0) {
		return p.appendXOR2(slab, i, t, st, v)
	}
	// The writer gets a window of the chunk: room for the header, the tail with the last byte, and space to append.
	var window [chunkHeader + tailBytes + chunk.MaxXORSampleBytes + 8]byte
	if began = s.openLen == 0; began {
		s.openMin = t
	}
	n := int(s.tailLen)
	*(*[tailBytes]byte)(window[chunkHeader:]) = s.tail
	s.keep(slab, s.xor.Append(window[:chunkHeader+n], t, v)[chunkHeader:], n)
	return began
}

// runRoom is the number of bytes that are written before they leave for the slab.
const runRoom = 256

// appendRun is append for floats without start timestamps, given in order; it returns how many chunks it began. Fast path
// (BenchmarkAppendRun): what the writer needs to know of the slot is fetched once for many samples.
func (p *page) appendRun(slab *slab, i int, run []staged, f *format) (began int) {
	s := &p.slots[i]
	for len(run) > 0 {
		if len(run) == 1 || s.openLen == 0 || s.native || s.xor.IsXOR2() || s.xor.Samples() >= chunk.TargetSamples || p.openFull(i, 0) || run[0].t >= f.rangeEnd(s.openMin) {
			if p.append(slab, i, run[0].t, 0, run[0].v, f) {
				began++
			}
			run = run[1:]
			continue
		}
		var window [chunkHeader + tailBytes + runRoom + chunk.MaxXORSampleBytes + 8]byte
		n := int(s.tailLen)
		*(*[tailBytes]byte)(window[chunkHeader:]) = s.tail
		b, full := window[:chunkHeader+n], maxOpenBytes-int(s.openLen)+chunkHeader+n
		for end := f.rangeEnd(s.openMin); len(run) > 0 && run[0].t < end && len(b) < min(full, runRoom) && s.xor.Samples() < chunk.TargetSamples; run = run[1:] {
			b = s.xor.Append(b, run[0].t, run[0].v)
		}
		s.keep(slab, b[chunkHeader:], n)
	}
	return began
}

// keep takes the end of the chunk, which was the tail of n bytes before, from the writer's window.
func (s *slot) keep(slab *slab, b []byte, n int) {
	s.openLen += uint16(len(b) - n)
	if len(b) > tailBytes {
		// All but the last byte, which may not be complete, leave the slot.
		k := len(b) - 1
		s.open = slab.extend(s.open, int(s.openLen)-len(b), b[:k])
		s.tail[0], s.tailLen = b[k], 1
		return
	}
	s.tail, s.tailLen = [tailBytes]byte(b[:tailBytes]), uint8(len(b)) // What lies behind the bytes does no harm.
}

// openFull reports whether the open chunk of floats has no room for a sample.
func (p *page) openFull(i int, st int64) bool {
	s := &p.slots[i]
	if s.xor.IsXOR2() {
		return int(s.openLen) >= maxOpenXOR2
	}
	return int(s.openLen) >= maxOpenBytes || st != 0
}

// newest returns the time of the latest sample; ok is false without samples.
func (p *page) newest(i int) (t int64, ok bool) {
	if t, ok = p.newestOpen(i); ok {
		return t, true
	}
	c, ok := p.lastFull(i)
	return c.maxT, ok
}

// newestOpen returns the time of the open chunk's latest sample; ok is false if there is no open chunk.
func (p *page) newestOpen(i int) (t int64, ok bool) {
	s := &p.slots[i]
	if s.native {
		return p.native[uint8(i)].w.LastT(), true
	}
	return s.xor.LastT(), s.xor.Samples() > 0
}

// latest returns the latest sample of the open chunk; ok is false if there is none, or if it takes decoding to know.
func (p *page) latest(i int) (last sample.Sample, ok bool) {
	s := &p.slots[i]
	if s.native || s.xor.Samples() == 0 || p.starts[uint8(i)] != nil {
		return last, false
	}
	return sample.Sample{T: s.xor.LastT(), F: s.xor.LastV()}, true
}

// lastFull returns the newest complete chunk.
func (p *page) lastFull(i int) (c fullChunk, ok bool) {
	for b := p.complete(i); len(b) > 0; ok = true {
		c, b = nextFull(b)
	}
	return c, ok
}

// openEncoding returns the encoding of the open chunk.
func (p *page) openEncoding(i int) chunk.Encoding {
	if p.slots[i].native {
		return p.native[uint8(i)].w.Encoding()
	}
	if p.slots[i].xor.IsXOR2() {
		return chunk.EncXOR2
	}
	return chunk.EncXOR
}

// openChunk appends the bytes of the open chunk to dst.
func (p *page) openChunk(slab *slab, i int, dst []byte) []byte {
	s := &p.slots[i]
	if s.native {
		return append(dst, p.native[uint8(i)].w.Bytes()...)
	}
	dst = p.appendHeader(i, dst)
	dst = slab.appendTo(dst, s.open, int(s.openLen)-int(s.tailLen))
	return append(dst, s.tail[:s.tailLen]...)
}

// RangeEnd returns the end, not included, of the range of the given width in which t lies. No chunk crosses it, so that
// blocks can be cut there.
func RangeEnd(t, width int64) int64 {
	r := t % width
	if r < 0 {
		r += width
	}
	if t-r > math.MaxInt64-width {
		return math.MaxInt64
	}
	return t - r + width
}

// closeChunk moves the open chunk to the complete ones.
func (p *page) closeChunk(slab *slab, i int) {
	s := &p.slots[i]
	size := chunkHeader + int(s.openLen)
	var head [4 * binary.MaxVarintLen64]byte
	h := binary.AppendUvarint(head[:0], uint64(s.xor.LastT()-s.openMin))
	if s.xor.IsXOR2() {
		size = xor2Header + int(s.openLen)
		h = binary.AppendVarint(append(h, 0, byte(chunk.EncXOR2)), s.openMin)
	}
	h = binary.AppendUvarint(h, uint64(size))
	full := make([]byte, 0, len(p.complete(i))+len(h)+size)
	full = append(append(full, p.complete(i)...), h...)
	p.setComplete(i, p.openChunk(slab, i, full))
	p.unmapped++
	p.dropOpen(slab, i)
}

func (p *page) dropOpen(slab *slab, i int) {
	s := &p.slots[i]
	if s.native {
		p.dropNative(i)
		return
	}
	slab.release(s.open)
	s.open, s.openLen, s.tailLen, s.xor = 0, 0, 0, chunk.XORState{}
	p.dropStarts(i)
}

// onDisk marks, in the byte of the encoding, a chunk that lies in a file.
const onDisk = 0x80

// fullChunk is a complete chunk as it lies in a page. One that lies in a file has no data, but a place.
type fullChunk struct {
	enc        chunk.Encoding
	minT, maxT int64
	data       []byte
	ref        headchunk.Ref
}

// appendMapped appends a chunk that lies in a file to those of a page.
func appendMapped(dst []byte, c fullChunk) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.maxT-c.minT))
	dst = append(dst, 0, byte(c.enc)|onDisk)
	dst = binary.AppendVarint(dst, c.minT)
	return binary.AppendUvarint(dst, uint64(c.ref))
}

// nextFull takes the first chunk from b, which is valid and not empty.
func nextFull(b []byte) (c fullChunk, rest []byte) {
	span, n := binary.Uvarint(b)
	size, m := binary.Uvarint(b[n:])
	b = b[n+m:]
	if size == 0 {
		c.enc = chunk.Encoding(b[0] &^ onDisk)
		mapped := b[0]&onDisk != 0
		c.minT, n = binary.Varint(b[1:])
		size, m = binary.Uvarint(b[1+n:])
		b = b[1+n+m:]
		if mapped {
			c.ref, size = headchunk.Ref(size), 0
		}
	} else {
		c.enc = chunk.EncXOR
		c.minT, _ = binary.Varint(b[chunkHeader:])
	}
	c.data = b[:size:size]
	c.maxT = c.minT + int64(span)
	return c, b[size:]
}

// bounds returns the times of the first and the last sample; ok is false without samples.
func (p *page) bounds(i int) (minT, maxT int64, ok bool) {
	maxT, open := p.newestOpen(i)
	if open {
		minT = p.slots[i].openMin
	}
	if len(p.complete(i)) == 0 {
		return minT, maxT, open
	}
	c, rest := nextFull(p.complete(i))
	minT = c.minT
	if !open {
		for len(rest) > 0 {
			c, rest = nextFull(rest)
		}
		maxT = c.maxT
	}
	return minT, maxT, true
}

// visibleUntil returns the first time that a snapshot does not show, math.MaxInt64 and false if it shows all.
func (p *page) visibleUntil(i int, seq uint64) (int64, bool) {
	for k := range p.undo {
		if u := &p.undo[k]; u.seq > seq && int(u.slot) == i {
			return u.t, true
		}
	}
	return math.MaxInt64, false
}

// prune keeps the notes short; watched tells that there are snapshots, of which oldest is the first.
func (p *page) prune(oldest uint64, watched bool) {
	switch {
	case !watched:
		p.undo = nil
	case len(p.undo) >= 2*pageSize:
		p.forget(oldest)
	}
}

// forget drops what no open snapshot needs: entries up to seq are visible to all of them.
func (p *page) forget(seq uint64) {
	if len(p.undo) == 0 || p.undo[0].seq > seq {
		return
	}
	n, _ := slices.BinarySearchFunc(p.undo, seq+1, func(u undo, seq uint64) int {
		if u.seq < seq {
			return -1
		}
		return 1
	})
	if n == len(p.undo) {
		p.undo = nil
		return
	}
	p.undo = slices.Delete(p.undo, 0, n)
}

// truncate drops the chunks that end before mint, and reports how many.
func (p *page) truncate(slab *slab, i int, mint int64) (dropped int) {
	b := p.complete(i)
	for len(b) > 0 {
		c, rest := nextFull(b)
		if c.maxT >= mint {
			break
		}
		b = rest
		dropped++
		if c.ref == 0 {
			p.unmapped--
		}
	}
	if dropped > 0 {
		p.setComplete(i, slices.Clone(b))
		if len(b) == 0 {
			p.setComplete(i, nil)
		}
	}
	if t, ok := p.newestOpen(i); ok && t < mint {
		p.dropOpen(slab, i)
		dropped++
	}
	return dropped
}
