package chunk

import (
	"encoding/binary"
	"math"
)

// decodeXORFast is decodeXOR for chunks whose values change. Fast path (BenchmarkDecodeXOR): bits are read where they
// lie, so that all that a sample has to wait for of the one before is a position; the loop over values holds so little
// that it stays in registers; and times, which hardly ever have to be read, are made behind it, from mint on. What is
// out of the ordinary is left to decodeXOR, damage included.
func decodeXORFast(data []byte, mint, maxt int64, t []int64, v []float64) (got int, err error) {
	var end [2 * cursorRoom]byte
	c := xorCursor{data: data, bytes: len(data), end: end[:], t: t, mint: max(mint, -farTime), maxt: min(maxt, farTime)}
	if !c.open(v) {
		return decodeXOR(data, mint, maxt, t, v)
	}
	c.read(v)
	if c.i < c.limit || c.odd || c.p > 8*uint(c.bytes) {
		return decodeXOR(data, mint, maxt, t, v)
	}
	c.times(c.i)
	last := c.i
	for last > c.first && t[last-1] > maxt {
		last--
	}
	copy(v, v[c.first:last])
	return copy(t, t[c.first:last]), nil
}

const (
	// farTime is beyond all times that are calculated with, so that nothing overflows; farDelta is a distance of years.
	farTime  = 1 << 61
	farDelta = 1 << 40
	// cursorRoom is how many bytes behind the position are looked at without asking whether they are there: more than the
	// largest sample takes, and the nine bytes that are read for its last bit.
	cursorRoom = 32
)

// xorCursor is the state of decodeXORFast.
type xorCursor struct {
	// data are the bytes, of which so many count; p is the position, in bits.
	data  []byte
	bytes int
	p     uint
	// end takes the end of the data, for zeros to follow it; it is nil once it is in use.
	end []byte
	// known is a position at which the bit for the time has been seen to.
	known uint
	// bits are the latest value. Of what follows it, bits change that so many, cut, lie around; trail are those of them that
	// lie behind.
	bits       uint64
	cut, trail uint
	// i is the number of values so far; there will be no more than limit: those in time, and one.
	i, limit int
	// odd says that something is left to decodeXOR.
	odd bool

	// t are the times, of which so many are made; at is the latest of them, delta the distance to the next.
	t          []int64
	timed      int
	at, delta  int64
	mint, maxt int64
	// first is the first sample that is not before mint.
	first int
}

// open reads the first sample and the distance to the second. It reports false if the rest is for decodeXOR.
func (c *xorCursor) open(v []float64) bool {
	if len(v) < 2 {
		return false
	}
	at, n := binary.Varint(c.data[2:])
	if n <= 0 || len(c.data) < 2+n+8 || at < -farTime/2 || at > farTime/2 {
		return false
	}
	pos := 2 + n
	c.bits = binary.BigEndian.Uint64(c.data[pos:])
	pos += 8
	delta, n := binary.Uvarint(c.data[pos:])
	c.at, c.delta = at, int64(delta)
	if n <= 0 || !c.ordinary() {
		return false
	}
	c.p = uint(8*(pos+n) - 1)
	c.known = c.p
	c.t[0], v[0] = at, math.Float64frombits(c.bits)
	c.i, c.timed = 1, 1
	if at < c.mint {
		c.first = 1
	}
	c.bound()
	return true
}

// ordinary reports whether times ascend, and by so little that they can be calculated with.
func (c *xorCursor) ordinary() bool { return 0 < c.delta && c.delta <= farDelta }

// bound finds out how many values are needed if the distance stays as it is.
func (c *xorCursor) bound() {
	c.limit = len(c.t)
	if left := int64(c.limit - c.timed); c.at+left*c.delta > c.maxt {
		c.limit = c.timed
		if c.at <= c.maxt {
			c.limit += int(min((c.maxt-c.at)/c.delta+1, left))
		}
	}
}

// read reads all values that are needed.
func (c *xorCursor) read(v []float64) {
	for {
		c.values(v)
		switch {
		case c.i >= c.limit || c.odd:
			return
		case len(c.data)-int(c.p/8) >= cursorRoom:
			c.distance()
		case c.end == nil:
			return
		default:
			c.pad()
		}
	}
}

// pad puts zeros behind the rest of the data.
func (c *xorCursor) pad() {
	at := min(int(c.p/8), len(c.data))
	c.bytes = copy(c.end[:cursorRoom], c.data[at:])
	c.data, c.end = c.end, nil
	c.p -= uint(8 * at)
	c.known -= uint(8 * at)
}

// values reads values, as long as there is room behind the position and the distance of times stays as it is.
func (c *xorCursor) values(v []float64) {
	if len(c.data) < cursorRoom {
		return
	}
	near := c.data[: len(c.data)-cursorRoom+8 : len(c.data)-cursorRoom+8]
	p, value, cut, trail, i := c.p, c.bits, c.cut, c.trail, c.i
	for v = v[:c.limit]; i < len(v); i++ {
		at := p / 8
		if at+8 > uint(len(near)) {
			break
		}
		// Of these bits, 57 or more count.
		next := binary.BigEndian.Uint64(near[at:at+8]) << (p % 8)
		if int64(next) < 0 {
			if p != c.known {
				// Fast path: where the distance changes each time, as a rule it is by little.
				delta := c.delta + signed(next<<2>>(64-14), 14)
				at := c.at + delta
				if next>>62 != 0b10 || c.timed != i || len(v) < len(c.t) || delta <= 0 || at+int64(len(v)-i)*delta > c.maxt {
					break
				}
				c.delta, c.at, c.timed, c.t[i] = delta, at, i+1, at
				if at < c.mint {
					c.first = i + 1
				}
				p += 2 + 14 - 1
				next = binary.BigEndian.Uint64(c.data[p/8:]) << (p % 8)
			}
			next = next << 1 >> 1
		}
		switch next >> 61 {
		case 0b010:
			next <<= 3
			if cut < 64-54 {
				next = bitsAt(c.data, p+3)
			}
			value ^= next >> (cut & 63) << (trail & 63)
			p += 3 + 64 - cut
		case 0b000, 0b001:
			p += 2
		default:
			lead, size := uint(next<<3>>(64-5)), uint(next<<8>>(64-6)-1)&63+1 // 64 is written as zero.
			if lead+size > 64 {
				c.odd = true
				return
			}
			cut, trail = 64-size, 64-size-lead
			value ^= bitsAt(c.data, p+14) >> (cut & 63) << (trail & 63)
			p += 14 + size
		}
		v[i] = math.Float64frombits(value)
	}
	c.p, c.bits, c.cut, c.trail, c.i = p, value, cut, trail, i
}

// bitsAt returns the 64 bits at a position.
func bitsAt(data []byte, p uint) uint64 {
	nine := data[p/8 : p/8+9]
	return binary.BigEndian.Uint64(nine)<<(p%8) | uint64(nine[8])>>(8-p%8)
}

// distance reads how the distance of times changes.
func (c *xorCursor) distance() {
	c.times(c.i)
	change, size := int64(0), uint(0)
	switch next := bitsAt(c.data, c.p); {
	case next>>62 == 0b10:
		change, size = signed(next<<2>>(64-14), 14), 2+14
	case next>>61 == 0b110:
		change, size = signed(next<<3>>(64-17), 17), 3+17
	case next>>60 == 0b1110:
		change, size = signed(next<<4>>(64-20), 20), 4+20
	default:
		change, size = int64(bitsAt(c.data, c.p+4)), 4+64
	}
	c.delta += change
	// The last bit stays, so that one lies before the value in any case.
	c.p += size - 1
	c.known = c.p
	if c.odd = !c.ordinary(); !c.odd {
		c.times(c.i + 1)
		c.bound()
	}
}

// times makes the times of the samples before number i, but for those before mint.
func (c *xorCursor) times(i int) {
	at, delta := c.at, c.delta
	if n := i - c.timed; n > 0 && at+delta < c.mint {
		skipped := int(min((c.mint-at-1)/delta, int64(n)))
		at += int64(skipped) * delta
		c.timed += skipped
		c.first = c.timed
	}
	t := c.t[c.timed:i]
	for k := range t {
		at += delta
		t[k] = at
	}
	c.at, c.timed = at, i
}
