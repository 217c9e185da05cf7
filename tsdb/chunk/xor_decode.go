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
	decode := decodeXORFast
	if len(data) > MaxBytes || 8*len(data) < 4*n {
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

// decodeXORFast is decodeXOR for chunks of up to [MaxBytes]. Fast path: it works on a copy with zeros behind it, so that
// eight bytes can be loaded anywhere, keeps all state in registers and looks for the end of the data once.
// BenchmarkDecodeXOR compares.
func decodeXORFast(data []byte, mint, maxt int64, t []int64, v []float64) (got int, err error) {
	var padded [MaxBytes + 40]byte
	copy(padded[:], data)
	at, pos := varintAt(&padded, 2)
	value := binary.BigEndian.Uint64(padded[pos : pos+8])
	pos += 8
	end := len(data)
	v = v[:len(t)]
	if pos > end {
		return 0, endsEarly(EncXOR, 0, len(t))
	}
	if at > maxt {
		return 0, nil
	}
	if t[0], v[0] = at, math.Float64frombits(value); at >= mint {
		got = 1
	}
	if len(t) == 1 {
		return got, nil
	}
	first, size := binary.Uvarint(padded[pos : pos+binary.MaxVarintLen64])
	if size <= 0 {
		return got, endsEarly(EncXOR, 1, len(t))
	}
	pos += size
	delta := first
	// The significant bits are so many behind the leading zeros, before the trailing ones.
	lead, bitsUsed, trail := uint(0), uint(64), uint(0)
	// buf holds the next n bits on top, n below 64; what lies below them is the beginning of the byte at pos. The zero that
	// it begins with says that the distance does not change.
	buf, n := uint64(0), uint(1)
	i := 1
	for ; i < len(t); i++ {
		// The position runs ahead of the samples by up to eight bytes.
		if pos > end+8 {
			return got, endsEarly(EncXOR, i, len(t))
		}
		buf |= binary.BigEndian.Uint64(padded[pos:pos+8]) >> (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		// Now 56 bits or more suffice for the timestamp's 24 and the value's first 13. The timestamp's last bit stays, so that
		// the value always begins at the second.
		if int64(buf) < 0 {
			switch {
			case buf>>62 == 0b10:
				delta += uint64(signed(buf<<2>>(64-14), 14))
				buf, n = buf<<15, n-15
			case buf>>61 == 0b110:
				delta += uint64(signed(buf<<3>>(64-17), 17))
				buf, n = buf<<19, n-19
			case buf>>60 == 0b1110:
				delta += uint64(signed(buf<<4>>(64-20), 20))
				buf, n = buf<<23, n-23
			default:
				// Four ones and 64 bits, of which 52 or more are at hand.
				have := n - 4
				high := buf << 4 >> ((64 - have) & 63)
				next := binary.BigEndian.Uint64(padded[pos : pos+8])
				delta += high<<((64-have)&63) | next>>(have&63)
				buf, n = next<<((63-have)&63), have+1
				pos += 8
			}
		}
		at += int64(delta)
		if control := buf >> 61 & 0b11; control < 0b10 {
			buf, n = buf<<2, n-2
		} else {
			head := uint(3)
			if control == 0b11 {
				lead = uint(buf << 3 >> (64 - 5))
				bitsUsed = uint(buf<<8>>(64-6)-1)&63 + 1 // 64 is written as zero.
				if lead+bitsUsed > 64 {
					return got, fmt.Errorf("%w: XOR sample %d has %d significant bits after %d zeros", ErrCorrupt, i+1, bitsUsed, lead)
				}
				trail = 64 - lead - bitsUsed
				head = 14
			}
			if head+bitsUsed <= n {
				value ^= buf << head >> ((64 - bitsUsed) & 63) << (trail & 63)
				buf, n = buf<<((head+bitsUsed)&63), n-head-bitsUsed
			} else {
				// At hand are 19 bits or more; the rest comes with the next load.
				rest := head + bitsUsed - n
				high := buf << head >> ((64 - n + head) & 63)
				next := binary.BigEndian.Uint64(padded[pos : pos+8])
				value ^= (high<<(rest&63) | next>>((64-rest)&63)) << (trail & 63)
				buf, n = next<<(rest&63), 64-rest
				pos += 8
			}
		}
		if at > maxt {
			break
		}
		if t[got], v[got] = at, math.Float64frombits(value); at >= mint {
			got++
		}
	}
	if 8*pos-int(n) > 8*end {
		return got, endsEarly(EncXOR, min(i, len(t)-1), len(t))
	}
	return got, nil
}

// varintAt reads a varint, and returns where the byte behind it is. One of more than 64 bits counts as one that the data
// ends within.
func varintAt(data *[MaxBytes + 40]byte, pos int) (v int64, next int) {
	v, n := binary.Varint(data[pos : pos+binary.MaxVarintLen64])
	if n <= 0 {
		return 0, len(data) - 8
	}
	return v, pos + n
}
