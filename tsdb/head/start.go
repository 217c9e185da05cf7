package head

import (
	"encoding/binary"
	"math"

	"github.com/narthex-io/narthex/tsdb/chunk"
)

// format says how chunks are written.
type format struct {
	// chunkRange is the range in milliseconds whose multiples no chunk crosses.
	chunkRange int64
	// xor2 writes floats in XOR2, histogramST histograms in the encodings that have room for start timestamps.
	xor2, histogramST bool
	// rangeFrom and rangeTo bound the range that was asked for last.
	rangeFrom, rangeTo int64
}

// rangeEnd is [RangeEnd] of the chunk range, which is mostly that of the time before.
func (f *format) rangeEnd(t int64) int64 {
	if f.rangeFrom <= t && t < f.rangeTo {
		return f.rangeTo
	}
	end := RangeEnd(t, f.chunkRange)
	if end != math.MaxInt64 { // A range that is cut off there may begin anywhere.
		f.rangeFrom, f.rangeTo = end-f.chunkRange, end
	}
	return end
}

// format returns how chunks that begin now are written.
func (h *Head) format() format {
	return format{chunkRange: h.chunkRange, xor2: h.xor2.Load(), histogramST: h.histogramST}
}

// SetXOR2 makes new chunks of floats have the encoding XOR2, which older programs can't read, or XOR again. Chunks that were
// begun are completed as they are.
func (h *Head) SetXOR2(on bool) { h.xor2.Store(on) }

// start returns the start timestamp that is kept of a sample, zero for none.
func (h *Head) start(st int64) int64 {
	if h.keepST {
		return st
	}
	return 0
}

// xor2Header is the number of bytes before the samples of an XOR2 chunk.
const xor2Header = 3

// maxOpenXOR2 is maxOpenBytes for XOR2.
const maxOpenXOR2 = chunk.MaxBytes - xor2Header - chunk.MaxXOR2SampleBytes

// appendXOR2 is append for the encoding XOR2. Its chunks lie in the slot like others; what the writer remembers of start
// timestamps is beside the page, for series that have any.
func (p *page) appendXOR2(slab *slab, i int, t, st int64, v float64) (began bool) {
	s := &p.slots[i]
	starts := p.starts[uint8(i)]
	if starts == nil && st != 0 {
		starts = &chunk.STState{}
		if p.starts == nil {
			p.starts = map[uint8]*chunk.STState{}
		}
		p.starts[uint8(i)] = starts
	}
	var window [xor2Header + tailBytes + chunk.MaxXOR2SampleBytes + 8]byte
	if began = s.openLen == 0; began {
		s.openMin = t
	}
	n := int(s.tailLen)
	*(*[tailBytes]byte)(window[xor2Header:]) = s.tail
	s.keep(slab, s.xor.AppendXOR2(window[:xor2Header+n], starts, st, t, v)[xor2Header:], n)
	return began
}

// appendHeader appends the header of the open chunk of floats.
func (p *page) appendHeader(i int, dst []byte) []byte {
	s := &p.slots[i]
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.xor.Samples()))
	if !s.xor.IsXOR2() {
		return dst
	}
	if starts := p.starts[uint8(i)]; starts != nil {
		return append(dst, starts.Header())
	}
	return append(dst, 0)
}

func (p *page) dropStarts(i int) {
	delete(p.starts, uint8(i))
	if len(p.starts) == 0 {
		p.starts = nil
	}
}

// begin begins a chunk of histograms.
func (f *format) begin(before *chunk.HistogramWriter, t, st int64, h chunk.Native) *chunk.HistogramWriter {
	if f.histogramST || st != 0 {
		return chunk.BeginHistogramsST(before, t, st, h)
	}
	return chunk.BeginHistograms(before, t, h)
}

// starts are the start timestamps of staged samples: those of floats, and those of the first of the histograms, by their
// places.
type starts struct{ floats, natives []int64 }

// note notes the start timestamp of a sample; for a float, in its place among the histograms.
func (l *starts) note(s *staged, st int64) {
	if s.native == 0 {
		l.floats = append(l.floats, st)
		s.native = -int32(len(l.floats))
		return
	}
	for len(l.natives) < int(s.native) {
		l.natives = append(l.natives, 0)
	}
	l.natives[s.native-1] = st
}

// of returns the start timestamp of a sample, zero for none.
func (l *starts) of(s *staged) int64 {
	switch {
	case s.native < 0:
		return l.floats[-s.native-1]
	case s.native > 0 && int(s.native) <= len(l.natives):
		return l.natives[s.native-1]
	}
	return 0
}

// reset forgets all, and keeps the memory.
func (l *starts) reset() { l.floats, l.natives = l.floats[:0], l.natives[:0] }
