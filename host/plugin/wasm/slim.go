package wasm

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// What slim knows of a module besides inspect.
const (
	sectionCustom    = 0
	sectionData      = 11
	sectionDataCount = 12

	opEnd      = 0x0b
	opI32Const = 0x41

	// maxGap is how many zeros are written out to make one segment of two. The runtime keeps some 150 bytes for each.
	maxGap = 256
	// maxZeros is how much larger than twice its size all that may make a section of data.
	maxZeros = 64 << 10
)

// slim returns a module that does the same and costs the host less: without custom sections, which are for debuggers, and with
// few segments of data. Go's linker makes a segment of every stretch without zeros, tens of thousands of them. A module that is
// not understood is returned as it is.
func slim(code []byte) []byte {
	out := append(make([]byte, 0, len(code)), code[:preambleSize]...)
	counted := false // instructions may name segments
	for rest := code[preambleSize:]; len(rest) > 0; {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return code
		}
		section := rest[:1+n+int(size)]
		body := section[1+n:]
		rest = rest[len(section):]
		switch {
		case id == sectionCustom:
			continue
		case id == sectionDataCount:
			counted = true
		case id == sectionData && !counted:
			if groups, ok := groupData(body); ok {
				out = appendData(out, groups, body)
				continue
			}
		}
		out = append(out, section...)
	}
	return out
}

// segment is one of memory 0, at a constant offset.
type segment struct {
	offset int32
	data   []byte // of the module
}

// group is one segment that is made of several.
type group struct {
	offset int32
	size   int64
}

func (g group) end() int64 { return int64(g.offset) + g.size }

// groupData returns the segments to make of those in the body of a data section, if all are for memory 0, at constants, and none
// overlaps another, so that their order does not matter.
func groupData(body []byte) ([]group, bool) {
	var groups []group
	empty := false
	ok := eachSegment(body, func(s segment) {
		size := int64(len(s.data))
		empty = empty || size == 0
		if len(groups) > 0 {
			last := &groups[len(groups)-1]
			if gap := int64(s.offset) - last.end(); gap >= 0 && gap <= maxGap {
				last.size += gap + size
				return
			}
		}
		groups = append(groups, group{s.offset, size})
	})
	sorted := slices.SortedFunc(slices.Values(groups), func(a, b group) int { return cmp.Compare(a.offset, b.offset) })
	total := int64(0)
	for i, g := range sorted {
		total += g.size
		if g.offset < 0 || i > 0 && int64(g.offset) < sorted[i-1].end() {
			return nil, false
		}
	}
	return groups, ok && !empty && total <= 2*int64(len(body))+maxZeros
}

// appendData appends a data section with groups, from the body of one that they were made of.
func appendData(out []byte, groups []group, body []byte) []byte {
	const sizeBytes = binary.MaxVarintLen32
	out = append(out, sectionData)
	start := len(out)
	out = append(out, make([]byte, sizeBytes)...) // filled in below
	out = binary.AppendUvarint(out, uint64(len(groups)))
	at, end := -1, int64(0) // the group that is being written, and how far it is
	eachSegment(body, func(s segment) {
		if at < 0 || end == groups[at].end() {
			at++
			g := groups[at]
			end = int64(g.offset)
			out = append(out, 0, opI32Const)
			out = append(appendVarint(out, g.offset), opEnd)
			out = binary.AppendUvarint(out, uint64(g.size)) //nolint:gosec // a sum of lengths
		}
		out = append(out, make([]byte, int64(s.offset)-end)...)
		out = append(out, s.data...)
		end = int64(s.offset) + int64(len(s.data))
	})
	for i, size := 0, len(out)-start-sizeBytes; i < sizeBytes; i, size = i+1, size>>7 {
		out[start+i] = byte(size & 0x7f)
		if i < sizeBytes-1 {
			out[start+i] |= 0x80
		}
	}
	return out
}

// eachSegment calls f for all segments in the body of a data section, and reports whether it understood them.
func eachSegment(body []byte, f func(segment)) bool {
	count, n := binary.Uvarint(body)
	if n <= 0 {
		return false
	}
	body = body[n:]
	for ; count > 0; count-- {
		s, rest, ok := readSegment(body)
		if !ok {
			return false
		}
		f(s)
		body = rest
	}
	return len(body) == 0
}

// readSegment reads an active segment and returns what follows it.
func readSegment(b []byte) (segment, []byte, bool) {
	if len(b) < 2 || b[0] != 0 || b[1] != opI32Const {
		return segment{}, nil, false
	}
	offset, n := readVarint(b[2:])
	if n == 0 || len(b) < 3+n || b[2+n] != opEnd {
		return segment{}, nil, false
	}
	b = b[3+n:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return segment{}, nil, false
	}
	b = b[n:]
	return segment{offset, b[:size]}, b[size:], true
}

// readVarint reads a signed LEB128 number and returns its length, 0 if there is none.
func readVarint(b []byte) (int32, int) {
	var v int64
	for i, c := range b {
		if i == binary.MaxVarintLen32 {
			return 0, 0
		}
		v |= int64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c&0x40 != 0 {
				v |= -1 << (7 * (i + 1))
			}
			return int32(v), i + 1 //nolint:gosec // of 35 bits, those above 32 repeat the sign in a valid module
		}
	}
	return 0, 0
}

// appendVarint appends a signed LEB128 number.
func appendVarint(b []byte, v int32) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
