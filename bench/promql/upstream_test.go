package promql_test

import (
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/narthex-io/narthex/bench/promql/memstore"
	ours "github.com/narthex-io/narthex/model/histogram"
)

// newUpstreamStore serves the samples of a data set to upstream's engine.
func newUpstreamStore(data []series) *memstore.Store {
	var all []*memstore.Series
	for _, d := range data {
		u := &memstore.Series{LabelSet: labels.FromStrings(d.labels...), T: d.t, ST: d.st, F: d.f}
		for _, h := range d.h {
			u.H = append(u.H, upstreamHistogram(h))
		}
		all = append(all, u)
	}
	return memstore.New(all)
}

// upstreamHistogram returns the same histogram in upstream's type; nil for nil.
func upstreamHistogram(h *ours.FloatHistogram) *histogram.FloatHistogram {
	if h == nil {
		return nil
	}
	spans := func(in []ours.Span) (out []histogram.Span) {
		for _, s := range in {
			out = append(out, histogram.Span{Offset: s.Offset, Length: s.Length})
		}
		return out
	}
	return &histogram.FloatHistogram{
		CounterResetHint: histogram.CounterResetHint(h.CounterResetHint), Schema: h.Schema,
		ZeroThreshold: h.ZeroThreshold, ZeroCount: h.ZeroCount, Count: h.Count, Sum: h.Sum,
		PositiveSpans: spans(h.PositiveSpans), NegativeSpans: spans(h.NegativeSpans),
		PositiveBuckets: h.PositiveBuckets, NegativeBuckets: h.NegativeBuckets, CustomValues: h.CustomValues,
	}
}
