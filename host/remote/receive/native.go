package receive

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/model/histogram"
)

// Numbers of fields of native histograms.
const (
	nativeCount, nativeCountFloat         = 1, 2
	nativeSum, nativeSchema, nativeWidth  = 3, 4, 5
	nativeZeros, nativeZerosFloat         = 6, 7
	negativeSpans, negativeDeltas         = 8, 9
	negativeCounts                        = 10
	positiveSpans, positiveDeltas         = 11, 12
	positiveCounts                        = 13
	nativeReset, nativeTime, nativeBounds = 14, 15, 16
	v2NativeStart                         = 17

	spanOffset, spanLength = 1, 2
)

// native is a histogram as it is sent: of whole numbers or of floats, whichever way its count was given last.
type native struct {
	t, st    int64
	isFloat  bool
	whole    histogram.Histogram
	floating histogram.FloatHistogram
}

// readNative reads a histogram.
func readNative(message []byte, v2 bool) (n *native, err error) {
	n = &native{}
	h, f := &n.whole, &n.floating
	w := walker{rest: message}
	for w.next() {
		switch w.num {
		case nativeCount:
			w.is(protowire.VarintType)
			h.Count, n.isFloat = w.value, false
		case nativeCountFloat:
			f.Count, n.isFloat = w.double(), true
		case nativeSum:
			h.Sum = w.double()
		case nativeSchema:
			w.is(protowire.VarintType)
			h.Schema = zigzag32(w.value)
		case nativeWidth:
			h.ZeroThreshold = w.double()
		case nativeZeros:
			w.is(protowire.VarintType)
			h.ZeroCount, f.ZeroCount = w.value, 0
		case nativeZerosFloat:
			h.ZeroCount, f.ZeroCount = 0, w.double()
		case negativeSpans:
			h.NegativeSpans = w.span(h.NegativeSpans)
		case negativeDeltas:
			h.NegativeBuckets = w.deltas(h.NegativeBuckets)
		case negativeCounts:
			f.NegativeBuckets = w.doubles(f.NegativeBuckets)
		case positiveSpans:
			h.PositiveSpans = w.span(h.PositiveSpans)
		case positiveDeltas:
			h.PositiveBuckets = w.deltas(h.PositiveBuckets)
		case positiveCounts:
			f.PositiveBuckets = w.doubles(f.PositiveBuckets)
		case nativeReset:
			w.is(protowire.VarintType)
			h.CounterResetHint = resetHint(w.value)
		case nativeTime:
			w.is(protowire.VarintType)
			n.t = int64(w.value)
		case nativeBounds:
			h.CustomValues = w.doubles(h.CustomValues)
		case v2NativeStart:
			if v2 {
				w.is(protowire.VarintType)
				n.st = int64(w.value)
			}
		}
	}
	f.CounterResetHint, f.Schema, f.ZeroThreshold, f.Sum = h.CounterResetHint, h.Schema, h.ZeroThreshold, h.Sum
	f.PositiveSpans, f.NegativeSpans, f.CustomValues = h.PositiveSpans, h.NegativeSpans, h.CustomValues
	return n, w.err
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

func (w *walker) double() float64 {
	w.is(protowire.Fixed64Type)
	return math.Float64frombits(w.value)
}

func (w *walker) deltas(dst []int64) []int64 {
	w.numbers(func(v uint64) { dst = append(dst, protowire.DecodeZigZag(v)) })
	return dst
}

func (w *walker) span(dst []histogram.Span) []histogram.Span {
	if !w.is(protowire.BytesType) {
		return dst
	}
	var s histogram.Span
	in := walker{rest: w.bytes}
	for in.next() {
		switch in.num {
		case spanOffset:
			in.is(protowire.VarintType)
			s.Offset = zigzag32(in.value)
		case spanLength:
			in.is(protowire.VarintType)
			s.Length = uint32(in.value)
		}
	}
	w.err = in.err
	return append(dst, s)
}

// maxSchema is the finest resolution that the data model may ever get.
const maxSchema = 52

// fit brings a histogram that is finer than any that is stored to the finest resolution that is. It changes nothing if the
// histogram is not valid: the storage says why.
func (n *native) fit() {
	if n.whole.Schema <= histogram.ExponentialSchemaMax || n.whole.Schema > maxSchema {
		return
	}
	const finest = histogram.ExponentialSchemaMax
	h, f := n.whole, n.floating
	if h.Schema, f.Schema = finest, finest; n.isFloat && f.Validate() == nil {
		_ = n.floating.Coarsen(finest) // It cannot fail from a finer schema.
	} else if !n.isFloat && h.Validate() == nil {
		_ = n.whole.Coarsen(finest)
	} else {
		n.whole.Schema, n.floating.Schema = finest, finest // What is wrong with it is not its resolution.
	}
}

// zero returns a histogram with nothing counted, in the form that n has.
func (n *native) zero() (*histogram.Histogram, *histogram.FloatHistogram) {
	if n.isFloat {
		return nil, &histogram.FloatHistogram{
			CounterResetHint: histogram.CounterReset, Schema: n.floating.Schema, ZeroThreshold: n.floating.ZeroThreshold, CustomValues: n.floating.CustomValues,
		}
	}
	return &histogram.Histogram{
		CounterResetHint: histogram.CounterReset, Schema: n.whole.Schema, ZeroThreshold: n.whole.ZeroThreshold, CustomValues: n.whole.CustomValues,
	}, nil
}
