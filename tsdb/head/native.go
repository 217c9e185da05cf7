package head

import (
	"encoding/binary"
	"slices"

	"github.com/narthex-io/narthex/tsdb/chunk"
)

// native is the open chunk of a series of histograms. It is kept beside the slots, so that series of floats pay nothing
// for it.
type native struct {
	w *chunk.HistogramWriter
	// last is the latest sample as it was appended.
	last chunk.Native
}

// appendNative is append for a histogram.
func (p *page) appendNative(slab *slab, i int, t, st int64, h chunk.Native, f *format) (began bool) {
	s := &p.slots[i]
	var before *chunk.HistogramWriter
	switch {
	case s.native:
		n := p.native[uint8(i)]
		if !n.w.Full() && t < RangeEnd(s.openMin, f.chunkRange) && n.w.AppendST(t, st, h) {
			n.last = h
			return false
		}
		before = n.w
		p.closeNative(i)
	case s.xor.Samples() > 0:
		p.closeChunk(slab, i)
	}
	if p.native == nil {
		p.native = map[uint8]*native{}
	}
	p.native[uint8(i)] = &native{w: f.begin(before, t, st, h), last: h}
	s.native, s.openMin = true, t
	return true
}

// closeNative moves the open chunk of histograms to the complete ones.
func (p *page) closeNative(i int) {
	w := p.native[uint8(i)].w
	minT, data := p.slots[i].openMin, w.Bytes()
	b := slices.Grow(slices.Clip(p.complete(i)), len(data)+4*binary.MaxVarintLen64)
	b = binary.AppendUvarint(b, uint64(w.LastT()-minT))
	b = binary.AppendVarint(append(b, 0, byte(w.Encoding())), minT)
	b = binary.AppendUvarint(b, uint64(len(data)))
	p.setComplete(i, slices.Clone(append(b, data...)))
	p.unmapped++
	p.dropNative(i)
}

func (p *page) dropNative(i int) {
	delete(p.native, uint8(i))
	if len(p.native) == 0 {
		p.native = nil
	}
	p.slots[i].native = false
}

// sameNative reports whether two histograms are the same but for what their targets say about resets.
func sameNative(a, b chunk.Native) bool {
	switch {
	case a.Int != nil && b.Int != nil:
		c := *b.Int
		c.CounterResetHint = a.Int.CounterResetHint
		return a.Int.Equal(&c)
	case a.Float != nil && b.Float != nil:
		c := *b.Float
		c.CounterResetHint = a.Float.CounterResetHint
		return a.Float.Equal(&c)
	}
	return false
}
