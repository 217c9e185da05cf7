package exposition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Types of fields in protobuf messages.
const (
	wireVarint = iota
	wireFixed64
	wireBytes
	wireGroup
	wireGroupEnd
	wireFixed32
)

var (
	errCutOff   = errors.New("a protobuf message is cut off")
	errVarint   = errors.New("a number in a protobuf message is too long")
	errFieldTag = errors.New("a field of a protobuf message has no valid number")
)

// field is one field of a protobuf message: a number, or bytes that point into the message.
type field struct {
	number, wire int
	n            uint64
	bytes        []byte
}

// message walks over the fields of a protobuf message without copying anything.
type message struct {
	rest []byte
	err  error
}

// next reads the next field; false means the end, or err.
func (m *message) next(f *field) bool {
	if len(m.rest) == 0 || m.err != nil {
		return false
	}
	tag := m.varint()
	f.number, f.wire = int(int32(tag>>3)), int(tag&7)
	switch {
	case m.err != nil:
		return false
	case f.number <= 0:
		m.err = errFieldTag
		return false
	}
	switch f.wire {
	case wireVarint:
		f.n = m.varint()
	case wireFixed64:
		if b := m.take(8); b != nil {
			f.n = binary.LittleEndian.Uint64(b)
		}
	case wireFixed32:
		if b := m.take(4); b != nil {
			f.n = uint64(binary.LittleEndian.Uint32(b))
		}
	case wireBytes:
		f.bytes = m.take(m.varint())
	case wireGroup:
		m.skipGroup()
	default:
		m.err = fmt.Errorf("field %d of a protobuf message has the unknown type %d", f.number, f.wire)
	}
	return m.err == nil
}

func (m *message) varint() uint64 {
	if len(m.rest) > 0 && m.rest[0] < 0x80 { // Fast path: most are small.
		n := uint64(m.rest[0])
		m.rest = m.rest[1:]
		return n
	}
	var n uint64
	for i, c := range m.rest {
		if i == binary.MaxVarintLen64 {
			m.err = errVarint
			return 0
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			m.rest = m.rest[i+1:]
			return n
		}
	}
	m.err = errCutOff
	return 0
}

// take returns the next n bytes, nil if there are fewer.
func (m *message) take(n uint64) []byte {
	if m.err != nil {
		return nil
	}
	if n > uint64(len(m.rest)) {
		m.err = errCutOff
		return nil
	}
	b := m.rest[:n:n]
	m.rest = m.rest[n:]
	return b
}

// maxGroups bounds how deep groups, which no metric has, are nested.
const maxGroups = 100

// skipGroup reads to the end of a group.
func (m *message) skipGroup() {
	for depth := 1; depth > 0 && m.err == nil; {
		switch tag := m.varint(); tag & 7 {
		case wireVarint:
			m.varint()
		case wireFixed64:
			m.take(8)
		case wireFixed32:
			m.take(4)
		case wireBytes:
			m.take(m.varint())
		case wireGroup:
			if depth++; depth > maxGroups {
				m.err = errors.New("groups in a protobuf message are nested too deep")
			}
		case wireGroupEnd:
			depth--
		default:
			m.err = errFieldTag
		}
	}
}

// is reports whether the field has the given number, and notes an error if it then has another type.
func (m *message) is(f *field, number, wire int) bool {
	if f.number != number {
		return false
	}
	if f.wire != wire {
		m.err = fmt.Errorf("field %d of a protobuf message has type %d instead of %d", number, f.wire, wire)
		return false
	}
	return true
}

// appendVarints appends the numbers of a repeated field, packed or not.
func appendVarints[N int64 | uint64](m *message, f *field, number int, dst []N, decode func(uint64) N) []N {
	switch {
	case f.number != number:
	case f.wire == wireVarint:
		dst = append(dst, decode(f.n))
	case f.wire == wireBytes:
		packed := message{rest: f.bytes}
		for len(packed.rest) > 0 && packed.err == nil {
			dst = append(dst, decode(packed.varint()))
		}
		if packed.err != nil {
			m.err = packed.err
		}
	default:
		m.is(f, number, wireBytes)
	}
	return dst
}

// appendDoubles appends the numbers of a repeated field, packed or not.
func appendDoubles(m *message, f *field, number int, dst []float64) []float64 {
	switch {
	case f.number != number:
	case f.wire == wireFixed64:
		dst = append(dst, math.Float64frombits(f.n))
	case f.wire == wireBytes:
		b := f.bytes
		for ; len(b) >= 8; b = b[8:] {
			dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
		if len(b) > 0 {
			m.err = errCutOff
		}
	default:
		m.is(f, number, wireBytes)
	}
	return dst
}

func zigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

func zigzag32(n uint64) int32 {
	u := uint32(n)
	return int32(u>>1) ^ -int32(u&1)
}
