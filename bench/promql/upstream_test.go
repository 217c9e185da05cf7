package promql_test

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	ours "github.com/narthex-io/narthex/model/histogram"
)

// upstreamStore serves the samples of a data set to upstream's engine, from plain slices.
type upstreamStore struct{ series []*upstreamSeries }

type upstreamSeries struct {
	ls labels.Labels
	t  []int64
	f  []float64
	// h is empty if there are no histograms; else it has nil for floats.
	h []*histogram.FloatHistogram
}

func newUpstreamStore(data []series) *upstreamStore {
	s := &upstreamStore{}
	for _, d := range data {
		u := &upstreamSeries{ls: labels.FromStrings(d.labels...), t: d.t, f: d.f}
		for _, h := range d.h {
			u.h = append(u.h, upstreamHistogram(h))
		}
		s.series = append(s.series, u)
	}
	slices.SortFunc(s.series, func(a, b *upstreamSeries) int { return labels.Compare(a.ls, b.ls) })
	return s
}

func (s *upstreamStore) Querier(mint, maxt int64) (storage.Querier, error) {
	return &upstreamQuerier{s.series, mint, maxt}, nil
}

type upstreamQuerier struct {
	series     []*upstreamSeries
	mint, maxt int64
}

func (q *upstreamQuerier) Select(_ context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := &upstreamSet{at: -1}
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = hints.Start, hints.End
	}
	for _, s := range q.series {
		if !matches(s.ls, ms) {
			continue
		}
		lo, _ := slices.BinarySearch(s.t, mint)
		hi, _ := slices.BinarySearch(s.t, maxt+1)
		if lo < hi {
			part := &upstreamSeries{ls: s.ls, t: s.t[lo:hi], f: s.f[lo:hi]}
			if len(s.h) > 0 {
				part.h = s.h[lo:hi]
			}
			set.series = append(set.series, part)
		}
	}
	return set
}

func matches(ls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (*upstreamQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (*upstreamQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (*upstreamQuerier) Close() error { return nil }

type upstreamSet struct {
	series []*upstreamSeries
	at     int
}

func (s *upstreamSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *upstreamSet) At() storage.Series                { return s.series[s.at] }
func (s *upstreamSet) Err() error                        { return nil }
func (s *upstreamSet) Warnings() annotations.Annotations { return nil }

func (s *upstreamSeries) Labels() labels.Labels { return s.ls }

func (s *upstreamSeries) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if i, ok := it.(*sliceIterator); ok {
		i.s, i.at = s, -1
		return i
	}
	return &sliceIterator{s: s, at: -1}
}

// sliceIterator is as cheap as an iterator can be: upstream's own decodes chunks.
type sliceIterator struct {
	s  *upstreamSeries
	at int
}

func (i *sliceIterator) value() chunkenc.ValueType {
	if i.at >= len(i.s.t) {
		return chunkenc.ValNone
	}
	if len(i.s.h) > 0 && i.s.h[i.at] != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

func (i *sliceIterator) Next() chunkenc.ValueType {
	i.at++
	return i.value()
}

func (i *sliceIterator) Seek(t int64) chunkenc.ValueType {
	from := max(i.at, 0)
	n, _ := slices.BinarySearch(i.s.t[min(from, len(i.s.t)):], t)
	i.at = from + n
	return i.value()
}

func (i *sliceIterator) At() (int64, float64) { return i.s.t[i.at], i.s.f[i.at] }
func (i *sliceIterator) AtT() int64           { return i.s.t[i.at] }
func (i *sliceIterator) AtST() int64          { return 0 }
func (i *sliceIterator) Err() error           { return nil }

func (i *sliceIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return 0, nil
}

func (i *sliceIterator) AtFloatHistogram(to *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	h := i.s.h[i.at]
	if to == nil {
		return i.s.t[i.at], h.Copy()
	}
	h.CopyTo(to)
	return i.s.t[i.at], to
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
