package chunk

import (
	"encoding/binary"
	"math/bits"
)

// appendBits appends the low n bits of u, n in [0, 64], to b, the last byte of which has free unused bits, and
// returns how many are unused then.
func appendBits(b []byte, free uint8, u uint64, n uint8) ([]byte, uint8) {
	if n == 0 {
		return b, free
	}
	u <<= 64 - n
	if free > 0 {
		b[len(b)-1] |= byte(u >> (64 - free))
		if n <= free {
			return b, free - n
		}
		u <<= free
		n -= free
	}
	size := int(n+7) / 8
	if cap(b)-len(b) >= 8 {
		// Fast path: one store instead of up to eight; what lies beyond the new length is overwritten later.
		b = b[:len(b)+8]
		binary.BigEndian.PutUint64(b[len(b)-8:], u)
		b = b[:len(b)-8+size]
	} else {
		for range size {
			b = append(b, byte(u>>56))
			u <<= 8
		}
	}
	return b, uint8(size*8) - n
}

// bitReader takes bits from the front of data. Reading beyond the end yields zeros and makes overrun report true, so
// that callers check once for many reads.
type bitReader struct {
	data []byte
	pos  int
	// buf holds the next bits, the first of them on top; n of them count. n is negative after an overrun.
	buf uint64
	n   int
}

// refill brings n to 56 or more, or to all bits that are left.
func (r *bitReader) refill() {
	if r.n >= 0 && r.pos+8 <= len(r.data) {
		r.buf |= binary.BigEndian.Uint64(r.data[r.pos:]) >> uint(r.n)
		r.pos += (63 - r.n) >> 3
		r.n |= 56
		return
	}
	for r.n >= 0 && r.n <= 56 && r.pos < len(r.data) {
		r.buf |= uint64(r.data[r.pos]) << (56 - uint(r.n))
		r.pos++
		r.n += 8
	}
}

func (r *bitReader) overrun() bool { return r.n < 0 }

// left returns the number of bits that are not read yet.
func (r *bitReader) left() int { return r.n + 8*(len(r.data)-r.pos) }

// take returns the next k bits, k in [0, 56].
func (r *bitReader) take(k int) uint64 {
	if r.n < k {
		r.refill()
	}
	v := r.buf >> 1 >> uint(63-k)
	r.buf <<= uint(k)
	r.n -= k
	return v
}

// take64 returns the next k bits, k in [0, 64].
func (r *bitReader) take64(k int) uint64 {
	if k <= 32 {
		return r.take(k)
	}
	high := r.take(k - 32)
	return high<<32 | r.take(32)
}

// ones consumes the ones before the next zero and that zero, or limit ones, and returns how many ones there were.
func (r *bitReader) ones(limit int) int {
	if r.n < limit {
		r.refill()
	}
	n := bits.LeadingZeros64(^r.buf)
	if n >= limit {
		r.buf <<= uint(limit)
		r.n -= limit
		return limit
	}
	r.buf <<= uint(n + 1)
	r.n -= n + 1
	return n
}

// zeroPairs reads pairs of zeros, up to limit and as far as they are at hand, and returns how many there were.
func (r *bitReader) zeroPairs(limit int) int {
	if r.n < 2 {
		r.refill()
	}
	pairs := min(bits.LeadingZeros64(r.buf), r.n) / 2
	pairs = max(min(pairs, limit), 0)
	r.buf <<= uint(2 * pairs)
	r.n -= 2 * pairs
	return pairs
}

// uvarint and varint read the varints of encoding/binary; one of more than 64 bits counts as an overrun.
func (r *bitReader) uvarint() uint64 {
	var v uint64
	for shift := uint(0); shift < 64; shift += 7 {
		c := r.take(8)
		v |= c & 0x7f << shift
		if c < 0x80 {
			return v
		}
	}
	r.n = -1
	return 0
}

func (r *bitReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// signed reads k bits as a number in [-(2^(k-1)-1), 2^(k-1)]: unlike two's complement, the pattern 100… is positive.
func signed(u uint64, k int) int64 {
	if u > 1<<uint(k-1) {
		return int64(u) - 1<<uint(k)
	}
	return int64(u)
}

// inSigned reports whether v can be written in k bits, to be read by signed.
func inSigned(v int64, k uint) bool {
	return -(1<<(k-1)-1) <= v && v <= 1<<(k-1)
}

// varbitSize is the number of bits that follow a prefix of so many ones in the variable encoding of histograms.
func varbitSize(ones int) int {
	return [...]int{0, 3, 6, 9, 12, 18, 25, 56, 64}[ones]
}

func (r *bitReader) varbitUint() uint64 {
	return r.take64(varbitSize(r.ones(8)))
}

func (r *bitReader) varbitInt() int64 {
	k := varbitSize(r.ones(8))
	u := r.take64(k)
	if k == 0 || k == 64 {
		return int64(u)
	}
	return signed(u, k)
}
