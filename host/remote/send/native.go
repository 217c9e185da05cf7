package send

import (
	"encoding/binary"
	"math"

	"github.com/narthex-io/narthex/model/histogram"
)

// appendNative appends the message of a native histogram, whose fields are the same in both versions but for the start
// timestamp, which is not among them.
func appendNative(dst []byte, it *item) []byte {
	var reset histogram.CounterResetHint
	var bounds []float64
	if h := it.more.whole; h != nil {
		dst = binary.AppendUvarint(append(dst, 1<<3|varintField), h.Count)
		dst = appendShape(dst, h.Sum, h.Schema, h.ZeroThreshold)
		dst = binary.AppendUvarint(append(dst, 6<<3|varintField), h.ZeroCount)
		dst = appendSpans(dst, 8<<3|bytesField, h.NegativeSpans)
		dst = appendDeltas(dst, 9<<3|bytesField, h.NegativeBuckets)
		dst = appendSpans(dst, 11<<3|bytesField, h.PositiveSpans)
		dst = appendDeltas(dst, 12<<3|bytesField, h.PositiveBuckets)
		reset, bounds = h.CounterResetHint, h.CustomValues
	} else {
		h := it.more.floating
		dst = appendDouble(append(dst, 2<<3|doubleField), h.Count)
		dst = appendShape(dst, h.Sum, h.Schema, h.ZeroThreshold)
		dst = appendDouble(append(dst, 7<<3|doubleField), h.ZeroCount)
		dst = appendSpans(dst, 8<<3|bytesField, h.NegativeSpans)
		dst = appendDoubles(dst, 10<<3|bytesField, h.NegativeBuckets)
		dst = appendSpans(dst, 11<<3|bytesField, h.PositiveSpans)
		dst = appendDoubles(dst, 13<<3|bytesField, h.PositiveBuckets)
		reset, bounds = h.CounterResetHint, h.CustomValues
	}
	dst = appendNumber(dst, 14<<3|varintField, uint64(reset))
	dst = binary.AppendUvarint(append(dst, 15<<3|varintField), uint64(it.t))
	if len(bounds) > 0 {
		// The number 16 takes two bytes with its type.
		dst = binary.AppendUvarint(append(dst, 0x80|(16<<3|bytesField)&0x7f, (16<<3|bytesField)>>7), uint64(8*len(bounds)))
		for _, b := range bounds {
			dst = appendDouble(dst, b)
		}
	}
	return dst
}

func appendShape(dst []byte, sum float64, schema int32, width float64) []byte {
	dst = appendDouble(append(dst, 3<<3|doubleField), sum)
	dst = appendNumber(dst, 4<<3|varintField, zigzag(int64(schema)))
	return appendDouble(append(dst, 5<<3|doubleField), width)
}

func appendDouble(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func appendSpans(dst []byte, tag byte, spans []histogram.Span) []byte {
	for _, s := range spans {
		offset := zigzag(int64(s.Offset))
		dst = append(dst, tag, byte(2+sizeOfVarint(offset)+sizeOfVarint(uint64(s.Length))))
		dst = appendVarint(append(dst, 1<<3|varintField), offset)
		dst = appendVarint(append(dst, 2<<3|varintField), uint64(s.Length))
	}
	return dst
}

func appendDeltas(dst []byte, tag byte, deltas []int64) []byte {
	if len(deltas) == 0 {
		return dst
	}
	size := 0
	for _, d := range deltas {
		size += sizeOfVarint(zigzag(d))
	}
	dst = appendVarint(append(dst, tag), uint64(size))
	for _, d := range deltas {
		dst = appendVarint(dst, zigzag(d))
	}
	return dst
}

func appendDoubles(dst []byte, tag byte, vs []float64) []byte {
	if len(vs) == 0 {
		return dst
	}
	dst = appendVarint(append(dst, tag), uint64(8*len(vs)))
	for _, v := range vs {
		dst = appendDouble(dst, v)
	}
	return dst
}
