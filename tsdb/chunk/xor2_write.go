package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/narthex-io/narthex/model/sample"
)

// MaxXOR2SampleBytes is the most by which one sample can make an XOR2 chunk longer.
const MaxXOR2SampleBytes = 32

// xor2Header is the number of bytes before the samples: their number, and the header of start timestamps.
const xor2Header = 3

// IsXOR2 reports whether [XORState.AppendXOR2] wrote the chunk.
func (s *XORState) IsXOR2() bool { return s.xor2 }

// AppendXOR2 is Append for the encoding XOR2, which also keeps a start timestamp; a state serves one encoding. The header
// has three bytes, all of which are rewritten. starts may be nil as long as no sample of the chunk has a start timestamp;
// the first that has one must be among the first 128.
func (s *XORState) AppendXOR2(b []byte, starts *STState, st, t int64, v float64) []byte {
	value, prev := math.Float64bits(v), s.t
	stale := sample.IsStale(v)
	switch s.num {
	case 0:
		b = binary.AppendVarint(append(b[:0], 0, 0, 0), t)
		b = binary.BigEndian.AppendUint64(b, value)
		s.lead, s.free, s.xor2 = noWindow, 0, true
	case 1:
		s.delta = uint64(t - s.t)
		b = binary.AppendUvarint(b, s.delta)
		b = s.appendValue2(b, value, stale)
	default:
		delta := uint64(t - s.t)
		b = s.appendJoint(b, int64(delta-s.delta), value, stale)
		s.delta = delta
	}
	if starts != nil {
		b, s.free = starts.append(b, s.free, int(s.num), prev, t, st)
		b[2] = starts.Header()
	}
	s.t, s.stale = t, stale
	if !stale {
		s.v = value
	}
	s.num++
	binary.BigEndian.PutUint16(b, s.num)
	return b
}

// appendJoint writes a sample from the third on: how far the distance changed and whether the value did.
func (s *XORState) appendJoint(b []byte, dod int64, value uint64, stale bool) []byte {
	put := func(u uint64, n uint8) { b, s.free = appendBits(b, s.free, u, n) }
	switch {
	case dod == 0 && stale:
		put(0b11111, 5)
		return b
	case dod == 0 && value == s.v:
		put(0, 1)
		return b
	case dod == 0:
		put(0b10, 2)
		return s.appendDiff2(b, value^s.v, 0b0, 0b1, 1)
	case -1<<12 <= dod && dod < 1<<12:
		put(0b110<<13|uint64(dod)&(1<<13-1), 16)
	case -1<<19 <= dod && dod < 1<<19:
		put(0b1110<<20|uint64(dod)&(1<<20-1), 24)
	default:
		put(0b11110, 5)
		put(uint64(dod), 64)
	}
	return s.appendValue2(b, value, stale)
}

// appendValue2 writes a value where nothing tells yet whether it changed.
func (s *XORState) appendValue2(b []byte, value uint64, stale bool) []byte {
	switch {
	case stale:
		b, s.free = appendBits(b, s.free, 0b111, 3)
		return b
	case value == s.v:
		b, s.free = appendBits(b, s.free, 0, 1)
		return b
	}
	return s.appendDiff2(b, value^s.v, 0b10, 0b110, 2)
}

// appendDiff2 writes the significant bits of a difference that is not zero, behind the prefix old of n bits, if they fit
// into the window, or else the prefix fresh, of one more bit if n is more than one, and the new window.
func (s *XORState) appendDiff2(b []byte, diff, old, fresh uint64, n uint8) []byte {
	lead, trail := min(uint8(bits.LeadingZeros64(diff)), 31), uint8(bits.TrailingZeros64(diff))
	if s.lead != noWindow && lead >= s.lead && trail >= s.trail {
		b, s.free = appendBits(b, s.free, old, n)
		b, s.free = appendBits(b, s.free, diff>>s.trail, 64-s.lead-s.trail)
		return b
	}
	s.lead, s.trail = lead, trail
	size := 64 - lead - trail
	b, s.free = appendBits(b, s.free, fresh, 2*n-1)
	b, s.free = appendBits(b, s.free, uint64(lead)<<6|uint64(size&63), 11)
	b, s.free = appendBits(b, s.free, diff>>trail, size)
	return b
}

// XOR2Writer fills one chunk with floats and their start timestamps. The zero value begins one.
type XOR2Writer struct {
	xor    XORState
	starts STState
	data   []byte
}

// Append appends a sample; its time must come after the latest. Zero is no start timestamp.
func (w *XOR2Writer) Append(t, st int64, v float64) {
	w.data = w.xor.AppendXOR2(w.data, &w.starts, st, t, v)
}

// Samples returns the number of samples.
func (w *XOR2Writer) Samples() int { return w.xor.Samples() }

// Full reports whether the next sample is better put into a new chunk.
func (w *XOR2Writer) Full() bool {
	return w.xor.Samples() >= TargetSamples || len(w.data) > MaxBytes-MaxXOR2SampleBytes
}

// Bytes returns the chunk, which is complete after each sample. The next Append may write to it.
func (w *XOR2Writer) Bytes() []byte { return w.data }
