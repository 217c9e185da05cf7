package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/model/histogram"
)

// Numbers of the fields of native histograms, which are those of remote read and of both versions of remote write.
const (
	nativeCount, nativeCountFloat         = 1, 2
	nativeSum, nativeSchema, nativeWidth  = 3, 4, 5
	nativeZeros, nativeZerosFloat         = 6, 7
	negativeSpans, negativeDeltas         = 8, 9
	negativeCounts                        = 10
	positiveSpans, positiveDeltas         = 11, 12
	positiveCounts                        = 13
	nativeReset, nativeTime, nativeBounds = 14, 15, 16
	// nativeStart is there in the second version of remote write alone.
	nativeStart = 17

	spanOffset, spanLength = 1, 2
)

// Native is a histogram as it is sent: of whole numbers or of floats, whichever way its count was given last.
type Native struct {
	// T is the time, ST that at which counting began, if it is known; in milliseconds.
	T, ST int64
	// IsFloat says which of the two it is; what both have in common is set in both.
	IsFloat bool
	Whole   histogram.Histogram
	Float   histogram.FloatHistogram
}

// ReadNative reads a histogram, with its start timestamp if the message is one of those that have one. What it says is not
// checked.
func ReadNative(message []byte, withStart bool) (n *Native, err error) {
	n = &Native{}
	h, f := &n.Whole, &n.Float
	w := Walker{Rest: message}
	for w.Next() {
		switch w.Num {
		case nativeCount:
			h.Count, n.IsFloat = w.Number(), false
		case nativeCountFloat:
			f.Count, n.IsFloat = w.Double(), true
		case nativeSum:
			h.Sum = w.Double()
		case nativeSchema:
			h.Schema = zigzag32(w.Number())
		case nativeWidth:
			h.ZeroThreshold = w.Double()
		case nativeZeros:
			h.ZeroCount, f.ZeroCount = w.Number(), 0
		case nativeZerosFloat:
			h.ZeroCount, f.ZeroCount = 0, w.Double()
		case negativeSpans:
			h.NegativeSpans = w.span(h.NegativeSpans)
		case negativeDeltas:
			h.NegativeBuckets = w.deltas(h.NegativeBuckets)
		case negativeCounts:
			f.NegativeBuckets = w.Doubles(f.NegativeBuckets)
		case positiveSpans:
			h.PositiveSpans = w.span(h.PositiveSpans)
		case positiveDeltas:
			h.PositiveBuckets = w.deltas(h.PositiveBuckets)
		case positiveCounts:
			f.PositiveBuckets = w.Doubles(f.PositiveBuckets)
		case nativeReset:
			h.CounterResetHint = resetHint(w.Number())
		case nativeTime:
			n.T = int64(w.Number())
		case nativeBounds:
			h.CustomValues = w.Doubles(h.CustomValues)
		case nativeStart:
			if withStart {
				n.ST = int64(w.Number())
			}
		}
	}
	f.CounterResetHint, f.Schema, f.ZeroThreshold, f.Sum = h.CounterResetHint, h.Schema, h.ZeroThreshold, h.Sum
	f.PositiveSpans, f.NegativeSpans, f.CustomValues = h.PositiveSpans, h.NegativeSpans, h.CustomValues
	return n, w.Err
}

func resetHint(n uint64) histogram.CounterResetHint {
	if n > uint64(histogram.GaugeType) {
		return histogram.UnknownCounterReset
	}
	return histogram.CounterResetHint(n)
}

func zigzag32(v uint64) int32 {
	n := uint32(v)
	return int32(n>>1) ^ -int32(n&1)
}

func (w *Walker) deltas(dst []int64) []int64 {
	w.Numbers(func(v uint64) { dst = append(dst, protowire.DecodeZigZag(v)) })
	return dst
}

func (w *Walker) span(dst []histogram.Span) []histogram.Span {
	if !w.Is(protowire.BytesType) {
		return dst
	}
	var s histogram.Span
	in := Walker{Rest: w.Bytes}
	for in.Next() {
		switch in.Num {
		case spanOffset:
			s.Offset = zigzag32(in.Number())
		case spanLength:
			s.Length = uint32(in.Number())
		}
	}
	w.Err = in.Err
	return append(dst, s)
}

// maxSchema is the finest resolution that the data model may ever get.
const maxSchema = 52

// Fit brings a histogram that is finer than any that is stored to the finest resolution that is. It changes nothing if the
// histogram is not valid: whoever checks it says why.
func (n *Native) Fit() {
	if n.Whole.Schema <= histogram.ExponentialSchemaMax || n.Whole.Schema > maxSchema {
		return
	}
	const finest = histogram.ExponentialSchemaMax
	h, f := n.Whole, n.Float
	if h.Schema, f.Schema = finest, finest; n.IsFloat && f.Validate() == nil {
		_ = n.Float.Coarsen(finest) // It cannot fail from a finer schema.
	} else if !n.IsFloat && h.Validate() == nil {
		_ = n.Whole.Coarsen(finest)
	} else {
		n.Whole.Schema, n.Float.Schema = finest, finest // What is wrong with it is not its resolution.
	}
}

// AppendWhole appends the fields of a histogram of whole numbers; a start timestamp of zero is none.
func AppendWhole(b []byte, t, st int64, h *histogram.Histogram) []byte {
	b = protowire.AppendVarint(protowire.AppendTag(b, nativeCount, protowire.VarintType), h.Count)
	b = appendShape(b, h.Sum, h.Schema, h.ZeroThreshold)
	b = protowire.AppendVarint(protowire.AppendTag(b, nativeZeros, protowire.VarintType), h.ZeroCount)
	b = appendDeltas(appendSpans(b, negativeSpans, h.NegativeSpans), negativeDeltas, h.NegativeBuckets)
	b = appendDeltas(appendSpans(b, positiveSpans, h.PositiveSpans), positiveDeltas, h.PositiveBuckets)
	return appendRest(b, t, st, h.CounterResetHint, h.CustomValues)
}

// AppendFloat appends the fields of a histogram of floats; a start timestamp of zero is none.
func AppendFloat(b []byte, t, st int64, h *histogram.FloatHistogram) []byte {
	b = appendFixed(b, nativeCountFloat, h.Count)
	b = appendShape(b, h.Sum, h.Schema, h.ZeroThreshold)
	b = appendFixed(b, nativeZerosFloat, h.ZeroCount)
	b = appendDoubles(appendSpans(b, negativeSpans, h.NegativeSpans), negativeCounts, h.NegativeBuckets)
	b = appendDoubles(appendSpans(b, positiveSpans, h.PositiveSpans), positiveCounts, h.PositiveBuckets)
	return appendRest(b, t, st, h.CounterResetHint, h.CustomValues)
}

func appendShape(b []byte, sum float64, schema int32, width float64) []byte {
	b = AppendDouble(b, nativeSum, sum)
	b = AppendNumber(b, nativeSchema, protowire.EncodeZigZag(int64(schema)))
	return AppendDouble(b, nativeWidth, width)
}

func appendRest(b []byte, t, st int64, hint histogram.CounterResetHint, bounds []float64) []byte {
	b = AppendNumber(b, nativeReset, uint64(hint))
	b = AppendNumber(b, nativeTime, uint64(t))
	b = appendDoubles(b, nativeBounds, bounds)
	return AppendNumber(b, nativeStart, uint64(st))
}

func appendSpans(b []byte, num protowire.Number, spans []histogram.Span) []byte {
	for _, s := range spans {
		offset := protowire.EncodeZigZag(int64(s.Offset))
		n := NumberSize(offset) + NumberSize(uint64(s.Length))
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
		b = AppendNumber(AppendNumber(b, spanOffset, offset), spanLength, uint64(s.Length))
	}
	return b
}

func appendDeltas(b []byte, num protowire.Number, deltas []int64) []byte {
	if len(deltas) == 0 {
		return b
	}
	n := 0
	for _, d := range deltas {
		n += protowire.SizeVarint(protowire.EncodeZigZag(d))
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
	for _, d := range deltas {
		b = protowire.AppendVarint(b, protowire.EncodeZigZag(d))
	}
	return b
}
