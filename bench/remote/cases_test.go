package remote

import (
	"math"
	"strings"

	"github.com/gogo/protobuf/proto"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

const (
	v1Type = "application/x-protobuf"
	v2Type = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	base   = int64(1_760_000_000_000)
)

var staleNaN = math.Float64frombits(0x7ff0000000000002)

// one is a series as both versions can send it.
type one struct {
	labels     []string // name, value, …
	samples    []writev2.Sample
	histograms []writev2.Histogram
	exemplars  []exemplar
	meta       writev2.Metadata_MetricType
	help, unit string
}

type exemplar struct {
	labels []string
	v      float64
	t      int64
}

func sm(t int64, v float64) writev2.Sample { return writev2.Sample{Timestamp: base + t, Value: v} }

func stSm(st, t int64, v float64) writev2.Sample {
	return writev2.Sample{StartTimestamp: base + st, Timestamp: base + t, Value: v}
}

func named(name string, more ...string) []string { return append([]string{"__name__", name}, more...) }

func floats(name string, samples ...writev2.Sample) one {
	return one{labels: named(name), samples: samples}
}

func natives(name string, hs ...writev2.Histogram) one {
	return one{labels: named(name), histograms: hs}
}

func whole(t int64) writev2.Histogram {
	return writev2.Histogram{
		Count: &writev2.Histogram_CountInt{CountInt: 10}, Sum: 18.5, Schema: 1, ZeroThreshold: 0.001,
		ZeroCount:      &writev2.Histogram_ZeroCountInt{ZeroCountInt: 2},
		PositiveSpans:  []writev2.BucketSpan{{Offset: 0, Length: 2}, {Offset: 1, Length: 1}},
		PositiveDeltas: []int64{1, 1, -1},
		NegativeSpans:  []writev2.BucketSpan{{Offset: -1, Length: 2}},
		NegativeDeltas: []int64{2, 0}, Timestamp: base + t,
	}
}

func floating(t int64) writev2.Histogram {
	return writev2.Histogram{
		Count: &writev2.Histogram_CountFloat{CountFloat: 9.5}, Sum: -3, Schema: 0, ZeroThreshold: 0.01,
		ZeroCount:      &writev2.Histogram_ZeroCountFloat{ZeroCountFloat: 1.5},
		PositiveSpans:  []writev2.BucketSpan{{Offset: 2, Length: 2}},
		PositiveCounts: []float64{3, 5}, ResetHint: writev2.Histogram_RESET_HINT_GAUGE, Timestamp: base + t,
	}
}

func custom(t int64) writev2.Histogram {
	return writev2.Histogram{
		Count: &writev2.Histogram_CountInt{CountInt: 6}, Sum: 12, Schema: -53,
		PositiveSpans: []writev2.BucketSpan{{Offset: 0, Length: 3}}, PositiveDeltas: []int64{1, 1, 1},
		CustomValues: []float64{1, 2.5}, Timestamp: base + t,
	}
}

func with(h writev2.Histogram, change func(*writev2.Histogram)) writev2.Histogram {
	change(&h)
	return h
}

func v1(series ...one) request {
	req := prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "f", Help: "h", Unit: "u"}}}
	for _, s := range series {
		ts := prompb.TimeSeries{Labels: v1Labels(s.labels)}
		for _, p := range s.samples {
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: p.Timestamp, Value: p.Value})
		}
		for _, h := range s.histograms {
			// The messages are the same but for the start timestamp.
			data, err := proto.Marshal(&h)
			if err != nil {
				panic(err)
			}
			var out prompb.Histogram
			if err := proto.Unmarshal(data, &out); err != nil {
				panic(err)
			}
			ts.Histograms = append(ts.Histograms, out)
		}
		for _, e := range s.exemplars {
			ts.Exemplars = append(ts.Exemplars, prompb.Exemplar{Labels: v1Labels(e.labels), Value: e.v, Timestamp: e.t})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	data, err := proto.Marshal(&req)
	if err != nil {
		panic(err)
	}
	return raw(v1Type, data)
}

func v1Labels(pairs []string) (out []prompb.Label) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func v2message(series ...one) *writev2.Request {
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	refs := func(pairs []string) (out []uint32) {
		for _, text := range pairs {
			out = append(out, symbols.Symbolize(text))
		}
		return out
	}
	for _, s := range series {
		ts := writev2.TimeSeries{LabelsRefs: refs(s.labels), Samples: s.samples, Histograms: s.histograms}
		for _, e := range s.exemplars {
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{LabelsRefs: refs(e.labels), Value: e.v, Timestamp: e.t})
		}
		ts.Metadata = writev2.Metadata{Type: s.meta, HelpRef: symbols.Symbolize(s.help), UnitRef: symbols.Symbolize(s.unit)}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = symbols.Symbols()
	return req
}

func v2(series ...one) request { return v2raw(v2message(series...)) }

func v2raw(req *writev2.Request) request {
	data, err := proto.Marshal(req)
	if err != nil {
		panic(err)
	}
	return raw(v2Type, data)
}

func raw(contentType string, message []byte) request {
	return request{method: "POST", contentType: contentType, encoding: "snappy", body: snappy.Encode(nil, message)}
}

// scenario is a row of requests.
type scenario struct {
	name     string
	settings settings
	requests []request
}

// both makes a scenario for each version of rows of series.
func both(name string, s settings, rows ...[]one) []scenario {
	first, second := scenario{name: "1.0 " + name, settings: s}, scenario{name: "2.0 " + name, settings: s}
	for _, row := range rows {
		first.requests = append(first.requests, v1(row...))
		second.requests = append(second.requests, v2(row...))
	}
	return []scenario{first, second}
}

func row(series ...one) []one { return series }

// repeated is a text of n letters.
func repeated(n int) string { return strings.Repeat("x", n) }
