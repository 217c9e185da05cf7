package read

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// Numbers of the fields of what is answered.
const (
	responseResults  = 1
	resultTimeseries = 1

	seriesLabels, seriesSamples, seriesHistograms = 1, 2, 4

	labelName, labelValue   = 1, 2
	sampleValue, sampleTime = 1, 2

	chunkedSeries, chunkedQuery                  = 1, 2
	chunkedLabels, chunkedChunks                 = 1, 2
	chunkMin, chunkMax, chunkEncoding, chunkData = 1, 2, 3, 4

	nativeCount, nativeCountFloat         = 1, 2
	nativeSum, nativeSchema, nativeWidth  = 3, 4, 5
	nativeZeros, nativeZerosFloat         = 6, 7
	negativeSpans, negativeDeltas         = 8, 9
	negativeCounts                        = 10
	positiveSpans, positiveDeltas         = 11, 12
	positiveCounts                        = 13
	nativeReset, nativeTime, nativeBounds = 14, 15, 16

	spanOffset, spanLength = 1, 2
)

// The append functions leave out what is zero, as protobuf's third version has it.

func appendNumber(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendDouble(b []byte, num protowire.Number, v float64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), math.Float64bits(v))
}

func appendText(b []byte, num protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), text)
}

func appendMessage(b []byte, num protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), message)
}

// appendLabels appends the labels of a series, and of the external ones those that it lacks. size is what the labels take without
// what stands before each.
func appendLabels(b []byte, num protowire.Number, ls labels.Labels, external []labels.Label) (_ []byte, size int) {
	add := func(name, value string) {
		n := textSize(name) + textSize(value)
		size += n
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
		b = appendText(appendText(b, labelName, name), labelValue, value)
	}
	for name, value := range ls.All() {
		for len(external) > 0 && external[0].Name < name {
			add(external[0].Name, external[0].Value)
			external = external[1:]
		}
		if len(external) > 0 && external[0].Name == name {
			external = external[1:]
		}
		add(name, value)
	}
	for _, e := range external {
		add(e.Name, e.Value)
	}
	return b, size
}

func textSize(text string) int {
	if text == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(text))
}

// appendNative appends a histogram as it was counted: in whole numbers, or in floats.
func appendNative(b []byte, t int64, h *histogram.FloatHistogram, whole bool) []byte {
	var ints *histogram.Histogram
	if whole {
		ints = h.ToInt()
		b = protowire.AppendVarint(protowire.AppendTag(b, nativeCount, protowire.VarintType), ints.Count)
	} else {
		b = protowire.AppendFixed64(protowire.AppendTag(b, nativeCountFloat, protowire.Fixed64Type), math.Float64bits(h.Count))
	}
	b = appendDouble(b, nativeSum, h.Sum)
	b = appendNumber(b, nativeSchema, protowire.EncodeZigZag(int64(h.Schema)))
	b = appendDouble(b, nativeWidth, h.ZeroThreshold)
	if whole {
		b = protowire.AppendVarint(protowire.AppendTag(b, nativeZeros, protowire.VarintType), ints.ZeroCount)
	} else {
		b = protowire.AppendFixed64(protowire.AppendTag(b, nativeZerosFloat, protowire.Fixed64Type), math.Float64bits(h.ZeroCount))
	}
	b = appendSpans(b, negativeSpans, h.NegativeSpans)
	if whole {
		b = appendDeltas(b, negativeDeltas, ints.NegativeBuckets)
	} else {
		b = appendDoubles(b, negativeCounts, h.NegativeBuckets)
	}
	b = appendSpans(b, positiveSpans, h.PositiveSpans)
	if whole {
		b = appendDeltas(b, positiveDeltas, ints.PositiveBuckets)
	} else {
		b = appendDoubles(b, positiveCounts, h.PositiveBuckets)
	}
	b = appendNumber(b, nativeReset, uint64(h.CounterResetHint))
	b = appendNumber(b, nativeTime, uint64(t))
	return appendDoubles(b, nativeBounds, h.CustomValues)
}

func appendSpans(b []byte, num protowire.Number, spans []histogram.Span) []byte {
	for _, s := range spans {
		offset := protowire.EncodeZigZag(int64(s.Offset))
		n := numberSize(offset) + numberSize(uint64(s.Length))
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(n))
		b = appendNumber(appendNumber(b, spanOffset, offset), spanLength, uint64(s.Length))
	}
	return b
}

func numberSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
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
