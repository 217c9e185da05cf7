package index

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The functions in this file read from a position, which they return behind what they have read; it is [past] once there are too
// few bytes. Fast path: entries of series are read by the ten thousand, and a position stays in a register where a decoder
// would be written back (BenchmarkSeries).

// past is a position behind all data.
const past = math.MaxInt

// continued are the bits of eight bytes that say that a varint goes on.
const continued = 0x8080808080808080

// uvarintAt reads an unsigned varint, one of up to eight bytes without a loop.
func uvarintAt(b []byte, pos int) (v uint64, next int) {
	if uint(pos) >= uint(len(b)) {
		return 0, past
	}
	if rest := b[pos:]; len(rest) >= 8 {
		w := binary.LittleEndian.Uint64(rest)
		if w&0x80 == 0 {
			return w & 0x7f, pos + 1
		}
		if ends := ^w & continued; ends != 0 {
			w &= (ends ^ (ends - 1)) &^ continued
			w = w&0x007f007f007f007f | w&0x7f007f007f007f00>>1
			w = w&0x00003fff00003fff | w&0x3fff00003fff0000>>2
			w = w&0x000000000fffffff | w&0x0fffffff00000000>>4
			return w, pos + bits.TrailingZeros64(ends)/8 + 1
		}
	}
	v, n := binary.Uvarint(b[pos:])
	if n <= 0 {
		return 0, past
	}
	return v, pos + n
}

// varintAt reads a signed varint.
func varintAt(b []byte, pos int) (v int64, next int) {
	u, next := uvarintAt(b, pos)
	return int64(u>>1) ^ -int64(u&1), next
}

// skipVarints goes over n varints, eight bytes at a time.
func skipVarints(b []byte, pos int, n uint64) (next int) {
	if pos >= len(b) && n > 0 || n > uint64(len(b)) {
		return past
	}
	for n > 0 && pos+8 <= len(b) {
		ends := ^binary.LittleEndian.Uint64(b[pos:]) & continued
		if c := uint64(bits.OnesCount64(ends)); c < n {
			n -= c
			pos += 8
			continue
		}
		for ; n > 1; n-- {
			ends &= ends - 1
		}
		return pos + bits.TrailingZeros64(ends)/8 + 1
	}
	for ; n > 0; pos++ {
		if pos >= len(b) {
			return past
		}
		if b[pos] < 0x80 {
			n--
		}
	}
	return pos
}
