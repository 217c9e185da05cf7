package storagetest

import (
	"context"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// querier is a snapshot of a store.
type querier struct {
	mint, maxt int64
	series     []*snapshot
	share      bool
}

func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = hints.Start, hints.End
	}
	set := &seriesSet{at: -1, err: ctx.Err()}
	for _, s := range q.selected(mint, maxt, matchers) {
		one := &selectedSeries{snapshot: s, mint: mint, maxt: maxt, share: q.share}
		if hints != nil {
			one.projected, one.wanted, one.latest = hints.Projection, hints.ProjectionLabels, hints.Latest
		}
		set.series = append(set.series, one)
	}
	return set
}

// selected returns the series that all matchers select and that have samples in the range, in label order.
func (q *querier) selected(mint, maxt int64, matchers []*labels.Matcher) []*snapshot {
	var found []*snapshot
	for _, s := range q.series {
		if lo, hi := timeRange(s.cols.T, mint, maxt); lo < hi && labels.MatchesLabels(s.ls, matchers...) {
			found = append(found, s)
		}
	}
	return found
}

func (q *querier) LabelNames(ctx context.Context, _ storage.LabelHints, matchers ...*labels.Matcher) ([]string, storage.Warnings, error) {
	names := map[string]bool{}
	for _, s := range q.selected(q.mint, q.maxt, matchers) {
		for name := range s.ls.All() {
			names[name] = true
		}
	}
	return sortedKeys(names), nil, ctx.Err()
}

func (q *querier) LabelValues(ctx context.Context, name string, _ storage.LabelHints, matchers ...*labels.Matcher) ([]string, storage.Warnings, error) {
	values := map[string]bool{}
	for _, s := range q.selected(q.mint, q.maxt, matchers) {
		if v := s.ls.Get(name); v != "" {
			values[v] = true
		}
	}
	return sortedKeys(values), nil, ctx.Err()
}

func (q *querier) Close() error { return nil }

func sortedKeys(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type seriesSet struct {
	series []*selectedSeries
	at     int
	err    error
}

func (s *seriesSet) Next() bool {
	if s.err != nil {
		return false
	}
	s.at++
	return s.at < len(s.series)
}

func (s *seriesSet) At() storage.Series         { return s.series[s.at] }
func (s *seriesSet) Err() error                 { return s.err }
func (s *seriesSet) Warnings() storage.Warnings { return nil }

// selectedSeries is a series with the range to read.
type selectedSeries struct {
	*snapshot
	mint, maxt int64
	// wanted are, if projected is set, the labels that it has.
	projected bool
	wanted    []string
	// latest says that it has only the latest sample of the range.
	latest bool
	// share is that of the store.
	share bool
}

func (s *selectedSeries) Labels() labels.Labels {
	if !s.projected {
		return s.ls
	}
	return s.ls.KeepSorted(s.wanted)
}

func (s *selectedSeries) Samples(reuse storage.ColumnReader) storage.ColumnReader {
	r, ok := reuse.(*reader)
	if !ok {
		r = &reader{}
	}
	r.cols, r.share = &s.cols, s.share
	r.at, r.end = timeRange(s.cols.T, s.mint, s.maxt)
	if s.latest && r.at < r.end {
		r.at = r.end - 1
	}
	return r
}

// runLength is the number of samples that one Read delivers, small so that consumers meet the seams.
const runLength = 120

type reader struct {
	cols    *storage.Columns
	at, end int
	share   bool
}

func (r *reader) Read(dst *storage.Columns) bool {
	if r.at >= r.end {
		return false
	}
	end := min(r.at+runLength, r.end)
	if len(r.cols.H)+len(r.cols.ST)+len(dst.H)+len(dst.ST) == 0 {
		dst.T = append(dst.T, r.cols.T[r.at:end]...)
		dst.F = append(dst.F, r.cols.F[r.at:end]...)
		r.at = end
		return true
	}
	for ; r.at < end; r.at++ {
		s := staged{t: r.cols.T[r.at], f: r.cols.F[r.at]}
		if len(r.cols.H) > 0 {
			s.h = r.lent(r.cols.H[r.at], dst.Lent)
		}
		if len(r.cols.ST) > 0 {
			s.st = r.cols.ST[r.at]
		}
		dst.AppendST(s.t, s.st, s.f, s.h)
	}
	return true
}

// lent returns a histogram, which may be nil, in the memory that is lent for it, if that is so.
func (r *reader) lent(h *histogram.FloatHistogram, m *histogram.Arena) *histogram.FloatHistogram {
	if h == nil || m == nil || r.share {
		return h
	}
	m.Spoil()
	return m.Copy(h)
}

func (r *reader) Err() error { return nil }
