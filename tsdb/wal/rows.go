package wal

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// rowEncoder compresses the records that most of the log consists of, floats without start times, to frames of Zstandard
// (RFC 8878). It knows where repetitions are: entries ("rows") of consecutive series at one time are eleven bytes long, so each
// begins like the one before it, and its value often begins and ends like the value before it. Where there are several times it
// looks at the series before as well (rows_times.go). It looks nowhere else, and describes what it finds with probabilities
// that were measured beforehand (docs/RATIONALE.md).
type rowEncoder struct {
	scrapes, times *rowModel
	// seqs are the sequences of the block: bytes as they are, then bytes that are as those before.
	seqs []rowSequence
	lits []byte
	// known is what the decoder has learned from the frame so far.
	known rowKnowledge
	// group and period are where the rows of the latest series begin, and how far behind those of the one before, zero if that is
	// not to be looked at.
	group, period int
}

// rowModel is how probable lengths and distances are.
type rowModel struct{ literals, matches, offsets *fseTable }

// rowKnowledge is the state of a decoder: the model that it got last, and the latest distances.
type rowKnowledge struct {
	model     *rowModel
	distances [3]uint32
}

// rowSequence is a number of bytes as they are, and one of bytes that repeat others; offset says how far those are, in the code of
// RFC 8878, 3.1.1.5.
type rowSequence struct{ literals, match, offset uint32 }

const (
	rowSize = 11
	// minRows is the number of rows from which on the tables, which a frame carries, are worth their 40 bytes.
	minRows = 48
	// maxBlock is the size of a block in a frame.
	maxBlock = 128 << 10
	// minMatch is the shortest repetition that the format knows.
	minMatch = 3
	// manySequences is the number from which on it takes three bytes.
	manySequences = 0x7f00
	// sameDistance is the offset of the distance before, farDistance is added to others that are written out.
	sameDistance, farDistance = 1, 3
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
		scrapes: &rowModel{newFSETable(8, literals), newFSETable(9, matches), newFSETable(5, []uint16{31, 0, 0, 1})},
		times:   timesModel(),
	}
}

// encode appends the compressed record to dst. It reports false if the record is short, or of another kind.
func (e *rowEncoder) encode(dst, rec []byte) ([]byte, bool) {
	at := firstEntry(rec)
	if at == 0 || len(rec)-at < minRows*rowSize {
		return dst, false
	}
	begin := len(dst)
	dst = appendFrameHeader(dst, len(rec))
	if all, ok := e.blocks(dst, rec, at, e.scrapes, e.scan); ok {
		return all, true
	}
	e.group, e.period = at-rowSize, 0
	dst, ok := e.blocks(dst, rec, at, e.times, e.scanTimes)
	if !ok {
		return dst[:begin], false
	}
	return dst, true
}

// blocks appends the blocks of a frame, whose sequences scan finds.
func (e *rowEncoder) blocks(dst, rec []byte, at int, model *rowModel, scan func(rec []byte, begin, at int) (int, bool)) ([]byte, bool) {
	e.known = rowKnowledge{distances: [3]uint32{1, 4, 8}}
	for begin := 0; begin < len(rec); {
		before := e.known
		end, ok := scan(rec, begin, at)
		if !ok {
			return dst, false
		}
		dst = e.appendBlock(dst, rec[begin:end], end == len(rec), model, before)
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
	if d := &e.known.distances; len(e.seqs) > 0 && d[0] != rowSize {
		e.seqs[0].offset = rowSize + farDistance
		*d = [3]uint32{rowSize, d[0], d[1]}
	}
	return at, true
}

// note adds the sequence of rec[lit:match] and a repetition up to end, if that is long enough, and returns where the next
// one begins.
func (e *rowEncoder) note(rec []byte, lit, match, end int) int {
	if end-match < minMatch {
		return lit
	}
	e.literally(rec, lit, match)
	e.seqs = append(e.seqs, rowSequence{literals: uint32(match - lit), match: uint32(end - match), offset: sameDistance})
	return end
}

// literally adds rec[lit:match] to the bytes that are as they are.
func (e *rowEncoder) literally(rec []byte, lit, match int) {
	n := len(e.lits)
	if len(rec)-lit >= 8 && match-lit <= 8 && cap(e.lits)-n >= 8 {
		// Fast path: what differs in one value (BenchmarkCompress).
		binary.LittleEndian.PutUint64(e.lits[n:n+8], binary.LittleEndian.Uint64(rec[lit:]))
		e.lits = e.lits[:n+match-lit]
	} else {
		e.lits = append(e.lits, rec[lit:match]...)
	}
}

// appendBlock writes the block that was scanned, or block as it is if that is shorter: then the decoder knows what it knew before.
func (e *rowEncoder) appendBlock(dst, block []byte, last bool, model *rowModel, before rowKnowledge) []byte {
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
	switch n := len(e.seqs); {
	case n < 128:
		dst = append(dst, byte(n))
	case n < manySequences:
		dst = append(dst, byte(n>>8+128), byte(n))
	default:
		dst = binary.LittleEndian.AppendUint16(append(dst, 255), uint16(n-manySequences))
	}
	if len(e.seqs) > 0 {
		dst = e.appendSequences(dst, model)
	}
	kind, size := compressed, len(dst)-begin-3
	if size >= len(block) {
		dst = append(dst[:begin+3], block...)
		kind, size, e.known = raw, len(block), before
	}
	header := size<<3 | kind<<1
	if last {
		header |= 1
	}
	dst[begin], dst[begin+1], dst[begin+2] = byte(header), byte(header>>8), byte(header>>16)
	return dst
}

// appendSequences writes the sequences, the last one first, as a decoder reads from the end.
func (e *rowEncoder) appendSequences(dst []byte, m *rowModel) []byte {
	const withTables, tablesAsBefore = 0xa8, 0xfc
	if e.known.model == m {
		dst = append(dst, tablesAsBefore)
	} else {
		dst = append(dst, withTables)
		dst = append(append(append(dst, m.literals.header...), m.offsets.header...), m.matches.header...)
	}
	e.known.model = m
	last := &e.seqs[len(e.seqs)-1]
	literals, _ := literalCode(last.literals)
	match, _ := matchCode(last.match - minMatch)
	ls, ms, os := m.literals.start(literals), m.matches.start(match), m.offsets.start(uint8(bits.Len32(last.offset)-1))
	const most = 12 // bytes of a sequence, and of what comes behind all
	dst = slices.Grow(dst, most*(len(e.seqs)+1)+8)
	b := sequenceWriter{out: dst[:cap(dst)], at: len(dst)}
	b.lengths(last)
	b.flush()
	for i := len(e.seqs) - 2; i >= 0; i-- {
		s := &e.seqs[i]
		literals, match := uint8(s.literals), uint8(s.match-minMatch)
		if s.literals >= 16 {
			literals, _ = literalCode(s.literals)
		}
		if s.match-minMatch >= 32 {
			match, _ = matchCode(s.match - minMatch)
		}
		var ov, mv, lv uint64
		var on, mn, ln uint
		os, ov, on = m.offsets.before(os, uint8(bits.Len32(s.offset)-1))
		ms, mv, mn = m.matches.before(ms, match)
		ls, lv, ln = m.literals.before(ls, literals)
		b.add(ov|mv<<(on&63)|lv<<((on+mn)&63), on+mn+ln)
		if s.literals >= 16 || s.match-minMatch >= 32 || s.offset > sameDistance {
			b.flush()
			b.lengths(s)
		}
		b.flush()
	}
	b.add(uint64(ms)&(1<<m.matches.log-1), m.matches.log)
	b.add(uint64(os)&(1<<m.offsets.log-1), m.offsets.log)
	b.add(uint64(ls)&(1<<m.literals.log-1), m.literals.log)
	b.add(1, 1)
	return b.end()
}

// sequenceWriter is a [bitWriter] that has room for all. Lengths and distance of a sequence have up to 48 bits, its states 25.
type sequenceWriter struct {
	out  []byte
	at   int
	bits uint64
	n    uint
}

func (b *sequenceWriter) add(v uint64, n uint) {
	b.bits |= v << (b.n & 63)
	b.n += n
}

func (b *sequenceWriter) flush() {
	binary.LittleEndian.PutUint64(b.out[b.at:], b.bits)
	b.at += int(b.n / 8)
	b.bits >>= b.n & 56
	b.n &= 7
}

// lengths writes the bits that follow the codes of a sequence.
func (b *sequenceWriter) lengths(s *rowSequence) {
	_, n := literalCode(s.literals)
	b.add(uint64(s.literals)&(1<<n-1), n)
	_, n = matchCode(s.match - minMatch)
	b.add(uint64(s.match-minMatch)&(1<<n-1), n)
	n = uint(bits.Len32(s.offset) - 1)
	b.add(uint64(s.offset)&(1<<n-1), n)
}

func (b *sequenceWriter) end() []byte {
	b.flush()
	if b.n > 0 {
		b.at++
	}
	return b.out[:b.at]
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
