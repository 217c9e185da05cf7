package chunk

import (
	"encoding/binary"
	"math/bits"
)

// The buckets of a histogram follow each other as numbers of the same kind. Fast path: the functions in this file read
// many at once and keep the state of the reader in registers; near the end of the data they leave the rest to the
// functions for one number (BenchmarkDecodeHistograms).

// readXORs reads what appendXOR wrote, for each of the values.
func readXORs(r *bitReader, xs []xorValue) {
	data, buf, n, pos := r.data, r.buf, uint(r.n), r.pos
	if r.n < 0 {
		return
	}
	for k := range xs {
		if pos+16 > len(data) {
			r.buf, r.n, r.pos = buf, int(n), pos
			for ; k < len(xs); k++ {
				xs[k].read(r)
			}
			return
		}
		buf |= binary.BigEndian.Uint64(data[pos:]) >> (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		x := &xs[k]
		// Without branches: whether a bucket has changed, and whether within the same bounds, is what a processor guesses wrong.
		changed := buf >> 63
		fresh := changed & (buf >> 62)
		lead, size := uint64(x.lead), uint64(64-x.lead-x.trail)
		lead ^= (lead ^ buf<<2>>(64-5)) & -fresh
		size ^= (size ^ ((buf<<7>>(64-6)-1)&63 + 1)) & -fresh
		if lead+size > 64 {
			r.n = -1
			return
		}
		trail := 64 - lead - size
		x.lead, x.trail, x.window = int(lead), int(trail), fresh|oneIf(x.window) != 0
		head := uint(1 + changed + 11*fresh)
		size &= -changed
		if total := head + uint(size); total <= n {
			x.bits ^= buf << (head & 63) >> 1 >> ((63 - size) & 63) << (trail & 63)
			buf, n = buf<<(total&63), n-total
			continue
		}
		// At hand are some of the bits; the rest comes with the next load.
		rest := head + uint(size) - n
		high := buf << (head & 63) >> ((64 - n + head) & 63)
		next := binary.BigEndian.Uint64(data[pos:])
		x.bits ^= (high<<(rest&63) | next>>((64-rest)&63)) << (trail & 63)
		buf, n = next<<(rest&63), 64-rest
		pos += 8
	}
	r.buf, r.n, r.pos = buf, int(n), pos
}

// oneIf returns one for true, without a branch.
func oneIf(b bool) (n uint64) {
	if b {
		n = 1
	}
	return n
}

// shortVarbits is varbitSize for those that always fit into what is at hand.
const shortVarbits = "\x00\x03\x06\x09\x0c\x12\x19"

// addVarbitInts reads numbers as varbitInt does, and adds each to its place in dst.
func addVarbitInts(r *bitReader, dst []int64) {
	data, buf, n, pos := r.data, r.buf, uint(r.n), r.pos
	if r.n < 0 {
		return
	}
	for k := range dst {
		if pos+8 > len(data) {
			r.buf, r.n, r.pos = buf, int(n), pos
			for ; k < len(dst); k++ {
				dst[k] += r.varbitInt()
			}
			return
		}
		buf |= binary.BigEndian.Uint64(data[pos:]) >> (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		ones := uint(bits.LeadingZeros64(^buf))
		if ones > 6 {
			r.buf, r.n, r.pos = buf, int(n), pos
			dst[k] += r.varbitInt()
			if buf, n, pos = r.buf, uint(r.n), r.pos; r.n < 0 {
				return
			}
			continue
		}
		// As in signed, but without branches: which size comes next is what a processor guesses wrong.
		size := uint(shortVarbits[ones])
		u := int64(buf << ((ones + 1) & 63) >> 1 >> ((63 - size) & 63))
		beyond := (int64(1)<<size>>1 - u) >> 63 // All ones if it is negative.
		dst[k] += u - beyond&(1<<size)
		buf, n = buf<<((ones+1+size)&63), n-ones-1-size
	}
	r.buf, r.n, r.pos = buf, int(n), pos
}
