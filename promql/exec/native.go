package exec

import (
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

// Texts of annotations about native histograms.
const (
	textMixedForMetric = "encountered a mix of histograms and floats for metric name %q"
	textMixedSchemas   = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name %q"
	textNotCounter     = "this native histogram metric is not a counter: %q"
	textNotGauge       = "this native histogram metric is not a gauge: %q"
	textCollision      = "conflicting counter resets during histogram %s"
	textReconciled     = "mismatched custom buckets were reconciled during %s"
)

// kinds tells what a window holds.
func (in *windowed) kinds(lo, hi int32) (floats, hists bool) {
	for _, h := range in.H[lo:hi] {
		floats, hists = floats || h == nil, hists || h != nil
	}
	return floats, hists
}

// histogramRates is rate, increase and delta of a series that has histograms. Fast path: where all are alike, and none is
// a reset, the first and the last of a window are enough.
func (in *windowed) histogramRates(isCounter, isRate bool, dst *row) error {
	alike := in.alike(isCounter)
	var rs resets
	if isCounter {
		rs = in.findHistogramResets()
	}
	s := in.stretch(isCounter, isRate)
	for i := range dst.F {
		lo, hi := in.lo[i], in.hi[i]
		lost := rs.within(lo, hi)
		if err := in.worked(workHistogram*int32(1+len(lost)) + hi - lo); err != nil {
			return err
		}
		fromZero := isCounter && in.startsInside(i)
		if alike && hi-lo >= 2 && len(lost) == 0 && !fromZero {
			first, last := in.H[lo], in.H[hi-1]
			factor := s.factor(i, first.Count, last.Count-first.Count)
			if h := last.Growth(first, factor, in.w.memory(dst)); h != nil {
				in.noteOverlapOf(i, isCounter)
				dst.setH(i, h)
				continue
			}
		}
		floats, hists := in.kinds(lo, hi)
		switch {
		case floats && hists:
			in.notes.warnf(in.at, textMixedForMetric, in.metric())
		case hi-lo < 2 && !fromZero:
		case floats:
			dst.F[i] = in.floatRate(i, &s)
		default:
			if h := in.histogramIncrease(i, isCounter, lost); h != nil {
				factor := s.factor(i, in.H[lo].Count, h.Count)
				dst.setH(i, h.Scaled(factor))
			}
		}
	}
	return nil
}

// alike reports whether all samples are histograms of one resolution, and of the sort that is asked for.
func (in *windowed) alike(isCounter bool) bool {
	for _, h := range in.H {
		if h == nil || h.Schema != in.H[0].Schema || (h.CounterResetHint == histogram.GaugeType) == isCounter {
			return false
		}
	}
	return true
}

// findHistogramResets returns the histograms before which the counter has started anew.
func (in *windowed) findHistogramResets() resets {
	at := in.w.order[:0]
	for i := 1; i < len(in.H); i++ {
		if in.H[i] != nil && in.H[i-1] != nil && (in.startedAnew(i) || in.H[i].HasReset(in.H[i-1])) {
			at = append(at, int32(i))
		}
	}
	in.w.order = at
	return resets{at: at}
}

func (in *windowed) noteOverlapOf(step int, isCounter bool) {
	if isCounter {
		in.noteOverlap(step)
	}
}

// floatRate is the rate in one window, for series that have histograms elsewhere.
func (in *windowed) floatRate(step int, s *stretch) float64 {
	lo, hi := in.lo[step], in.hi[step]
	delta := in.F[hi-1] - in.F[lo]
	for k := lo + 1; s.isCounter && k < hi; k++ {
		if in.F[k] < in.F[k-1] || in.startedAnew(int(k)) {
			delta += in.F[k-1]
		}
	}
	if s.isCounter && in.startsInside(step) {
		delta += in.F[lo]
	}
	return delta * s.factor(step, in.F[lo], delta)
}

// histogramIncrease returns the difference between the last and the first histogram of a window, which for counters
// includes what was lost by resets, before the given samples; nil if there is none.
func (in *windowed) histogramIncrease(step int, isCounter bool, lost []int32) *histogram.FloatHistogram {
	lo, hi := in.lo[step], in.hi[step]
	hs := in.H[lo:hi]
	if len(hs) == 1 {
		return hs[0].Copy() // It has started from zero inside of the window.
	}
	first, last := hs[0], hs[len(hs)-1]
	if isCounter {
		in.noteRateHints(hs, isCounter)
	}
	if len(lost) > 0 && lost[0] == lo+1 {
		// Nothing of the first histogram is left, not even its layout.
		first = &histogram.FloatHistogram{Schema: hs[1].Schema, CustomValues: hs[1].CustomValues}
		lost = lost[1:]
	}
	lowest, ok := in.lowestSchema(first, hs, isCounter)
	if !ok {
		return nil
	}
	sum := histogram.NewSum(last)
	sum.Reduce(lowest)
	if !in.addTo(&sum, first, -1, "subtraction") {
		return nil
	}
	if !isCounter {
		in.noteRateHints(hs, isCounter) // Only of differences that there are.
	}
	for _, k := range lost {
		if !in.addTo(&sum, in.H[k-1], 1, "addition") {
			return nil
		}
	}
	in.noteOverlapOf(step, isCounter)
	if isCounter && in.startsInside(step) && !in.addTo(&sum, hs[0], 1, "addition") {
		return nil
	}
	sum.Hint = histogram.GaugeType
	return sum.Histogram()
}

// lowestSchema returns the lowest resolution of the histograms that matter. It reports false, with a note, if they do
// not go together.
func (in *windowed) lowestSchema(first *histogram.FloatHistogram, hs []*histogram.FloatHistogram, isCounter bool) (int32, bool) {
	last := hs[len(hs)-1]
	lowest := min(first.Schema, last.Schema)
	for _, h := range hs[1:] {
		if !isCounter && h != last {
			continue
		}
		if h.UsesCustomBuckets() != first.UsesCustomBuckets() {
			in.notes.warnf(in.at, textMixedSchemas, in.metric())
			return 0, false
		}
		lowest = min(lowest, h.Schema)
	}
	return lowest, true
}

// addTo adds a histogram to a sum, with notes; false means that they do not go together.
func (in *windowed) addTo(sum *histogram.Sum, h *histogram.FloatHistogram, factor float64, operation string) bool {
	_, reconciled, err := sum.Add(h, factor)
	if err != nil {
		in.notes.warnf(in.at, textMixedSchemas, in.metric())
		return false
	}
	if reconciled {
		in.notes.infof(in.at, textReconciled, operation)
	}
	return true
}

func (in *windowed) noteRateHints(hs []*histogram.FloatHistogram, isCounter bool) {
	isGauge := func(h *histogram.FloatHistogram) bool { return h.CounterResetHint == histogram.GaugeType }
	switch {
	case isCounter && slices.ContainsFunc(hs, isGauge):
		in.notes.warnf(in.at, textNotCounter, in.metric())
	case !isCounter && (!isGauge(hs[0]) || !isGauge(hs[len(hs)-1])):
		in.notes.warnf(in.at, textNotGauge, in.metric())
	}
}

// lastTwoHistograms is irate and idelta where at least one of the last two samples is a histogram.
func (in *windowed) lastTwoHistograms(step int, isRate bool, dst *row) error {
	hi := in.hi[step]
	prev, cur := in.H[hi-2], in.H[hi-1]
	if prev == nil || cur == nil {
		in.notes.warnf(in.at, textMixedForMetric, in.metric())
		return nil
	}
	in.noteRateHints([]*histogram.FloatHistogram{prev, cur}, isRate)
	sum := histogram.NewSum(cur)
	if wasReset := in.startedAnew(int(hi-1)) || cur.HasReset(prev); !isRate || !wasReset {
		if !in.addTo(&sum, prev, -1, "subtraction") {
			return nil
		}
	}
	sum.Hint = histogram.GaugeType
	h := sum.Histogram()
	if isRate {
		h = h.Divided(float64(in.T[hi-1]-in.T[hi-2]) / 1000)
	}
	dst.setH(step, h)
	return nil
}

// aggregateHistograms is sum_over_time or avg_over_time of a series that has histograms.
func (in *windowed) aggregateHistograms(average bool, dst *row) error {
	for i := range dst.F {
		lo, hi := in.lo[i], in.hi[i]
		if err := in.worked(workHistogram * (hi - lo)); err != nil {
			return err
		}
		floats, hists := in.kinds(lo, hi)
		switch {
		case floats && hists:
			in.notes.warnf(in.first, textMixedForMetric, in.metric())
		case floats && average:
			dst.F[i] = avgOf(in.F[lo:hi])
		case floats:
			dst.F[i] = sumOf(in.F[lo:hi])
		case hists:
			c := histogramSum{average: average}
			for _, h := range in.H[lo:hi] {
				c.add(h)
			}
			c.note(in.notes, in.first)
			if c.broken {
				in.notes.warnf(in.first, textMixedSchemas, in.metric())
			} else {
				dst.setH(i, c.result((*histogram.Sum).Uncompacted))
			}
		}
	}
	return nil
}

// histogramSum adds up histograms, or averages them: by their sum as long as it fits, step by step from there on.
type histogramSum struct {
	average, incremental        bool
	sum                         histogram.Sum
	count                       float64
	resets, noResets            bool
	broken, reconciled, started bool
	// idle says that a float came first: there will be no result, so that it does not matter whether histograms fit.
	idle bool
}

func (c *histogramSum) add(h *histogram.FloatHistogram) {
	if c.idle {
		return
	}
	c.count++
	c.resets = c.resets || h.CounterResetHint == histogram.CounterReset
	c.noResets = c.noResets || h.CounterResetHint == histogram.NotCounterReset
	switch {
	case c.broken:
	case !c.started:
		c.sum, c.started = histogram.NewExactSum(h), true
	case c.incremental:
		c.addToMean(h)
	default:
		c.addToSum(h)
	}
}

// addToSum adds up, until the sum of an average does not fit any more.
func (c *histogramSum) addToSum(h *histogram.FloatHistogram) {
	if !c.average || c.sum.Fits(h) {
		c.plus(h)
		return
	}
	before := c.sum.Mapped(func(v float64) float64 { return v })
	if c.plus(h); !c.broken && c.sum.Overflows() {
		c.sum, c.incremental = before.Mapped(func(v float64) float64 { return v / (c.count - 1) }), true
		c.addToMean(h)
	}
}

func (c *histogramSum) plus(h *histogram.FloatHistogram) {
	_, reconciled, err := c.sum.Add(h, 1)
	c.reconciled = c.reconciled || reconciled
	c.broken = err != nil
}

func (c *histogramSum) addToMean(h *histogram.FloatHistogram) {
	weight := (c.count - 1) / c.count
	c.sum = c.sum.Mapped(func(v float64) float64 { return weight * v })
	c.plus(h.Divided(c.count))
}

func (c *histogramSum) note(notes *Annotations, at spot) {
	if c.resets && c.noResets {
		notes.warnf(at, textCollision, "aggregation")
	}
	if c.reconciled {
		notes.infof(at, textReconciled, "aggregation")
	}
}

// result returns the sum or average, which make makes a histogram: upstream drops empty buckets in aggregations only.
func (c *histogramSum) result(make func(*histogram.Sum) *histogram.FloatHistogram) *histogram.FloatHistogram {
	if c.average && !c.incremental {
		mean := c.sum.Mapped(func(v float64) float64 { return v / c.count }) // The corrections apart, as upstream has it.
		return make(&mean)
	}
	return make(&c.sum)
}

// histogramCells are the sums of histograms of an aggregation. There is no memory for them before the first histogram.
type histogramCells struct {
	q       *query
	at      spot
	average bool
	n       int
	cells   []*histogramSum
	// name is that of a series whose histograms did not fit.
	name map[int]string
}

func (q *query) histogramCells(n *plan.Aggregate, cells int) *histogramCells {
	return &histogramCells{q: q, at: spotOf(n, n.ExprPos), average: n.Op == parser.AggAvg, n: cells, name: map[int]string{}}
}

// broken reports whether a cell has no result whatever comes.
func (c *histogramCells) broken(cell int) bool {
	return c.cells != nil && c.cells[cell] != nil && c.cells[cell].broken
}

func (c *histogramCells) any() bool { return c.cells != nil }

// add adds a histogram of a series to a cell; behindFloat says that the cell has got a float already.
func (c *histogramCells) add(cell int, h *histogram.FloatHistogram, s *series, behindFloat bool) {
	if c.cells == nil {
		c.cells = make([]*histogramSum, c.n)
	}
	sum := c.cells[cell]
	if sum == nil {
		sum = &histogramSum{average: c.average, idle: behindFloat}
		c.cells[cell] = sum
	}
	was := sum.broken
	if sum.add(h); sum.broken && !was {
		c.name[cell] = metricName(s)
	}
}

// result puts the histogram of a cell, and reports whether that settles the cell. A group of floats and histograms
// has no result.
func (c *histogramCells) result(cell int, floats bool, step int, dst *row) bool {
	sum := c.cells[cell]
	if sum == nil {
		return false
	}
	if sum.broken {
		c.q.notes.warnf(c.at, textMixedSchemas, c.name[cell])
	}
	if floats {
		c.q.notes.warn(c.at, "encountered a mix of histograms and floats for aggregation")
	}
	if floats || sum.broken {
		return true
	}
	sum.note(&c.q.notes, c.at)
	dst.setH(step, sum.result((*histogram.Sum).Histogram))
	return true
}

// histogramBinop is binop where at least one side is a histogram.
func (q *query) histogramBinop(n *plan.Binary, l, r value) (value, outcome, error) {
	switch {
	case l.h != nil && r.h != nil:
		return q.histogramsBinop(n, l, r)
	case l.h == nil && n.Op == parser.OpMul:
		return value{h: r.h.Scaled(l.f).Compacted()}, keepIt, nil
	case l.h == nil:
		q.noteTypes(n, "float", "histogram")
		return value{}, impossible, nil
	}
	switch n.Op {
	case parser.OpMul:
		return value{h: l.h.Scaled(r.f).Compacted()}, keepIt, nil
	case parser.OpDiv:
		return value{h: l.h.Divided(r.f).Compacted()}, keepIt, nil
	case parser.OpTrimUpper, parser.OpTrimLower:
		return value{h: l.h.Trimmed(r.f, n.Op == parser.OpTrimUpper)}, keepIt, nil
	default:
		q.noteTypes(n, "histogram", "float")
		return value{}, impossible, nil
	}
}

// histogramsBinop is binop of two histograms.
func (q *query) histogramsBinop(n *plan.Binary, l, r value) (value, outcome, error) {
	factor, operation := 1.0, "addition"
	switch n.Op {
	case parser.OpAdd:
	case parser.OpSub:
		factor, operation = -1, "subtraction"
	case parser.OpEqual, parser.OpNotEqual:
		if l.h.Same(r.h) == (n.Op == parser.OpEqual) {
			return l, keepIt, nil
		}
		return l, keepNot, nil
	default:
		q.noteTypes(n, "histogram", "histogram")
		return value{}, impossible, nil
	}
	sum := histogram.NewSum(l.h)
	collision, reconciled, err := sum.Add(r.h, factor)
	if err != nil {
		q.notes.warnf(spotOf(n, n.Pos()), "incompatible bucket layout encountered for binary operator %s", n.Op)
		return value{}, impossible, nil //nolint:nilerr // it has become a warning
	}
	if collision {
		// As upstream has it, there is no result then.
		q.notes.warnf(spotOf(n, n.Pos()), textCollision, operation)
		return value{}, impossible, nil
	}
	if reconciled {
		q.notes.infof(spotOf(n, n.Pos()), textReconciled, operation)
	}
	if factor < 0 {
		sum.Hint = histogram.GaugeType
	}
	return value{h: sum.Histogram()}, keepIt, nil
}
