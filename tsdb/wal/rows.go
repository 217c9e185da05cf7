package wal

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// rowEncoder compresses the records that most of the log consists of, floats of consecutive series without start times, to
// frames of Zstandard (RFC 8878). It knows where repetitions are: entries ("rows") are eleven bytes long, so each begins
// like the one before it, and its value often begins and ends like the value before it. It looks nowhere else, and
// describes what it finds with probabilities that were measured beforehand (docs/RATIONALE.md).
type rowEncoder struct {
	literals, matches, offsets *fseTable
	// seqs are the sequences of the block: bytes as they are, then bytes that are as those before.
	seqs []rowSequence
	lits []byte
	// known says that the decoder knows by how many bytes repetitions are apart.
	known bool
}

type rowSequence struct{ literals, match uint32 }

const (
	rowSize = 11
	// minRows is the number of rows from which on the tables, which a frame carries, are worth their 40 bytes.
	minRows = 48
	// maxBlock is the size of a block in a frame.
	maxBlock = 128 << 10
	// minMatch is the shortest repetition that the format knows.
	minMatch = 3
	// offsetCode is the code of a distance of eleven bytes, and offsetBits the three bits that follow it.
	offsetCode, offsetBits = 3, rowSize + 3 - 1<<offsetCode
)

// newRowEncoder returns an encoder. It is for one goroutine at a time.
func newRowEncoder() *rowEncoder {
	// Measured per mille, of lengths 1 to 8: 43, 288, 314, 130, 28, 9, 116, 64.
	literals := make([]uint16, 36)
	for code := range literals {
		literals[code] = 1
	}
	copy(literals, []uint16{0, 14, 62, 63, 30, 10, 10, 26, 14})
	// Of lengths from 3 to 10: 67, 119, 8, 24, 105, 318, 245, 37; and 18 for one value like that before, 15, 23 and 5 for two, three
	// and six.
	matches := make([]uint16, 53)
	left := uint16(512)
	for code := range matches {
		matches[code] = 1
	}
	copy(matches, []uint16{32, 56, 8, 14, 50, 0, 108, 22, 4, 2, 2, 2, 2, 2, 2, 9, 2, 2, 2})
	matches[27], matches[28], matches[35], matches[40] = 8, 2, 11, 4
	for _, n := range matches {
		left -= n
	}
	matches[5] = left
	return &rowEncoder{
		literals: newFSETable(8, literals),
		matches:  newFSETable(9, matches),
		offsets:  newFSETable(5, []uint16{31, 0, 0, 1}),
	}
}

// encode appends the compressed record to dst. It reports false if the record is short, or of another kind.
func (e *rowEncoder) encode(dst, rec []byte) ([]byte, bool) {
	at := firstEntry(rec)
	if at == 0 || len(rec)-at < minRows*rowSize {
		return dst, false
	}
	dst = appendFrameHeader(dst, len(rec))
	e.known = false
	for begin := 0; begin < len(rec); {
		end, ok := e.scan(rec, begin, at)
		if !ok {
			return dst, false
		}
		dst = e.appendBlock(dst, rec[begin:end], end == len(rec))
		begin, at = end, end
	}
	return dst, true
}

// firstEntry returns where the first entry of a record ends, zero if there is none.
func firstEntry(rec []byte) int {
	if TypeOf(rec) != TypeSamplesV2 {
		return 0
	}
	at := 1
	for range 3 { // Reference, time, start time.
		n := varintSize(rec[at:])
		if n == 0 {
			return 0
		}
		at += n
	}
	if at+8 > len(rec) {
		return 0
	}
	return at + 8
}

// varintSize returns the size of the number that b begins with, zero if there is none.
func varintSize(b []byte) int {
	for i := range min(len(b), binary.MaxVarintLen64) {
		if b[i] < 0x80 {
			return i + 1
		}
	}
	return 0
}

// appendFrameHeader begins a frame of size bytes.
func appendFrameHeader(dst []byte, size int) []byte {
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd)
	switch {
	case size < 1<<16+256: // One segment, whose size has two bytes.
		return binary.LittleEndian.AppendUint16(append(dst, 0x60), uint16(size-256))
	case size <= maxBlock: // One segment, four bytes.
		dst = append(dst, 0xa0)
	default: // A window of 128 KiB, four bytes.
		dst = append(dst, 0x80, 0x38)
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(size))
}

// scan finds the sequences of the block that begins at begin, and returns where it ends. The first row is at at. It
// reports false if there is anything but rows.
func (e *rowEncoder) scan(rec []byte, begin, at int) (end int, ok bool) {
	e.seqs, e.lits = e.seqs[:0], e.lits[:0]
	limit := min(len(rec), begin+maxBlock)
	e.lits = slices.Grow(e.lits, (limit-begin)/2)
	// rec[lit:match] differs from what is before it; rec[match:at] is like what is eleven bytes before it. A match
	// begins after at least one byte that differs, as another meaning of distances would count otherwise.
	lit, match := begin, at
	if begin > 0 {
		match++
	}
	like := begin > 0 // The row before begins like this one, but for the reference.
	for at < limit {
		if !like || at+rowSize > limit || rec[at] >= 0x80 {
			n := varintSize(rec[at:]) + rowSize - 1
			if at+n > limit && limit < len(rec) {
				break // It is for the next block.
			}
			if n < rowSize || at+n > limit || rec[at+n-10]|rec[at+n-9] != 0 {
				return 0, false
			}
			lit = e.note(rec, lit, match, at)
			at += n
			match, like = at, true
			continue
		}
		if rec[at+1]|rec[at+2] != 0 {
			return 0, false
		}
		if rec[at] != rec[at-rowSize] {
			lit = e.note(rec, lit, match, at)
			match = at + 1
		}
		if x := binary.BigEndian.Uint64(rec[at+3:]) ^ binary.BigEndian.Uint64(rec[at-8:]); x != 0 {
			lit = e.note(rec, lit, match, at+3+bits.LeadingZeros64(x)/8)
			match = at + rowSize - bits.TrailingZeros64(x)/8
		}
		at += rowSize
	}
	lit = e.note(rec, lit, match, at)
	e.lits = append(e.lits, rec[lit:at]...)
	return at, true
}

// note adds the sequence of rec[lit:match] and a repetition up to end, if that is long enough, and returns where the next
// one begins.
func (e *rowEncoder) note(rec []byte, lit, match, end int) int {
	if end-match < minMatch {
		return lit
	}
	n := len(e.lits)
	if len(rec)-lit >= 8 && match-lit <= 8 && cap(e.lits)-n >= 8 {
		// Fast path: what differs in one value (BenchmarkCompress).
		binary.LittleEndian.PutUint64(e.lits[n:n+8], binary.LittleEndian.Uint64(rec[lit:]))
		e.lits = e.lits[:n+match-lit]
	} else {
		e.lits = append(e.lits, rec[lit:match]...)
	}
	e.seqs = append(e.seqs, rowSequence{literals: uint32(match - lit), match: uint32(end - match)})
	return end
}

// appendBlock writes the block that was scanned, or block as it is if that is shorter.
func (e *rowEncoder) appendBlock(dst, block []byte, last bool) []byte {
	const raw, compressed = 0, 2
	begin := len(dst)
	dst = append(dst, 0, 0, 0) // For the header.
	switch n := len(e.lits); {
	case n < 32:
		dst = append(dst, byte(n<<3))
	case n < 4096:
		dst = append(dst, byte(n<<4|1<<2), byte(n>>4))
	default:
		dst = append(dst, byte(n<<4|3<<2), byte(n>>4), byte(n>>12))
	}
	dst = append(dst, e.lits...)
	if n := len(e.seqs); n < 128 {
		dst = append(dst, byte(n))
	} else {
		dst = append(dst, byte(n>>8+128), byte(n))
	}
	known := e.known
	if len(e.seqs) > 0 {
		dst = e.appendSequences(dst)
	}
	kind, size := compressed, len(dst)-begin-3
	if size >= len(block) {
		dst = append(dst[:begin+3], block...)
		kind, size, e.known = raw, len(block), known
	}
	header := size<<3 | kind<<1
	if last {
		header |= 1
	}
	dst[begin], dst[begin+1], dst[begin+2] = byte(header), byte(header>>8), byte(header>>16)
	return dst
}

// appendSequences writes the sequences, the last one first, as a decoder reads from the end.
func (e *rowEncoder) appendSequences(dst []byte) []byte {
	const withTables, tablesAsBefore = 0xa8, 0xfc
	far := uint8(offsetCode) // The distance has to be said in the first sequence of a frame alone.
	if e.known {
		far = 0
		dst = append(dst, tablesAsBefore)
	} else {
		dst = append(dst, withTables)
		dst = append(append(append(dst, e.literals.header...), e.offsets.header...), e.matches.header...)
	}
	e.known = true
	b := bitWriter{out: slices.Grow(dst, 8*(len(e.seqs)+2))}
	var l, m, o uint32 // The states.
	for i := len(e.seqs) - 1; i >= 0; i-- {
		s := &e.seqs[i]
		literals, literalBits := literalCode(s.literals)
		match, matchBits := matchCode(s.match - minMatch)
		distance := uint8(0)
		if i == 0 {
			distance = far
		}
		if i == len(e.seqs)-1 {
			l, m, o = e.literals.start(literals), e.matches.start(match), e.offsets.start(distance)
		} else {
			lv, ln := e.literals.given(l, literals)
			mv, mn := e.matches.given(m, match)
			ov, on := e.offsets.given(o, distance)
			b.add(ov|mv<<on|lv<<(on+mn), on+mn+ln)
			l, m, o = e.literals.after(l, ln, literals), e.matches.after(m, mn, match), e.offsets.after(o, on, distance)
		}
		b.flush()
		if literalBits+matchBits > 0 {
			b.add(uint64(s.literals)&(1<<literalBits-1), literalBits)
			b.add(uint64(s.match-minMatch)&(1<<matchBits-1), matchBits)
		}
	}
	if far != 0 {
		b.add(offsetBits, offsetCode)
	}
	b.flush()
	b.add(uint64(m)&(1<<e.matches.log-1), e.matches.log)
	b.add(uint64(o)&(1<<e.offsets.log-1), e.offsets.log)
	b.add(uint64(l)&(1<<e.literals.log-1), e.literals.log)
	b.add(1, 1)
	return b.end()
}

// literalCode returns the code of a number of bytes that are as they are, and how many bits of it follow the code.
func literalCode(n uint32) (code uint8, more uint) {
	switch {
	case n < 16:
		return uint8(n), 0
	case n < 24:
		return uint8(16 + (n-16)/2), 1
	case n < 32:
		return uint8(20 + (n-24)/4), 2
	case n < 48:
		return uint8(22 + (n-32)/8), 3
	case n < 64:
		return 24, 4
	}
	log := bits.Len32(n) - 1
	return uint8(19 + log), uint(log)
}

// matchCode is that of a length of a repetition, less the shortest one.
func matchCode(n uint32) (code uint8, more uint) {
	switch {
	case n < 32:
		return uint8(n), 0
	case n < 40:
		return uint8(32 + (n-32)/2), 1
	case n < 48:
		return uint8(36 + (n-40)/4), 2
	case n < 64:
		return uint8(38 + (n-48)/8), 3
	case n < 96:
		return uint8(40 + (n-64)/16), 4
	case n < 128:
		return 42, 5
	}
	log := bits.Len32(n) - 1
	return uint8(36 + log), uint(log)
}
