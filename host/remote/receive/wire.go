package receive

import (
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// walker goes from field to field of a protobuf message, without decoding what is not asked for and without allocating.
type walker struct {
	// rest is what is still to be read.
	rest []byte
	// num and typ are of the latest field; bytes or value is what it holds. A group holds nothing.
	num   int32
	typ   protowire.Type
	bytes []byte
	value uint64
	err   error
}

// maxVarint is the number of bytes that a number has at most. What the last of them has beyond 64 bits is dropped, as other
// decoders do.
const maxVarint = 10

// errMalformed says that bytes are no message.
var errMalformed = errors.New("malformed protobuf message")

// next goes to the next field. It returns false at the end, and if there is an error.
func (w *walker) next() bool {
	if len(w.rest) == 0 || w.err != nil {
		return false
	}
	tag, ok := w.varint()
	if !ok {
		return false
	}
	// Upper bits that no field number has are dropped, as other decoders do.
	if w.num, w.typ = int32(tag>>3), protowire.Type(tag&7); w.num <= 0 {
		return w.fail("field number %d", w.num)
	}
	switch w.typ {
	case protowire.VarintType:
		w.value, ok = w.varint()
		return ok
	case protowire.BytesType:
		w.bytes, ok = w.block()
		return ok
	case protowire.Fixed64Type:
		if len(w.rest) < 8 {
			return w.fail("field %d is cut off", w.num)
		}
		w.value, _ = protowire.ConsumeFixed64(w.rest)
		w.rest = w.rest[8:]
		return true
	}
	return w.skip()
}

// skipShort goes past the next field if it has this number, which is below 16, and holds less than 128 bytes. Fast path: this is
// how nearly all labels and samples are (BenchmarkRequest). It says nothing about the field.
func (w *walker) skipShort(num byte) bool {
	b := w.rest
	if len(b) < 2 || b[0] != num<<3|byte(protowire.BytesType) || b[1] >= 0x80 || int(b[1]) > len(b)-2 {
		return false
	}
	w.rest = b[2+int(b[1]):]
	return true
}

// skip goes past a value that nobody asks for: a group with all that is in it, whatever numbers it has, or four bytes.
func (w *walker) skip() bool {
	for typ, depth := w.typ, 0; ; {
		ok := true
		switch typ {
		case protowire.VarintType:
			_, ok = w.varint()
		case protowire.BytesType:
			_, ok = w.block()
		case protowire.Fixed64Type:
			ok = w.drop(8)
		case protowire.Fixed32Type:
			ok = w.drop(4)
		case protowire.StartGroupType:
			depth++
		case protowire.EndGroupType:
			if depth--; depth < 0 {
				return w.fail("field %d is the end of a group that did not begin", w.num)
			}
		default:
			return w.fail("field %d has wire type %d", w.num, typ)
		}
		if !ok || depth == 0 {
			return ok
		}
		tag, ok := w.varint()
		if !ok {
			return false
		}
		typ = protowire.Type(tag & 7)
	}
}

// drop goes past n bytes.
func (w *walker) drop(n int) bool {
	if len(w.rest) < n {
		return w.fail("field %d is cut off", w.num)
	}
	w.rest = w.rest[n:]
	return true
}

// varint reads a number.
func (w *walker) varint() (uint64, bool) {
	if len(w.rest) > 0 && w.rest[0] < 0x80 {
		v := uint64(w.rest[0])
		w.rest = w.rest[1:]
		return v, true
	}
	if v, n := protowire.ConsumeVarint(w.rest); n > 0 { // Fast path: all but numbers that are cut off or have too many bits.
		w.rest = w.rest[n:]
		return v, true
	}
	var v uint64
	for i, b := range w.rest[:min(len(w.rest), maxVarint)] {
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			w.rest = w.rest[i+1:]
			return v, true
		}
	}
	if len(w.rest) < maxVarint {
		return 0, w.fail("%w", io.ErrUnexpectedEOF)
	}
	return 0, w.fail("a number of more than %d bytes", maxVarint)
}

// block reads bytes behind their number.
func (w *walker) block() ([]byte, bool) {
	size, ok := w.varint()
	if !ok {
		return nil, false
	}
	if size > uint64(len(w.rest)) {
		return nil, w.fail("field %d is cut off", w.num)
	}
	b := w.rest[:size:size]
	w.rest = w.rest[size:]
	return b, true
}

// is reports whether the field has the type that it has to have. Any other is an error.
func (w *walker) is(typ protowire.Type) bool {
	return w.typ == typ || w.fail("field %d has wire type %d in place of %d", w.num, w.typ, typ)
}

func (w *walker) fail(format string, args ...any) bool {
	w.err = fmt.Errorf("%w: %w", errMalformed, fmt.Errorf(format, args...))
	return false
}

// numbers calls f with each number of a repeated field, which is packed or stands alone.
func (w *walker) numbers(f func(uint64)) {
	if w.typ != protowire.BytesType {
		if w.is(protowire.VarintType) {
			f(w.value)
		}
		return
	}
	in := walker{rest: w.bytes, num: w.num}
	for len(in.rest) > 0 {
		v, ok := in.varint()
		if !ok {
			w.err = in.err
			return
		}
		f(v)
	}
}

// doubles appends the doubles of a repeated field, which is packed or stands alone.
func (w *walker) doubles(dst []float64) []float64 {
	switch {
	case w.typ != protowire.BytesType && w.is(protowire.Fixed64Type):
		return append(dst, math.Float64frombits(w.value))
	case w.typ != protowire.BytesType:
		return dst
	case len(w.bytes)%8 != 0:
		w.fail("field %d has %d bytes of doubles", w.num, len(w.bytes))
		return dst
	}
	for b := w.bytes; len(b) > 0; b = b[8:] {
		v, _ := protowire.ConsumeFixed64(b)
		dst = append(dst, math.Float64frombits(v))
	}
	return dst
}
