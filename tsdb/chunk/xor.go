package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
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
}

// Samples returns the number of samples that were appended.
func (s *XORState) Samples() int { return int(s.num) }

// LastT and LastV return the latest sample; they have no meaning before the first.
func (s *XORState) LastT() int64 { return s.t }

// LastV returns the value of the latest sample.
func (s *XORState) LastV() float64 { return math.Float64frombits(s.v) }

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
		d.next(i)
		if d.r.overrun() {
			return XORState{}, endsEarly(EncXOR, i, n)
		}
	}
	if d.r.left() >= 8 {
		return XORState{}, fmt.Errorf("%w: %d bits follow the last sample", ErrCorrupt, d.r.left())
	}
	s.t, s.delta, s.v, s.num, s.free = d.t, d.delta, d.v, uint16(n), uint8(d.r.left())
	if d.window {
		s.lead, s.trail = uint8(d.lead), uint8(d.trail)
	}
	return s, nil
}

func endsEarly(enc Encoding, i, n int) error {
	return fmt.Errorf("%w: %s chunk ends within sample %d of %d", ErrCorrupt, enc, i+1, n)
}

// xorReader reads sample after sample; [DecodeXOR] does the same at once and fast.
type xorReader struct {
	r           bitReader
	t           int64
	delta, v    uint64
	lead, trail int
	window      bool
}

// next reads sample number i.
func (d *xorReader) next(i int) {
	switch i {
	case 0:
		d.t = d.r.varint()
		d.v = d.r.take64(64)
		return
	case 1:
		d.delta = d.r.uvarint()
	default:
		d.delta += uint64(readTimestamp(&d.r))
	}
	d.t += int64(d.delta)
	if d.r.take(1) == 0 {
		return
	}
	if d.r.take(1) == 1 {
		d.window = true
		d.lead = int(d.r.take(5))
		size := int(d.r.take(6))
		if size == 0 {
			size = 64
		}
		d.trail = 64 - d.lead - size
	}
	if d.trail < 0 {
		d.r.n = -1
		return
	}
	d.v ^= d.r.take64(64-d.lead-d.trail) << uint(d.trail)
}

// readTimestamp reads what appendTimestamp wrote.
func readTimestamp(r *bitReader) int64 {
	switch r.ones(4) {
	case 0:
		return 0
	case 1:
		return signed(r.take(14), 14)
	case 2:
		return signed(r.take(17), 17)
	case 3:
		return signed(r.take(20), 20)
	}
	return int64(r.take64(64))
}

// DecodeXOR appends the timestamps and values of an XOR chunk's samples in [mint, maxt] to ts and vs, which must be
// of equal length, and returns the longer slices. It allocates only if their capacity does not suffice.
func DecodeXOR(data []byte, mint, maxt int64, ts []int64, vs []float64) ([]int64, []float64, error) {
	n, err := Samples(EncXOR, data)
	if err != nil || n == 0 {
		return ts, vs, err
	}
	// Each sample after the second takes two bits or more: a lying header can't ask for much memory.
	if n > 8*len(data)/2 {
		return ts, vs, endsEarly(EncXOR, 4*len(data), n)
	}
	ts, vs = slices.Grow(ts, n), slices.Grow(vs, n)
	start := len(ts)
	got, err := decodeXOR(data, maxt, ts[start:start+n], vs[start:start+n])
	t, v := ts[start:start+got], vs[start:start+got]
	if got > 0 && t[0] < mint {
		skip := 0
		for skip < got && t[skip] < mint {
			skip++
		}
		copy(t, t[skip:])
		copy(v, v[skip:])
		got -= skip
	}
	return ts[:start+got], vs[:start+got], err
}

// decodeXOR fills t and v, whose lengths are the number of samples, stops before the first sample after maxt and
// returns how many it decoded.
func decodeXOR(data []byte, maxt int64, t []int64, v []float64) (int, error) {
	d := xorReader{r: bitReader{data: data, pos: 2}}
	v = v[:len(t)]
	for i := range min(2, len(t)) {
		d.next(i)
		if d.r.overrun() {
			return i, endsEarly(EncXOR, i, len(t))
		}
		if d.t > maxt {
			return i, nil
		}
		t[i], v[i] = d.t, math.Float64frombits(d.v)
	}
	// Fast path: the reader's state lives in registers; BenchmarkDecodeXOR compares with the plain loop.
	at, delta, value := d.t, d.delta, d.v
	lead, trail := d.lead, d.trail
	r := d.r
	for i := 2; i < len(t); i++ {
		r.refill()
		// From here 56 bits suffice for the timestamp's 24 and the value's first 13.
		switch ones := bits.LeadingZeros64(^r.buf); ones {
		case 0:
			r.skip(1)
		case 1:
			delta += uint64(signed(r.buf<<2>>(64-14), 14))
			r.skip(16)
		case 2:
			delta += uint64(signed(r.buf<<3>>(64-17), 17))
			r.skip(20)
		case 3:
			delta += uint64(signed(r.buf<<4>>(64-20), 20))
			r.skip(24)
		default:
			r.skip(4)
			delta += r.take64(64)
			r.refill()
		}
		at += int64(delta)
		switch {
		case r.buf>>63 == 0:
			r.skip(1)
		default:
			if r.buf>>62 == 0b11 {
				lead = int(r.buf << 2 >> (64 - 5))
				size := int(r.buf << 7 >> (64 - 6))
				if size == 0 {
					size = 64
				}
				trail = 64 - lead - size
				if trail < 0 {
					return i, fmt.Errorf("%w: XOR sample %d has %d significant bits after %d zeros", ErrCorrupt, i+1, size, lead)
				}
				r.skip(13)
			} else {
				r.skip(2)
			}
			value ^= r.take64(64-lead-trail) << uint(trail)
		}
		if r.n < 0 {
			return i, endsEarly(EncXOR, i, len(t))
		}
		if at > maxt {
			return i, nil
		}
		t[i], v[i] = at, math.Float64frombits(value)
	}
	return len(t), nil
}

// skip consumes k bits that were looked at in buf.
func (r *bitReader) skip(k int) {
	r.buf <<= uint(k)
	r.n -= k
}
