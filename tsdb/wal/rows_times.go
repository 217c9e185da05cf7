package wal

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// maxStrange is the number of rows of which one at most may have a time that is not where it is looked for: the library looks
// further.
const maxStrange = 2

// maxPeriod bounds how far back the series before is looked for, within the window of a frame.
const maxPeriod = 64 << 10

// scanTimes is scan for rows of several times, as those who catch up send them: some samples of a series, then as many of the
// next, at the same times. What a row says about series and time is as in the row before or as in that of the same time of the
// series before; its value is compared with the one before of its series.
func (e *rowEncoder) scanTimes(rec []byte, begin, at int) (end int, ok bool) {
	limit := min(len(rec), begin+maxBlock)
	e.seqs, e.lits = e.seqs[:0], slices.Grow(e.lits[:0], (limit-begin)/2)
	r := repetition{lit: begin, begin: at, end: at}
	rows, strange := 0, 0
	for at < limit {
		ref, head := rowHead(rec[at:])
		if head == 0 {
			return 0, false
		}
		if at+head+8 > limit {
			if limit == len(rec) {
				return 0, false
			}
			break // It is for the next block.
		}
		rows++
		if !e.row(&r, rec, at, ref, head) {
			strange++
		}
		at += head + 8
	}
	if rows < maxStrange*strange {
		return 0, false
	}
	e.begin(&r, rec, at, at, 0)
	e.lits = append(e.lits, rec[r.lit:at]...)
	return at, true
}

// rowHead returns where in a row the reference ends, and where the value begins, zero if there is no row of this kind.
func rowHead(b []byte) (ref, head int) {
	if len(b) < rowSize {
		return 0, 0
	}
	x := binary.LittleEndian.Uint64(b)
	ends := ^x & 0x8080808080808080 // A bit in the last byte of each number.
	ref = bits.TrailingZeros64(ends)/8 + 1
	ends &= ends - 1
	marker := bits.TrailingZeros64(ends)/8 + 1
	if marker > 7 || byte(x>>(8*marker)) != stNone {
		return 0, 0
	}
	return ref, marker + 1
}

// row adds the row at a place, and reports whether its time is known.
func (e *rowEncoder) row(r *repetition, rec []byte, at, ref, head int) bool {
	size, value := head+8, at+head
	x := binary.LittleEndian.Uint64(rec[at:])
	mask := uint64(1)<<(8*head) - 1
	fresh := ref > 1 || byte(x) != 0 // The row is the first of its series.
	if fresh {
		if e.period, e.group = at-e.group, at; e.period > maxPeriod {
			e.period = 0
		}
	}
	before, other := mask, mask
	if e.period > 0 {
		other &= x ^ binary.LittleEndian.Uint64(rec[at-e.period:])
	}
	// A series that begins like the one before it may go on like that: both may be zero all the time.
	if other == 0 && (fresh || r.end == at && r.distance == e.period && binary.BigEndian.Uint64(rec[value:]) == binary.BigEndian.Uint64(rec[value-e.period:])) {
		e.add(r, rec, at, value, e.period)
		e.value(r, rec, value, e.period)
		return true
	}
	if at >= size {
		before &= x ^ binary.LittleEndian.Uint64(rec[at-size:])
	}
	known, said := true, value-1 // What a row says about series and time is known up to here.
	switch {
	case before == 0:
		e.add(r, rec, at, value, size)
		said = value
	case other == 0:
		e.add(r, rec, at, said, e.period)
	case before>>(8*ref) == 0:
		e.add(r, rec, at+ref, value, size)
		said = value
	case other>>(8*ref) == 0:
		e.add(r, rec, at+ref, said, e.period)
	default:
		known = false
	}
	if said < value && rec[said-size] == stNone { // Not so behind a start time of the first entry.
		e.add(r, rec, said, value, size)
	}
	e.value(r, rec, value, size)
	return known
}

// repetition is rec[begin:end], which is like what is distance bytes before it, behind rec[lit:begin], which is not like
// anything.
type repetition struct{ lit, begin, end, distance int }

// add says that rec[from:to] is like what is distance bytes before it.
func (e *rowEncoder) add(r *repetition, rec []byte, from, to, distance int) {
	if r.end == from && r.distance == distance {
		r.end = to
		return
	}
	e.begin(r, rec, from, to, distance)
}

// value says how far the value at a place is like the one distance bytes before it.
func (e *rowEncoder) value(r *repetition, rec []byte, at, distance int) {
	x := binary.BigEndian.Uint64(rec[at:]) ^ binary.BigEndian.Uint64(rec[at-distance:])
	if x == 0 {
		e.add(r, rec, at, at+8, distance)
		return
	}
	e.add(r, rec, at, at+bits.LeadingZeros64(x)/8, distance)
	if n := bits.TrailingZeros64(x) / 8; n >= minMatch {
		e.begin(r, rec, at+8-n, at+8, distance)
	}
}

// begin notes the repetition, if it is long enough, and begins another one.
func (e *rowEncoder) begin(r *repetition, rec []byte, from, to, distance int) {
	if n := r.end - r.begin; n >= minMatch {
		literals := r.begin - r.lit
		if literals > 0 {
			e.literally(rec, r.lit, r.begin)
		}
		e.seqs = append(e.seqs, rowSequence{literals: uint32(literals), match: uint32(n), offset: e.known.offset(uint32(r.distance), uint32(literals))})
		r.lit = r.end
	}
	r.begin, r.end, r.distance = from, to, distance
}

// offset returns the code of a distance behind so many literals, which is shorter for the latest distances.
func (k *rowKnowledge) offset(distance, literals uint32) uint32 {
	d, shift := &k.distances, uint32(0)
	if literals == 0 {
		shift = 1 // That it were the latest one needs no saying: the repetition would have gone on.
	}
	switch {
	case distance == d[0] && literals > 0:
		return sameDistance
	case distance == d[1]:
		d[0], d[1] = d[1], d[0]
		return sameDistance + 1 - shift
	case distance == d[2]:
		d[0], d[1], d[2] = d[2], d[0], d[1]
		return sameDistance + 2 - shift
	}
	*d = [3]uint32{distance, d[0], d[1]}
	return distance + farDistance
}

// timesModel is the model of scanTimes, measured while 20,000 series of servers and machines were written, 20 samples each.
func timesModel() *rowModel {
	model := func(log uint, codes int, measured ...uint16) *fseTable {
		counts, left := make([]uint16, codes), uint16(1)<<log
		for code := range counts {
			counts[code] = 1
		}
		copy(counts, measured)
		most := 0
		for code, n := range counts {
			left -= n
			if n > counts[most] {
				most = code
			}
		}
		counts[most] += left
		return newFSETable(log, counts)
	}
	return &rowModel{
		literals: model(8, 36, 100, 19, 18, 4, 4, 6, 3, 2),
		matches:  model(9, 53, 50, 200, 10, 4, 2, 7, 110, 2),
		offsets:  model(7, 18, 60, 10),
	}
}
