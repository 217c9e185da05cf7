package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/narthex-io/narthex/model/sample"
)

// MaxXORSampleBytes is the most by which one sample can make an XOR chunk longer.
const MaxXORSampleBytes = 20

// noWindow marks that no window of significant bits was written yet.
const noWindow = 0xff

// XORState is what an XOR chunk's writer remembers between samples. It holds no pointer, so that large arrays of it
// cost the garbage collector nothing; the bytes stay with the caller. The zero value starts a new chunk.
type XORState struct {
	t     int64
	delta uint64
	v     uint64
	num   uint16
	// free is the number of unused bits in the last byte; lead and trail bound the window of significant bits.
	free, lead, trail uint8
	// xor2 tells that the chunk is one of XOR2, stale that the latest sample in it is a stale marker; v is the latest that
	// is none.
	xor2, stale bool
}

// Samples returns the number of samples that were appended.
func (s *XORState) Samples() int { return int(s.num) }

// LastT and LastV return the latest sample; they have no meaning before the first.
func (s *XORState) LastT() int64 { return s.t }

// LastV returns the value of the latest sample.
func (s *XORState) LastV() float64 {
	if s.stale {
		return sample.StaleNaN()
	}
	return math.Float64frombits(s.v)
}

// Append appends a sample to the chunk in b and returns the chunk's bytes, which are complete after each sample. b
// must be what the call before returned, or of length zero for the first sample; it moves only if its capacity does
// not suffice, which [MaxXORSampleBytes] of room exclude. Capacity beyond the length is scratch space. The first two
// bytes and the last one are rewritten: a concurrent reader needs a copy of them.
//
// Timestamps must ascend and a chunk takes at most [MaxSamples]; neither is checked here.
func (s *XORState) Append(b []byte, t int64, v float64) []byte {
	value := math.Float64bits(v)
	switch s.num {
	case 0:
		b = binary.AppendVarint(append(b[:0], 0, 0), t)
		b = binary.BigEndian.AppendUint64(b, value)
		s.lead, s.free = noWindow, 0
	case 1:
		s.delta = uint64(t - s.t)
		b = binary.AppendUvarint(b, s.delta)
		b = s.appendValue(b, value)
	default:
		delta := uint64(t - s.t)
		b, s.free = appendTimestamp(b, s.free, int64(delta-s.delta))
		s.delta = delta
		b = s.appendValue(b, value)
	}
	s.t, s.v = t, value
	s.num++
	binary.BigEndian.PutUint16(b, s.num)
	return b
}

// appendTimestamp writes a change of the distance between timestamps.
func appendTimestamp(b []byte, free uint8, dod int64) ([]byte, uint8) {
	switch {
	case dod == 0:
		return appendBits(b, free, 0, 1)
	case inSigned(dod, 14):
		return appendBits(b, free, 0b10<<14|uint64(dod)&(1<<14-1), 16)
	case inSigned(dod, 17):
		return appendBits(b, free, 0b110<<17|uint64(dod)&(1<<17-1), 20)
	case inSigned(dod, 20):
		return appendBits(b, free, 0b1110<<20|uint64(dod)&(1<<20-1), 24)
	}
	b, free = appendBits(b, free, 0b1111, 4)
	return appendBits(b, free, uint64(dod), 64)
}

func (s *XORState) appendValue(b []byte, value uint64) []byte {
	b, s.free, s.lead, s.trail = appendXOR(b, s.free, value^s.v, s.lead, s.trail)
	return b
}

// appendXOR writes the difference between two values, using the window of significant bits again when the difference
// fits into it, and returns the window.
func appendXOR(b []byte, free uint8, diff uint64, lead, trail uint8) (_ []byte, newFree, newLead, newTrail uint8) {
	if diff == 0 {
		b, free = appendBits(b, free, 0, 1)
		return b, free, lead, trail
	}
	// Five bits hold the number of leading zeros.
	l := min(uint8(bits.LeadingZeros64(diff)), 31)
	t := uint8(bits.TrailingZeros64(diff))
	if lead != noWindow && l >= lead && t >= trail {
		size := 64 - lead - trail
		if size <= 62 {
			b, free = appendBits(b, free, 0b10<<size|diff>>trail, 2+size)
			return b, free, lead, trail
		}
		b, free = appendBits(b, free, 0b10, 2)
		b, free = appendBits(b, free, diff>>trail, size)
		return b, free, lead, trail
	}
	// Six bits hold the size of the window, where 64 wraps to 0.
	size := 64 - l - t
	head := 0b11<<11 | uint64(l)<<6 | uint64(size&63)
	if size <= 64-13 {
		b, free = appendBits(b, free, head<<size|diff>>t, 13+size)
		return b, free, l, t
	}
	b, free = appendBits(b, free, head, 13)
	b, free = appendBits(b, free, diff>>t, size)
	return b, free, l, t
}

// ResumeXOR returns the state of the writer that wrote data, so that it can go on with data's bytes; data must end
// with the chunk.
func ResumeXOR(data []byte) (XORState, error) {
	n, err := Samples(EncXOR, data)
	if err != nil || n == 0 {
		return XORState{}, err
	}
	d := xorReader{r: bitReader{data: data, pos: 2}}
	s := XORState{lead: noWindow}
	for i := range n {
		before := d.v.bits
		d.next(i)
		if d.r.overrun() {
			return XORState{}, endsEarly(EncXOR, i, n)
		}
		if i > 0 && (d.v.bits != before || s.lead != noWindow) {
			s.lead, s.trail = uint8(d.v.cut-d.v.trail), uint8(d.v.trail)
		}
	}
	if d.r.left() >= 8 {
		return XORState{}, fmt.Errorf("%w: %d bits follow the last sample", ErrCorrupt, d.r.left())
	}
	s.t, s.delta, s.v, s.num, s.free = d.t, d.delta, d.v.bits, uint16(n), uint8(d.r.left())
	return s, nil
}
