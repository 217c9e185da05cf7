package chunk

import (
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
	bits uint64
	// cut is how many bits lie around the significant ones, trail how many of them behind.
	cut, trail uint
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
	x.cut, x.trail = uint(64-size), uint(64-size-lead)
}

// readDiff reads the significant bits.
func (x *xorValue) readDiff(r *bitReader) {
	x.bits ^= r.take64(int(64-x.cut)) << x.trail
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
	decode := decodeXORFast
	if 8*len(data) < 4*n {
		decode = decodeXOR // Here most samples repeat the one before.
	}
	got, err := decode(data, mint, maxt, ts[start:start+n], vs[start:start+n])
	return ts[:start+got], vs[:start+got], err
}

// decodeXOR fills t and v, whose lengths are the number of samples, with those in [mint, maxt], stops after the first
// that is later, and returns how many there are. Fast path: it goes through runs of the same value at the same distance,
// which are zeros, at once.
func decodeXOR(data []byte, mint, maxt int64, t []int64, v []float64) (got int, err error) {
	d := xorReader{r: bitReader{data: data, pos: 2}}
	for i := 0; i < len(t); {
		d.next(i)
		if d.r.overrun() {
			return got, endsEarly(EncXOR, i, len(t))
		}
		i++
		same := 0
		if i > 1 {
			same = d.r.zeroPairs(len(t) - i)
			i += same
		}
		for k := range 1 + same {
			if k > 0 {
				d.t += int64(d.delta)
			}
			if d.t > maxt {
				return got, nil
			}
			if t[got], v[got] = d.t, d.v.float(); d.t >= mint {
				got++
			}
		}
	}
	return got, nil
}
