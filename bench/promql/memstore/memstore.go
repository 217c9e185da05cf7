// Package memstore serves samples in memory to engines that read storages of Prometheus. It is as cheap as a storage can
// be, so that what is measured is the engine.
package memstore

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Series is one series: timestamps in milliseconds with their values. H is empty if there are no histograms; else it
// has nil for floats. ST is empty or has the start timestamps, zero for none.
type Series struct {
	LabelSet labels.Labels
	T, ST    []int64
	F        []float64
	H        []*histogram.FloatHistogram
}

// Store is a storage that nobody writes to.
type Store struct {
	series []*Series
	byName map[string][]*Series
}

// New returns a store of some series, which it keeps and sorts.
func New(series []*Series) *Store {
	slices.SortFunc(series, func(a, b *Series) int { return labels.Compare(a.LabelSet, b.LabelSet) })
	s := &Store{series: series, byName: map[string][]*Series{}}
	for _, one := range series {
		name := one.LabelSet.Get(labels.MetricName)
		s.byName[name] = append(s.byName[name], one)
	}
	return s
}

// Querier implements [storage.Queryable].
func (s *Store) Querier(mint, maxt int64) (storage.Querier, error) {
	return &querier{s, mint, maxt}, nil
}

type querier struct {
	*Store
	mint, maxt int64
}

func (q *querier) Select(_ context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	found := &set{at: -1}
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = hints.Start, hints.End
	}
	candidates := q.series
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
			candidates = q.byName[m.Value]
		}
	}
	for _, s := range candidates {
		if !matches(s.LabelSet, ms) {
			continue
		}
		lo, _ := slices.BinarySearch(s.T, mint)
		hi, _ := slices.BinarySearch(s.T, maxt+1)
		if lo < hi {
			part := &Series{LabelSet: s.LabelSet, T: s.T[lo:hi], F: s.F[lo:hi]}
			if len(s.H) > 0 {
				part.H = s.H[lo:hi]
			}
			if len(s.ST) > 0 {
				part.ST = s.ST[lo:hi]
			}
			found.series = append(found.series, part)
		}
	}
	return found
}

func matches(ls labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (*querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (*querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (*querier) Close() error { return nil }

type set struct {
	series []*Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// Labels implements [storage.Series].
func (s *Series) Labels() labels.Labels { return s.LabelSet }

// Iterator implements [storage.Series].
func (s *Series) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if i, ok := it.(*sliceIterator); ok {
		i.s, i.at = s, -1
		return i
	}
	return &sliceIterator{s: s, at: -1}
}

// sliceIterator is as cheap as an iterator can be: upstream's own decodes chunks.
type sliceIterator struct {
	s  *Series
	at int
}

func (i *sliceIterator) value() chunkenc.ValueType {
	if i.at >= len(i.s.T) {
		return chunkenc.ValNone
	}
	if len(i.s.H) > 0 && i.s.H[i.at] != nil {
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
	n, _ := slices.BinarySearch(i.s.T[min(from, len(i.s.T)):], t)
	i.at = from + n
	return i.value()
}

func (i *sliceIterator) At() (int64, float64) { return i.s.T[i.at], i.s.F[i.at] }
func (i *sliceIterator) AtT() int64           { return i.s.T[i.at] }
func (i *sliceIterator) Err() error           { return nil }

func (i *sliceIterator) AtST() int64 {
	if len(i.s.ST) == 0 {
		return 0
	}
	return i.s.ST[i.at]
}

func (i *sliceIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return 0, nil
}

func (i *sliceIterator) AtFloatHistogram(to *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	h := i.s.H[i.at]
	if to == nil {
		return i.s.T[i.at], h.Copy()
	}
	h.CopyTo(to)
	return i.s.T[i.at], to
}
