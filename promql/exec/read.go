package exec

import (
	"context"
	"slices"
	"time"

	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
)

// selection is the series that the storage has found. Several selectors may share one.
type selection struct {
	list []storage.Series
	// out are the labels, which do not change.
	out []series
}

// timeRange bounds samples, both ends included, in milliseconds.
type timeRange struct{ min, max int64 }

func (r timeRange) length() int64 { return r.max - r.min + 1 }

// readKey identifies a selection: what is read, over which range.
type readKey struct {
	read *plan.Read
	timeRange
}

// reads are what selectors read in common.
type reads struct {
	// union is the range that covers all users of a read. A user shares it if its own is not much shorter.
	union map[*plan.Read]timeRange
	// latest are the reads whose users all have the same range, and need only the latest sample in it.
	latest map[*plan.Read]bool
	// made are the selections so far, kept for further users.
	made map[readKey]*selection
}

// maxStretch is how much longer the shared range may be than a selector's own: decoding some more samples costs less than
// finding the series again.
const maxStretch = 1.25

// findReads finds out what the selectors of a plan read in common.
func (q *query) findReads(root plan.Node) {
	plan.EachSelector(root, q.Grid, func(n *plan.Selector, g plan.Grid) {
		if n.Read == nil {
			return
		}
		var r timeRange
		r.min, r.max = n.Bounds(g, q.Lookback)
		if q.reads.union == nil {
			q.reads = reads{union: map[*plan.Read]timeRange{}, latest: map[*plan.Read]bool{}, made: map[readKey]*selection{}}
		}
		latest := latestOnly(n, g)
		if u, found := q.reads.union[n.Read]; found {
			latest = latest && q.reads.latest[n.Read] && r == u
			r = timeRange{min(r.min, u.min), max(r.max, u.max)}
		}
		q.reads.union[n.Read], q.reads.latest[n.Read] = r, latest
	})
}

// latestOnly reports whether a selector looks at nothing but the latest sample of the range that it reads. Where only
// totals are needed, the samples before it tell whether it is a counter reset.
func latestOnly(n *plan.Selector, g plan.Grid) bool {
	return g.N == 1 && n.Range == 0 && !n.Smoothed && !n.Anchored && !n.TotalsOnly
}

// selected returns the series of a selector that have samples in a range, those of an earlier selector if it has read
// the same.
func (q *query) selected(ctx context.Context, n *plan.Selector, g plan.Grid, r timeRange) (*selection, error) {
	if n.Read == nil || q.reads.union == nil {
		return q.selectRange(ctx, n, g, r)
	}
	if u := q.reads.union[n.Read]; float64(u.length()) <= maxStretch*float64(r.length()) {
		r = u
	}
	key := readKey{n.Read, r}
	if s := q.reads.made[key]; s != nil {
		return s, nil
	}
	s, err := q.selectRange(ctx, n, g, r)
	if err == nil {
		q.reads.made[key] = s
	}
	return s, err
}

// selectRange asks the storage, for the labels that are needed. If the series turn out to have several names, it asks again
// for all labels: without their names, series may differ in nothing but those that were left out.
func (q *query) selectRange(ctx context.Context, n *plan.Selector, g plan.Grid, r timeRange) (*selection, error) {
	hints := storage.SelectHints{
		Start: r.min, End: r.max, Step: g.Step, Range: n.Range, Func: n.Hints.Func, Grouping: n.Hints.Grouping, By: n.Hints.By,
		Projection: n.Hints.Project && !q.DelayNameRemoval, ProjectionLabels: n.Hints.Labels,
		Budget: q,
	}
	hints.Latest = latestOnly(n, g)
	if n.Read != nil && q.reads.union != nil {
		hints.Latest = q.reads.latest[n.Read]
	}
	s, err := q.ask(ctx, n, &hints)
	// A selection that is shared may be read through a window by another selector.
	if err == nil && hints.Projection && (n.Range > 0 || n.Read != nil) && !haveOneName(s.out) {
		hints.Projection = false
		return q.ask(ctx, n, &hints)
	}
	return s, err
}

// newSelection returns an empty selection, which lasts as long as the query.
func (q *query) newSelection() *selection {
	s, ok := q.Pool.selections.Get().(*selection)
	if !ok {
		s = &selection{}
	}
	q.selections = append(q.selections, s)
	return s
}

// maxPooledSeries is how many series a selection may have to be kept for other queries.
const maxPooledSeries = 1 << 18

// releaseSelections gives back the memory of all selections, at the end of the query.
func (q *query) releaseSelections() {
	for _, s := range q.selections {
		if cap(s.list) > maxPooledSeries {
			continue
		}
		clear(s.list)
		clear(s.out)
		s.list, s.out = s.list[:0], s.out[:0]
		q.Pool.selections.Put(s)
	}
	q.selections = nil
}

func (q *query) ask(ctx context.Context, n *plan.Selector, hints *storage.SelectHints) (*selection, error) {
	set := q.Querier.Select(ctx, false, hints, n.Matchers...)
	s := q.newSelection()
	if sized, ok := set.(storage.Sized); ok {
		s.list, s.out = slices.Grow(s.list, sized.Size()), slices.Grow(s.out, sized.Size())
	}
	bytes := int64(0)
	for set.Next() {
		found := set.At()
		ls := found.Labels()
		s.list = append(s.list, found)
		s.out = append(s.out, series{labels: ls})
		bytes += seriesBytes + int64(ls.ByteSize())
		if len(s.list)%256 == 0 {
			if err := q.holdBytes(bytes); err != nil {
				return nil, err
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			bytes = 0
		}
	}
	if err := set.Err(); err != nil {
		return nil, storageFailure(ctx, err)
	}
	if err := q.holdBytes(bytes); err != nil {
		return nil, err
	}
	for _, err := range set.Warnings() {
		q.storageWarnings = append(q.storageWarnings, err)
	}
	return s, nil
}

// loaded says what is in the columns of a worker: the samples of the i-th series of a selection. The next row may need
// the same.
type loaded struct {
	from *selection
	i    int
	// pruned says that stale markers were dropped.
	pruned bool
}

// read puts the samples of the i-th series into the worker's columns, with or without stale markers. There may be more
// than the selector needs.
func (s *source) read(ctx context.Context, w *worker, i int, stale bool) error {
	if s.probe == nil {
		return s.load(ctx, w, i, stale)
	}
	begin := time.Now()
	if err := s.load(ctx, w, i, stale); err != nil {
		return err
	}
	took := time.Since(begin)
	w.inner += took
	s.probe.time.Add(int64(took))
	s.probe.read.Add(int64(w.cols.Len()))
	return nil
}

func (s *source) load(ctx context.Context, w *worker, i int, stale bool) error {
	if err := w.ended(); err != nil {
		return err
	}
	if w.loaded.from != s.selection || w.loaded.i != i || stale && w.loaded.pruned {
		w.loaded = loaded{}
		if err := s.decode(ctx, w, i); err != nil {
			return err
		}
		w.loaded = loaded{from: s.selection, i: i}
	}
	if !stale && !w.loaded.pruned {
		before := w.cols.Len()
		dropStale(&w.cols)
		w.loaded.pruned = w.cols.Len() < before
	}
	return nil
}

func (s *source) decode(ctx context.Context, w *worker, i int) error {
	w.resetColumns()
	w.reader = s.list[i].Samples(w.reader)
	for w.reader.Read(&w.cols) {
		if err := w.account(); err != nil {
			return err
		}
	}
	if err := w.reader.Err(); err != nil {
		return storageFailure(ctx, err)
	}
	s.q.decoded.Add(int64(w.cols.Len()))
	if s.n.TotalsOnly && len(w.cols.H) > 0 {
		keepTotals(w.cols.H, w.cols.Lent)
	}
	return nil
}
