package wire

import (
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Walker goes from field to field of a message, without decoding what is not asked for and without allocating. A walker of
// Rest alone stands before the first field.
type Walker struct {
	// Rest is what is still to be read.
	Rest []byte
	// Num and Typ are of the latest field; Bytes, a part of the message, or Value is what it holds. A group holds nothing.
	Num   int32
	Typ   protowire.Type
	Bytes []byte
	Value uint64
	// Err is why the message cannot be read on; it wraps ErrMalformed, unless somebody else has set it.
	Err error
}

// maxVarint is the number of bytes that a number has at most. What the last of them has beyond 64 bits is dropped, as other
// decoders do.
const maxVarint = 10

// ErrMalformed says that bytes are no message.
var ErrMalformed = errors.New("malformed protobuf message")

// Next goes to the next field. It returns false at the end, and if there is an error.
func (w *Walker) Next() bool {
	if len(w.Rest) == 0 || w.Err != nil {
		return false
	}
	tag, ok := w.varint()
	if !ok {
		return false
	}
	// Upper bits that no field number has are dropped, as other decoders do.
	if w.Num, w.Typ = int32(tag>>3), protowire.Type(tag&7); w.Num <= 0 {
		return w.fail("field number %d", w.Num)
	}
	switch w.Typ {
	case protowire.VarintType:
		w.Value, ok = w.varint()
		return ok
	case protowire.BytesType:
		w.Bytes, ok = w.block()
		return ok
	case protowire.Fixed64Type:
		if len(w.Rest) < 8 {
			return w.fail("field %d is cut off", w.Num)
		}
		w.Value, _ = protowire.ConsumeFixed64(w.Rest)
		w.Rest = w.Rest[8:]
		return true
	}
	return w.skip()
}

// SkipShort goes past the next field if it has this number, which is below 16, and holds less than 128 bytes. Fast path: this is
// how nearly all labels and samples are (BenchmarkRequest). It says nothing about the field.
func (w *Walker) SkipShort(num byte) bool {
	b := w.Rest
	if len(b) < 2 || b[0] != num<<3|byte(protowire.BytesType) || b[1] >= 0x80 || int(b[1]) > len(b)-2 {
		return false
	}
	w.Rest = b[2+int(b[1]):]
	return true
}

// skip goes past a value that nobody asks for: a group with all that is in it, whatever numbers it has, or four bytes.
func (w *Walker) skip() bool {
	for typ, depth := w.Typ, 0; ; {
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
				return w.fail("field %d is the end of a group that did not begin", w.Num)
			}
		default:
			return w.fail("field %d has wire type %d", w.Num, typ)
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
func (w *Walker) drop(n int) bool {
	if len(w.Rest) < n {
		return w.fail("field %d is cut off", w.Num)
	}
	w.Rest = w.Rest[n:]
	return true
}

// varint reads a number.
func (w *Walker) varint() (uint64, bool) {
	if len(w.Rest) > 0 && w.Rest[0] < 0x80 {
		v := uint64(w.Rest[0])
		w.Rest = w.Rest[1:]
		return v, true
	}
	if v, n := protowire.ConsumeVarint(w.Rest); n > 0 { // Fast path: all but numbers that are cut off or have too many bits.
		w.Rest = w.Rest[n:]
		return v, true
	}
	var v uint64
	for i, b := range w.Rest[:min(len(w.Rest), maxVarint)] {
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			w.Rest = w.Rest[i+1:]
			return v, true
		}
	}
	if len(w.Rest) < maxVarint {
		return 0, w.fail("%w", io.ErrUnexpectedEOF)
	}
	return 0, w.fail("a number of more than %d bytes", maxVarint)
}

// block reads bytes behind their number.
func (w *Walker) block() ([]byte, bool) {
	size, ok := w.varint()
	if !ok {
		return nil, false
	}
	if size > uint64(len(w.Rest)) {
		return nil, w.fail("field %d is cut off", w.Num)
	}
	b := w.Rest[:size:size]
	w.Rest = w.Rest[size:]
	return b, true
}

// Is reports whether the field has the type that it has to have. Any other is an error.
func (w *Walker) Is(typ protowire.Type) bool {
	return w.Typ == typ || w.fail("field %d has wire type %d in place of %d", w.Num, w.Typ, typ)
}

func (w *Walker) fail(format string, args ...any) bool {
	w.Err = fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
	return false
}

// Numbers calls f with each number of a repeated field, which is packed or stands alone.
func (w *Walker) Numbers(f func(uint64)) {
	if w.Typ != protowire.BytesType {
		if w.Is(protowire.VarintType) {
			f(w.Value)
		}
		return
	}
	in := Walker{Rest: w.Bytes, Num: w.Num}
	for len(in.Rest) > 0 {
		v, ok := in.varint()
		if !ok {
			w.Err = in.Err
			return
		}
		f(v)
	}
}

// Doubles appends the doubles of a repeated field, which is packed or stands alone.
func (w *Walker) Doubles(dst []float64) []float64 {
	switch {
	case w.Typ != protowire.BytesType && w.Is(protowire.Fixed64Type):
		return append(dst, math.Float64frombits(w.Value))
	case w.Typ != protowire.BytesType:
		return dst
	case len(w.Bytes)%8 != 0:
		w.fail("field %d has %d bytes of doubles", w.Num, len(w.Bytes))
		return dst
	}
	for b := w.Bytes; len(b) > 0; b = b[8:] {
		v, _ := protowire.ConsumeFixed64(b)
		dst = append(dst, math.Float64frombits(v))
	}
	return dst
}

// Double returns the double that the field has to be.
func (w *Walker) Double() float64 {
	w.Is(protowire.Fixed64Type)
	return math.Float64frombits(w.Value)
}

// Number returns the number that the field has to be.
func (w *Walker) Number() uint64 {
	w.Is(protowire.VarintType)
	return w.Value
}
