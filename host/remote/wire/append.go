package wire

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The append functions leave out what is zero, as protobuf's third version has it, unless they say otherwise.

// AppendNumber appends a field with a number.
func AppendNumber(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

// AppendDouble appends a field with a double. Both zeros are left out.
func AppendDouble(b []byte, num protowire.Number, v float64) []byte {
	if v == 0 {
		return b
	}
	return appendFixed(b, num, v)
}

// appendFixed appends a field with a double, zero too.
func appendFixed(b []byte, num protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), math.Float64bits(v))
}

// appendDoubles appends a packed field with doubles.
func appendDoubles(b []byte, num protowire.Number, vs []float64) []byte {
	if len(vs) == 0 {
		return b
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(8*len(vs)))
	for _, v := range vs {
		b = protowire.AppendFixed64(b, math.Float64bits(v))
	}
	return b
}

// AppendText appends a field with a text.
func AppendText(b []byte, num protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), text)
}

// AppendMessage appends a field with a message, an empty one too.
func AppendMessage(b []byte, num protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), message)
}

// TextSize returns how many bytes AppendText takes.
func TextSize(text string) int {
	if text == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(text))
}

// NumberSize returns how many bytes AppendNumber takes, for numbers of fields below 16.
func NumberSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}
