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
		if buf>>63 == 0 {
			buf, n = buf<<1, n-1
			continue
		}
		x := &xs[k]
		head := uint(2)
		if buf>>62 == 0b11 {
			lead, size := int(buf<<2>>(64-5)), int(buf<<7>>(64-6)-1)&63+1
			if lead+size > 64 {
				r.n = -1
				return
			}
			x.lead, x.trail, x.window = lead, 64-lead-size, true
			head = 13
		}
		size := uint(64 - x.lead - x.trail)
		if head+size <= n {
			x.bits ^= buf << head >> ((64 - size) & 63) << (uint(x.trail) & 63)
			buf, n = buf<<((head+size)&63), n-head-size
			continue
		}
		// At hand are some of the bits; the rest comes with the next load.
		rest := head + size - n
		high := buf << head >> ((64 - n + head) & 63)
		next := binary.BigEndian.Uint64(data[pos:])
		x.bits ^= (high<<(rest&63) | next>>((64-rest)&63)) << (uint(x.trail) & 63)
		buf, n = next<<(rest&63), 64-rest
		pos += 8
	}
	r.buf, r.n, r.pos = buf, int(n), pos
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
