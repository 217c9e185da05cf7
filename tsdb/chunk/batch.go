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
	data, buf, n, pos, k := r.data, r.buf, uint(r.n), r.pos, 0
	if r.n < 0 {
		return
	}
	for k < len(xs) && pos+8 <= len(data) {
		buf |= binary.BigEndian.Uint64(data[pos:]) >> (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		// Two at a time, for most are short, and what comes next has to wait for what is loaded.
		for end := min(k+2, len(xs)); k < end; k++ {
			x := &xs[k]
			// Without branches: whether a bucket has changed, and whether within the same bounds, is what a processor guesses wrong.
			changed := uint(int64(buf) >> 63)
			fresh := changed & uint(int64(buf<<1)>>63)
			cut := x.cut ^ (x.cut^-uint(buf>>51)&63)&fresh
			trail := x.trail ^ (x.trail^(cut-uint(buf<<2>>59)))&fresh
			head := 2 + 11&fresh
			total := 1 + (head+63-cut)&changed
			x.cut, x.trail = cut, trail
			if total > n {
				if n < 56 {
					break
				}
				r.buf, r.n, r.pos = buf, int(n), pos
				x.read(r)
				if r.n < 0 {
					return
				}
				buf, n, pos = r.buf, uint(r.n), r.pos
				k++
				break
			}
			if int(trail) < 0 {
				r.n = -1
				return
			}
			x.bits ^= buf << (head & 63) >> (cut & 63) << (trail & 63) & uint64(int64(buf)>>63)
			buf, n = buf<<(total&63), n-total
		}
	}
	r.buf, r.n, r.pos = buf, int(n), pos
	for ; k < len(xs); k++ {
		xs[k].read(r)
	}
}

// shortVarbits is varbitSize for those that always fit into what is at hand.
const shortVarbits = "\x00\x03\x06\x09\x0c\x12\x19"

// addVarbitInts reads numbers as varbitInt does, and adds each to its place in dst.
func addVarbitInts(r *bitReader, dst []int64) {
	data, buf, n, pos, k := r.data, r.buf, uint(r.n), r.pos, 0
	if r.n < 0 {
		return
	}
	for k < len(dst) && pos+8 <= len(data) {
		buf |= binary.BigEndian.Uint64(data[pos:]) >> (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		for end := min(k+2, len(dst)); k < end; k++ {
			ones := uint(bits.LeadingZeros64(^buf))
			if ones > 6 {
				r.buf, r.n, r.pos = buf, int(n), pos
				dst[k] += r.varbitInt()
				if r.n < 0 {
					return
				}
				buf, n, pos = r.buf, uint(r.n), r.pos
				k++
				break
			}
			// As in signed, but without branches: which size comes next is what a processor guesses wrong.
			size := uint(shortVarbits[ones])
			total := ones + 1 + size
			if total > n {
				break
			}
			u := int64(buf << ((ones + 1) & 63) >> 1 >> ((63 - size) & 63))
			beyond := (int64(1)<<size>>1 - u) >> 63 // All ones if it is negative.
			dst[k] += u - beyond&(1<<size)
			buf, n = buf<<(total&63), n-total
		}
	}
	r.buf, r.n, r.pos = buf, int(n), pos
	for ; k < len(dst); k++ {
		dst[k] += r.varbitInt()
	}
}
