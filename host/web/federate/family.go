package federate

import (
	"fmt"
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/narthex-io/narthex/model/histogram"
)

// Numbers of the fields of client_model's messages.
const (
	familyName, familyType, familyMetric = 1, 3, 4

	metricLabel, metricUntyped, metricTime, metricHistogram = 1, 5, 6, 7

	labelName, labelValue = 1, 2
	untypedValue          = 1
)

// family is a MetricFamily as bytes.
type family struct {
	message []byte
	metric  []byte
	label   []byte
}

// maxKept is how much memory of a family is kept for the next one.
const maxKept = 4 << 20

func (f *family) begin(name string, typ dto.MetricType) {
	if cap(f.message) > maxKept {
		f.message = nil
	}
	b := appendText(f.message[:0], familyName, name)
	b = protowire.AppendTag(b, familyType, protowire.VarintType)
	f.message = protowire.AppendVarint(b, uint64(typ))
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, text)
}

func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, message)
}

// maxMessage is what a reader of protobuf takes at most.
const maxMessage = math.MaxInt32

// add adds a sample as a Metric.
func (f *family) add(o *output, l *latest) error {
	f.metric = f.metric[:0]
	for name, value := range l.labels.All() {
		if name != nameLabel {
			f.addLabel(o.names.escaped(name), value)
		}
	}
	for _, e := range o.external {
		if !l.labels.Has(e.Name) {
			f.addLabel(o.names.escaped(e.Name), e.Value)
		}
	}
	m := f.metric
	if l.h == nil {
		const size = 1 + 8
		m = protowire.AppendTag(m, metricUntyped, protowire.BytesType)
		m = protowire.AppendVarint(m, size)
		m = protowire.AppendTag(m, untypedValue, protowire.Fixed64Type)
		m = protowire.AppendFixed64(m, math.Float64bits(l.f))
	}
	m = protowire.AppendTag(m, metricTime, protowire.VarintType)
	m = protowire.AppendVarint(m, uint64(l.t))
	if l.h != nil {
		encoded, err := proto.Marshal(histogramOf(l.h))
		if err != nil {
			return fmt.Errorf("encode histogram of %s: %w", l.labels, err)
		}
		m = appendMessage(m, metricHistogram, encoded)
	}
	f.metric = m
	f.message = appendMessage(f.message, familyMetric, m)
	if len(f.message) > maxMessage {
		return fmt.Errorf("%s has too many series for protobuf: select fewer, or ask for text", l.name)
	}
	return nil
}

func (f *family) addLabel(name, value string) {
	f.label = appendText(f.label[:0], labelName, name)
	f.label = appendText(f.label, labelValue, value)
	f.metric = appendMessage(f.metric, metricLabel, f.label)
}

// histogramOf returns a native histogram as it is, and one with custom buckets as a classic one.
func histogramOf(h *histogram.FloatHistogram) *dto.Histogram {
	out := &dto.Histogram{SampleCountFloat: &h.Count, SampleSum: &h.Sum}
	if h.UsesCustomBuckets() {
		out.Bucket = classicBuckets(h)
		return out
	}
	out.Schema, out.ZeroThreshold, out.ZeroCountFloat = &h.Schema, &h.ZeroThreshold, &h.ZeroCount
	out.PositiveSpan, out.PositiveCount = spansOf(h.PositiveSpans), h.PositiveBuckets
	out.NegativeSpan, out.NegativeCount = spansOf(h.NegativeSpans), h.NegativeBuckets
	return out
}

func spansOf(spans []histogram.Span) []*dto.BucketSpan {
	out := make([]*dto.BucketSpan, len(spans))
	for i := range spans {
		out[i] = &dto.BucketSpan{Offset: &spans[i].Offset, Length: &spans[i].Length}
	}
	return out
}

// classicBuckets returns the cumulative buckets at the custom bounds. The one without a bound is left to the formats.
func classicBuckets(h *histogram.FloatHistogram) []*dto.Bucket {
	counts := make([]float64, len(h.CustomValues))
	index, at := int32(0), 0
	for _, span := range h.PositiveSpans {
		index += span.Offset
		for range span.Length {
			if int(index) < len(counts) && at < len(h.PositiveBuckets) {
				counts[index] += h.PositiveBuckets[at]
			}
			index, at = index+1, at+1
		}
	}
	buckets := make([]*dto.Bucket, len(counts))
	total := 0.0
	for i, count := range counts {
		total += count
		buckets[i] = &dto.Bucket{UpperBound: new(h.CustomValues[i]), CumulativeCountFloat: new(total)}
	}
	return buckets
}
