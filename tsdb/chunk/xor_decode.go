package chunk

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

func endsEarly(enc Encoding, i, n int) error {
	return fmt.Errorf("%w: %s chunk ends within sample %d of %d", ErrCorrupt, enc, i+1, n)
}

// xorReader reads sample after sample; [DecodeXOR] does the same at once and fast.
type xorReader struct {
	r     bitReader
	t     int64
	delta uint64
	v     xorValue
}

// next reads sample number i.
func (d *xorReader) next(i int) {
	switch i {
	case 0:
		d.t = d.r.varint()
		d.v.bits = d.r.take64(64)
		return
	case 1:
		d.delta = d.r.uvarint()
	default:
		d.delta += uint64(readTimestamp(&d.r))
	}
	d.t += int64(d.delta)
	d.v.read(&d.r)
}

// xorValue is a float that is written as the difference to the one before it.
type xorValue struct {
	bits        uint64
	lead, trail int
	// window tells that the bounds of the significant bits were read.
	window bool
}

func (x *xorValue) float() float64 { return math.Float64frombits(x.bits) }

// read reads what appendXOR wrote.
func (x *xorValue) read(r *bitReader) {
	if r.n < 2 {
		r.refill()
	}
	// Fast path: both control bits are looked at in one go.
	control := r.buf >> 62
	if control < 2 {
		r.buf <<= 1
		r.n--
		return
	}
	r.buf <<= 2
	r.n -= 2
	if control == 3 {
		x.readWindow(r)
	}
	x.readDiff(r)
}

// readWindow reads the bounds of the significant bits. Bounds that exceed 64 bits count as an overrun.
func (x *xorValue) readWindow(r *bitReader) {
	lead, size := int(r.take(5)), int(r.take(6))
	if size == 0 {
		size = 64
	}
	if lead+size > 64 {
		r.n = -1
		return
	}
	x.lead, x.trail, x.window = lead, 64-lead-size, true
}

// readDiff reads the significant bits.
func (x *xorValue) readDiff(r *bitReader) {
	x.bits ^= r.take64(64-x.lead-x.trail) << uint(x.trail)
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
	plain := len(t)
	if len(data) <= MaxBytes {
		plain = min(2, len(t))
	}
	for i := range plain {
		d.next(i)
		if d.r.overrun() {
			return i, endsEarly(EncXOR, i, len(t))
		}
		if d.t > maxt {
			return i, nil
		}
		t[i], v[i] = d.t, d.v.float()
	}
	if plain == len(t) {
		return plain, nil
	}
	return d.fast(data, maxt, t, v)
}

// fast goes on after the second sample. Fast path: it works on a copy with zeros behind it, so that eight bytes can be
// loaded anywhere, keeps all state in registers and looks for the end of the data once; BenchmarkDecodeXOR compares
// with the plain loop.
func (d *xorReader) fast(data []byte, maxt int64, t []int64, v []float64) (int, error) {
	var padded [MaxBytes + 32]byte
	copy(padded[:], data)
	at, delta, value := d.t, d.delta, d.v.bits
	lead, trail := uint(d.v.lead), uint(d.v.trail)
	// buf holds the next n bits on top, n below 64; what lies below them is the beginning of the byte at pos.
	pos := (8*d.r.pos - d.r.n) / 8
	buf, n := uint64(0), uint(0)
	if used := uint(8*d.r.pos-d.r.n) % 8; used > 0 {
		buf, n = uint64(padded[pos])<<56<<used, 8-used
		pos++
	}
	end := len(data)
	i := 2
	for ; i < len(t); i++ {
		// The position runs ahead of the samples by up to eight bytes.
		if pos > end+8 {
			return i, endsEarly(EncXOR, i, len(t))
		}
		buf |= binary.BigEndian.Uint64(padded[pos:pos+8]) >> (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		// Now 56 bits or more suffice for the timestamp's 24 and the value's first 13.
		switch {
		case buf>>63 == 0:
			buf, n = buf<<1, n-1
		case buf>>62 == 0b10:
			delta += uint64(signed(buf<<2>>(64-14), 14))
			buf, n = buf<<16, n-16
		case buf>>61 == 0b110:
			delta += uint64(signed(buf<<3>>(64-17), 17))
			buf, n = buf<<20, n-20
		case buf>>60 == 0b1110:
			delta += uint64(signed(buf<<4>>(64-20), 20))
			buf, n = buf<<24, n-24
		default:
			// Four ones and 64 bits, of which 52 or more are at hand.
			have := n - 4
			high := buf << 4 >> ((64 - have) & 63)
			next := binary.BigEndian.Uint64(padded[pos : pos+8])
			delta += high<<((64-have)&63) | next>>(have&63)
			buf, n = next<<((64-have)&63), have
			pos += 8
		}
		at += int64(delta)
		if buf>>63 == 0 {
			buf, n = buf<<1, n-1
		} else {
			if buf>>62 == 0b11 {
				lead = uint(buf << 2 >> (64 - 5))
				size := uint(buf << 7 >> (64 - 6))
				if size == 0 {
					size = 64
				}
				if lead+size > 64 {
					return i, fmt.Errorf("%w: XOR sample %d has %d significant bits after %d zeros", ErrCorrupt, i+1, size, lead)
				}
				trail = 64 - lead - size
				buf, n = buf<<13, n-13
			} else {
				buf, n = buf<<2, n-2
			}
			size := 64 - lead - trail
			if size <= n {
				value ^= buf >> ((64 - size) & 63) << (trail & 63)
				buf, n = buf<<(size&63), n-size
			} else {
				// At hand are 19 bits or more; the rest comes with the next load.
				rest := size - n
				high := buf >> ((64 - n) & 63)
				next := binary.BigEndian.Uint64(padded[pos : pos+8])
				value ^= (high<<(rest&63) | next>>((64-rest)&63)) << (trail & 63)
				buf, n = next<<(rest&63), 64-rest
				pos += 8
			}
		}
		if at > maxt {
			break
		}
		t[i], v[i] = at, math.Float64frombits(value)
	}
	if 8*pos-int(n) > 8*end {
		return i, endsEarly(EncXOR, i-1, len(t))
	}
	return i, nil
}
