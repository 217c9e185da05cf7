package chunk

import (
	"fmt"
	"math"
	"math/bits"
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
	if r.take(1) == 0 {
		return
	}
	if r.take(1) == 1 {
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
	for i := range min(2, len(t)) {
		d.next(i)
		if d.r.overrun() {
			return i, endsEarly(EncXOR, i, len(t))
		}
		if d.t > maxt {
			return i, nil
		}
		t[i], v[i] = d.t, d.v.float()
	}
	// Fast path: the reader's state lives in registers; BenchmarkDecodeXOR compares with the plain loop.
	at, delta, value := d.t, d.delta, d.v.bits
	lead, trail := d.v.lead, d.v.trail
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
