package exec

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/plan"
	"github.com/narthex-io/narthex/storage"
)

// source reads the series of a selector.
type source struct {
	*selection
	q *query
	n *plan.Selector
	// tally and counted are for the statistics; windows count on their own.
	tally   *tally
	counted counted
	// probe is set if the selector is measured.
	probe *probe
}

func (q *query) selectSeries(ctx context.Context, n *plan.Selector, g plan.Grid) (*source, error) {
	begin := time.Now()
	defer func() { q.selecting.Add(int64(time.Since(begin))) }()
	if q.Probes != nil {
		defer q.enter(n)()
	}
	s := &source{q: q, n: n, tally: q.tally, probe: q.at}
	var own timeRange
	own.min, own.max = n.Bounds(g, q.Lookback)
	var err error
	if s.selection, err = q.selected(ctx, n, g, own); err != nil {
		return nil, err
	}
	if s.probe != nil && q.Probes.byNode[n] != nil {
		s.probe.series.Store(int64(len(s.list)))
	}
	return s, nil
}

// storageFailure tells a failing storage from one that gave up because the query ended.
func storageFailure(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return &StorageError{err}
}

// keepTotals leaves histograms with count and sum, and with what their buckets tell about counter resets. They are put
// into m.
func keepTotals(hs []*histogram.FloatHistogram, m *histogram.Arena) {
	var prev *histogram.FloatHistogram
	for i, h := range hs {
		if h == nil {
			continue
		}
		totals := m.Histogram()
		*totals = histogram.FloatHistogram{CounterResetHint: h.CounterResetHint, Schema: h.Schema, Count: h.Count, Sum: h.Sum}
		hs[i] = totals
		if sample.IsStale(h.Sum) {
			continue
		}
		if prev != nil && h.CounterResetHint == histogram.UnknownCounterReset {
			totals.CounterResetHint = histogram.NotCounterReset
			if h.HasReset(prev) {
				totals.CounterResetHint = histogram.CounterReset
			}
		}
		prev = h
	}
}

// instant yields the latest sample at each step.
type instant struct {
	*source
	g plan.Grid
	// floatsOnly says that a histogram is an error.
	floatsOnly bool
}

func (q *query) buildSelector(ctx context.Context, n *plan.Selector, g plan.Grid) (operator, error) {
	s, err := q.selectSeries(ctx, n, g)
	if err != nil {
		return nil, err
	}
	if n.Smoothed && !n.Timestamps && !n.Starts {
		return &smoothed{s, g}, nil
	}
	s.counted = make(counted, len(s.list))
	return &instant{source: s, g: g}, nil
}

func (s *instant) series() []series { return s.out }

func (s *instant) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := s.read(ctx, w, i, true); err != nil {
		return err
	}
	if err := w.reset(dst, s.g.N); err != nil {
		return err
	}
	c := &w.cols
	t := s.q.tallyRow(s.tally, s.counted, i)
	if len(c.H) == 0 && !s.n.Starts && !s.n.Timestamps && (t == nil || t.sumsSuffice()) {
		found, err := s.floats(w, dst)
		t.addFloats(found, found)
		return err
	}
	next := 0
	copies := copier{to: w.memory(dst), from: -1}
	for step := range dst.F {
		if step%pieceSteps == pieceSteps-1 {
			if err := w.ended(); err != nil {
				return err
			}
		}
		at := s.n.Reference(s.g.At(step))
		for next < len(c.T) && c.T[next] <= at {
			next++
		}
		last := next - 1
		if last < 0 || c.T[last] <= at-s.q.Lookback {
			continue
		}
		h := histogramAt(c, last)
		switch {
		case h == nil && sample.IsStale(c.F[last]), h != nil && sample.IsStale(h.Sum):
			continue
		case h != nil && s.floatsOnly:
			return fmt.Errorf("this should be an info metric, with float samples: %s", s.out[i].labels)
		case s.n.Starts:
			dst.F[step] = startAt(c, last)
		case s.n.Timestamps:
			dst.F[step] = float64(c.T[last]) / 1000
		case h != nil:
			dst.setH(step, copies.of(h, last))
		default:
			dst.F[step] = c.F[last]
		}
		size := sampleSize(dst.hist(step)) // Times of histograms are floats.
		t.add(step, size, size)
	}
	t.done()
	return nil
}

// floats is row for series without histograms, of which all samples count alike. Fast path: where there are more steps
// than samples, most of the time is spent here. It returns how many steps have a value.
func (s *instant) floats(w *worker, dst *row) (found int64, err error) {
	times, values := w.cols.T, w.cols.F[:len(w.cols.T)]
	at, by := s.n.Reference(s.g.At(0)), s.g.Step
	if s.n.At != nil {
		by = 0
	}
	next := 0
	for step := range dst.F {
		if step%pieceSteps == pieceSteps-1 {
			if err := w.ended(); err != nil {
				return found, err
			}
		}
		for next < len(times) && times[next] <= at {
			next++
		}
		if next > 0 && times[next-1] > at-s.q.Lookback && !isAbsent(values[next-1]) {
			dst.F[step] = values[next-1]
			found++
		}
		at += by
	}
	return found, nil
}

// copier copies the histograms that leave the columns, each of them once.
type copier struct {
	to *histogram.Arena
	// from is the sample that made is a copy of.
	from int
	made *histogram.FloatHistogram
}

// of returns a copy of sample number i.
func (c *copier) of(h *histogram.FloatHistogram, i int) *histogram.FloatHistogram {
	if i != c.from {
		c.from, c.made = i, c.to.Copy(h)
	}
	return c.made
}

// startAt returns the start timestamp of a sample in seconds, zero if there is none.
func startAt(c *storage.Columns, i int) float64 {
	if len(c.ST) == 0 {
		return 0
	}
	return float64(c.ST[i]) / 1000
}

func histogramAt(c *storage.Columns, i int) *histogram.FloatHistogram {
	if len(c.H) == 0 {
		return nil
	}
	return c.H[i]
}

// dropStale removes stale markers, which windows do not see.
func dropStale(c *storage.Columns) {
	if len(c.H) == 0 && !slices.ContainsFunc(c.F, isAbsent) {
		return
	}
	stale := func(i int) bool {
		if h := histogramAt(c, i); h != nil {
			return sample.IsStale(h.Sum)
		}
		return math.Float64bits(c.F[i]) == absentBits
	}
	first := 0
	for first < len(c.T) && !stale(first) {
		first++
	}
	kept := first
	for i := first; i < len(c.T); i++ {
		if stale(i) {
			continue
		}
		c.T[kept], c.F[kept] = c.T[i], c.F[i]
		if len(c.H) > 0 {
			c.H[kept] = c.H[i]
		}
		if len(c.ST) > 0 {
			c.ST[kept] = c.ST[i]
		}
		kept++
	}
	c.T, c.F = c.T[:kept], c.F[:kept]
	if len(c.H) > 0 {
		c.H = c.H[:kept]
	}
	if len(c.ST) > 0 {
		c.ST = c.ST[:kept]
	}
}
