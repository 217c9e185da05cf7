package send

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/narthex-io/narthex/host/remote/wire"
)

// encoder makes requests. It belongs to one goroutine and uses its memory again.
type encoder interface {
	// encode returns the message that has the items, in their order. It is valid until the next call.
	encode(items []item) []byte
}

func newEncoder(m Message) encoder {
	if m == V2 {
		return &encoder2{}
	}
	return &encoder1{}
}

// Tags of fields: the number and the type of what follows.
const (
	varintField = 0
	doubleField = 1
	bytesField  = 2
)

// encoder1 makes messages of 1.0.
type encoder1 struct{ buf, points, scratch []byte }

func (e *encoder1) encode(items []item) []byte {
	const seriesTag = 1<<3 | bytesField
	dst := e.buf[:0]
	for i := 0; i < len(items); {
		first := &items[i]
		i++
		if first.more == nil && (i == len(items) || !items[i].follows(first)) {
			dst = appendFloat1(dst, first) // Fast path: a float (BenchmarkFollow).
			continue
		}
		e.points = e.point(e.points[:0], first)
		for ; i < len(items) && items[i].follows(first); i++ {
			e.points = e.point(e.points, &items[i])
		}
		dst = append(dst, seriesTag)
		dst = binary.AppendUvarint(dst, uint64(len(first.series.text)+len(e.points)))
		dst = append(dst, first.series.text...)
		dst = append(dst, e.points...)
	}
	e.buf = dst
	return dst
}

// point appends the field of a series with one item.
func (e *encoder1) point(dst []byte, it *item) []byte {
	const sampleTag, exemplarTag, histogramTag = 2<<3 | bytesField, 3<<3 | bytesField, 4<<3 | bytesField
	switch e.scratch = e.scratch[:0]; it.kind() {
	case floats:
		dst = append(dst, sampleTag, byte(10+sizeOfVarint(uint64(it.t))))
		return appendPoint(dst, 1, it.t, it.v)
	case histograms:
		e.scratch = appendNative(e.scratch, it, 0)
		return appendBytes(dst, histogramTag, e.scratch)
	default:
		e.scratch = appendPoint(appendLabels(e.scratch, 1, it.more.labels), 2, it.t, it.v)
		return appendBytes(dst, exemplarTag, e.scratch)
	}
}

// appendFloat1 appends a series with one float.
func appendFloat1(dst []byte, it *item) []byte {
	n := 10 + sizeOfVarint(uint64(it.t))
	dst = append(dst, 1<<3|bytesField)
	dst = binary.AppendUvarint(dst, uint64(len(it.series.text)+2+n))
	dst = append(dst, it.series.text...)
	dst = append(dst, 2<<3|bytesField, byte(n))
	return appendPoint(dst, 1, it.t, it.v)
}

// appendPoint appends a value in the field with the given number, and a time in the one behind it.
func appendPoint(dst []byte, field byte, t int64, v float64) []byte {
	dst = append(dst, field<<3|doubleField)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	dst = append(dst, (field+1)<<3|varintField)
	return binary.AppendUvarint(dst, uint64(t))
}

func sizeOfVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// appendNative appends the message of a native histogram, which is the same in both versions but for the start timestamp, that 1.0
// does not have.
func appendNative(dst []byte, it *item, st int64) []byte {
	if h := it.more.whole; h != nil {
		return wire.AppendWhole(dst, it.t, st, h)
	}
	return wire.AppendFloat(dst, it.t, st, it.more.floating)
}
