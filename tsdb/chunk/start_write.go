package chunk

import "encoding/binary"

// maxChangeOn is the last sample, counted from zero, at which the header can say that start timestamps begin to change.
const maxChangeOn = 0x7f

// STState is what the writer of a chunk with start timestamps remembers of them between samples. The zero value starts
// a new chunk.
type STState struct {
	st, diff int64
	// changeOn is the sample from which on each has one written, zero if there is none yet; known tells that the first
	// one has.
	changeOn uint8
	known    bool
}

// Header returns the byte of the chunk's header that belongs to start timestamps.
func (s *STState) Header() byte {
	if s.known {
		return 0x80 | s.changeOn
	}
	return s.changeOn
}

// append writes the start timestamp of sample number i, behind the rest of it. prev is the time of the sample before it.
// Zero is none.
func (s *STState) append(b []byte, free uint8, i int, prev, t, st int64) ([]byte, uint8) {
	switch {
	case i == 0:
		if st != 0 {
			var buf [binary.MaxVarintLen64]byte
			for _, c := range buf[:binary.PutVarint(buf[:], t-st)] {
				b, free = appendBits(b, free, uint64(c), 8)
			}
			s.known = true
		}
	case s.changeOn == 0 && st == s.st && i != maxChangeOn:
	case s.changeOn == 0:
		s.changeOn, s.diff = uint8(i), prev-st
		b, free = appendVarbitInt(b, free, s.diff)
	default:
		diff := prev - st
		b, free = appendVarbitInt(b, free, diff-s.diff)
		s.diff = diff
	}
	s.st = st
	return b, free
}

// appendVarbitInt writes the variable encoding of histograms and start timestamps.
func appendVarbitInt(b []byte, free uint8, v int64) ([]byte, uint8) {
	if v == 0 {
		return appendBits(b, free, 0, 1)
	}
	for ones := 1; ones < 8; ones++ {
		if size := varbitSize(ones); inSigned(v, uint(size)) {
			return appendVarbit(b, free, ones, uint64(v), size)
		}
	}
	return appendVarbit(b, free, 8, uint64(v), 64)
}

func appendVarbit(b []byte, free uint8, ones int, v uint64, size int) ([]byte, uint8) {
	if ones < 8 {
		b, free = appendBits(b, free, 1<<(ones+1)-2, uint8(ones)+1)
	} else {
		b, free = appendBits(b, free, 0xff, 8)
	}
	return appendBits(b, free, v, uint8(size))
}
