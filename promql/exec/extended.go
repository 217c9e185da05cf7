package exec

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/plan"
)

// checkExtended makes sure that a function can be used with the modifier of a selector.
func checkExtended(n *plan.Selector, function string) error {
	modifier, functions := "anchored", []string{"changes", "delta", "increase", "rate", "resets"}
	switch {
	case n.Smoothed:
		modifier, functions = "smoothed", []string{"delta", "increase", "rate"}
	case !n.Anchored:
		return nil
	}
	if slices.Contains(functions, function) {
		return nil
	}
	return fmt.Errorf("%s modifier can only be used with: %s - not with %s", modifier, strings.Join(functions, ", "), function)
}

// extent is what an extended window is calculated from: the samples from first to last, both included, of which the
// first may lie on or before the start of the window and, if the window is smoothed, the last after its end.
type extent struct {
	first, last int
	// start and end are the borders of the window.
	start, end int64
}

// after returns the first of the samples [lo, hi) that is later than t, or hi.
func (in *windowed) after(lo, hi int, t int64) int {
	k, _ := slices.BinarySearch(in.T[lo:hi], t+1)
	return lo + k
}

// extent returns the extent of a step; false means that there is nothing to calculate.
func (in *windowed) extent(step int) (extent, bool) {
	lo, hi := int(in.lo[step]), int(in.hi[step])
	if lo == hi {
		return extent{}, false
	}
	e := extent{last: hi - 1, end: in.shift.Reference(in.g.At(step))}
	e.start = e.end - in.length
	e.first = max(lo, in.after(lo, hi, e.start)-1)
	if in.smoothed {
		e.last = min(e.last, in.after(lo, hi, e.end-1))
	}
	return e, in.T[e.last] > e.start && (!in.smoothed || in.T[e.first] <= e.end)
}

// anchoredAt returns the samples from the last one on or before the start of the window on; none if there is no later
// one.
func (in *windowed) anchoredAt(step int) (lo, hi int32) {
	lo, hi = in.lo[step], in.hi[step]
	start := in.shift.Reference(in.g.At(step)) - in.length
	first := int32(in.after(int(lo), int(hi), start))
	if first == hi {
		return hi, hi
	}
	return max(lo, first-1), hi
}

// extendedRates is rate, increase and delta of an anchored or smoothed selector.
func (in *windowed) extendedRates(isCounter, isRate bool, dst *row) error {
	seconds := float64(in.length) / 1000
	for i := range dst.F {
		n := in.hi[i] - in.lo[i]
		if len(in.H) > 0 {
			n *= workHistogram
		}
		if err := in.worked(n); err != nil {
			return err
		}
		hists, mixed := in.pure(i)
		if mixed {
			continue
		}
		e, ok := in.extent(i)
		if !ok {
			continue
		}
		if hists {
			h := in.extendedHistogram(e, isCounter)
			switch {
			case h == nil:
			case isRate:
				dst.setH(i, h.Divided(seconds))
			default:
				dst.setH(i, h)
			}
			continue
		}
		dst.F[i] = in.extendedIncrease(e, isCounter)
		if isRate {
			dst.F[i] /= seconds
		}
	}
	return nil
}

// pure reports whether the samples of a step are histograms; or that, with a note, they are mixed.
func (in *windowed) pure(step int) (hists, mixed bool) {
	if len(in.H) == 0 {
		return false, false
	}
	floats, hists := in.kinds(in.lo[step], in.hi[step])
	if floats && hists {
		in.notes.warnf(in.at, textMixedForMetric, in.metric())
	}
	return hists, floats && hists
}

// borders returns the values at the borders of a window.
func (in *windowed) borders(e extent, isCounter bool) (left, right float64) {
	left, right = in.F[e.first], in.F[e.last]
	if in.smoothed && in.T[e.first] < e.start {
		left = in.between(e.first, e.start, isCounter)
	}
	if in.smoothed && in.T[e.last] > e.end {
		right = in.between(e.last-1, e.end, isCounter)
	}
	return left, right
}

// between returns the value at t on the line from the k-th sample to the next. After a reset a counter has grown from
// zero.
func (in *windowed) between(k int, t int64, isCounter bool) float64 {
	from, to := in.F[k], in.F[k+1]
	if isCounter && to < from {
		from = 0
	}
	return from + (to-from)*float64(t-in.T[k])/float64(in.T[k+1]-in.T[k])
}

func (in *windowed) extendedIncrease(e extent, isCounter bool) float64 {
	left, right := in.borders(e, isCounter)
	if !isCounter {
		return right - left
	}
	lost, before := 0.0, left
	for k := e.first; k <= e.last; k++ {
		if in.T[k] <= e.start || in.T[k] >= e.end {
			continue // The borders have taken care of it.
		}
		if in.F[k] < before {
			lost += before
		}
		before = in.F[k]
	}
	if right < before {
		lost += before
	}
	return right - left + lost
}

// extendedHistogram is extendedIncrease of histograms; nil if they do not go together.
func (in *windowed) extendedHistogram(e extent, isCounter bool) *histogram.FloatHistogram {
	if !in.fitting(in.H[e.first:e.last+1], isCounter) {
		return nil
	}
	left, right := in.H[e.first], in.H[e.last]
	if in.smoothed && in.T[e.first] < e.start {
		left = in.histogramBetween(e.first, e.start, isCounter)
	}
	if in.smoothed && in.T[e.last] > e.end {
		right = in.histogramBetween(e.last-1, e.end, isCounter)
	}
	if left == nil || right == nil {
		return nil
	}
	if !isCounter && (left.CounterResetHint != histogram.GaugeType || right.CounterResetHint != histogram.GaugeType) {
		in.notes.warnf(in.at, textNotGauge, in.metric())
	}
	sum := histogram.NewSum(right)
	if !in.addTo(&sum, left, -1, "subtraction") || isCounter && !in.addLost(&sum, e, left, right) {
		return nil
	}
	sum.Hint = histogram.GaugeType
	return sum.Histogram()
}

// fitting reports, with notes, whether histograms can be calculated with together.
func (in *windowed) fitting(hs []*histogram.FloatHistogram, isCounter bool) bool {
	for _, h := range hs {
		if h.UsesCustomBuckets() != hs[0].UsesCustomBuckets() {
			in.notes.warnf(in.at, textMixedSchemas, in.metric())
			return false
		}
		if isCounter && h.CounterResetHint == histogram.GaugeType {
			in.notes.warnf(in.at, textNotCounter, in.metric())
		}
	}
	return true
}

// addLost adds what a counter has lost by resets inside of the window; false means that it does not fit.
func (in *windowed) addLost(sum *histogram.Sum, e extent, left, right *histogram.FloatHistogram) bool {
	before, k := left, e.first+1
	if in.smoothed && in.T[e.first] < e.start && in.H[k].HasReset(in.H[k-1]) {
		// The left border lies behind this reset.
		before = in.H[k]
		k++
	}
	if k > e.last {
		return true // So does the right border.
	}
	for ; k < e.last; k++ {
		if in.H[k].HasReset(before) && !in.addTo(sum, before, 1, "addition") {
			return false
		}
		before = in.H[k]
	}
	return !right.HasReset(before) || in.addTo(sum, before, 1, "addition")
}

// histogramBetween is between of histograms; nil if they do not go together.
func (in *windowed) histogramBetween(k int, t int64, isCounter bool) *histogram.FloatHistogram {
	from, to := in.H[k], in.H[k+1]
	fraction := float64(t-in.T[k]) / float64(in.T[k+1]-in.T[k])
	switch {
	case fraction == 0:
		return from.Copy()
	case fraction == 1:
		return to.Copy()
	case isCounter && to.HasReset(from):
		return to.Scaled(fraction)
	}
	step := histogram.NewSum(to)
	if !in.addTo(&step, from, -1, "subtraction") {
		return nil
	}
	sum := histogram.NewSum(step.Histogram().Scaled(fraction))
	if !in.addTo(&sum, from, 1, "addition") {
		return nil
	}
	return sum.Histogram()
}

// smoothed yields at each step the value between the samples before and after it.
type smoothed struct {
	*source
	g plan.Grid
}

func (s *smoothed) series() []series { return s.out }

func (s *smoothed) row(ctx context.Context, w *worker, i int, dst *row) error {
	if err := s.read(ctx, w, i, false); err != nil {
		return err
	}
	if err := w.reset(dst, s.g.N); err != nil {
		return err
	}
	c := &w.cols
	w.in = windowed{
		windows: &w.windows, T: c.T, F: c.F, H: c.H, shift: s.n.Shift, g: s.g,
		at: spotOf(s.n, s.n.Pos()), of: &s.out[i], notes: &s.q.notes,
	}
	in := &w.in
	if err := in.find(w.ended, in.T, in.shift, s.q.Lookback, s.q.Lookback, in.g); err != nil {
		return err
	}
	return inPieces(w.ended, len(dst.F), func(from, to int) {
		for step := from; step < to; step++ {
			in.smooth(step, dst) // As upstream has it, these samples do not count.
		}
	})
}

// smooth puts the value of one step.
func (in *windowed) smooth(step int, dst *row) {
	lo, hi := int(in.lo[step]), int(in.hi[step])
	t := in.shift.Reference(in.g.At(step))
	next := in.after(lo, hi, t-1)
	exact := next < hi && in.T[next] == t
	hists, mixed := in.pure(step)
	switch {
	case mixed:
	case hists:
		if h := in.smoothHistogram(lo, next, hi, t, exact); h != nil {
			dst.setH(step, h)
		}
	case exact:
		dst.F[step] = in.F[next]
	case next == lo: // There is nothing before.
	case next < hi:
		dst.F[step] = in.between(next-1, t, false)
	default:
		dst.F[step] = in.F[next-1]
	}
}

// smoothHistogram is smooth of histograms; next is the first sample that is not before t.
func (in *windowed) smoothHistogram(lo, next, hi int, t int64, exact bool) *histogram.FloatHistogram {
	switch {
	case exact:
		return in.H[next].Copy()
	case next == lo:
		return nil
	case next == hi:
		h := in.H[next-1].Copy()
		h.CounterResetHint = histogram.UnknownCounterReset // The hint was about the sample, not about the value.
		return h
	}
	from, to := in.H[next-1], in.H[next]
	if from.UsesCustomBuckets() != to.UsesCustomBuckets() {
		in.notes.warnf(in.at, textMixedSchemas, in.metric())
		return nil
	}
	isCounter := from.CounterResetHint != histogram.GaugeType || to.CounterResetHint != histogram.GaugeType
	return in.histogramBetween(next-1, t, isCounter)
}

// extendedSamples returns the samples of an anchored or smoothed range selector by itself, with the values at its
// borders.
func (s *rawSamples) extendedSamples(w *worker) (points sample.Points, err error) {
	c, g := &w.cols, s.q.Grid.First()
	in := &windowed{windows: &windows{}, T: c.T, F: c.F, H: c.H, shift: s.n.Shift, length: s.n.Range, smoothed: s.n.Smoothed, g: g}
	before, after := s.n.Reach(s.q.Lookback)
	if err := in.find(w.ended, in.T, in.shift, before, after, g); err != nil {
		return points, err
	}
	if len(in.H) > 0 {
		if _, hists := in.kinds(in.lo[0], in.hi[0]); hists {
			modifier := "anchored"
			if s.n.Smoothed {
				modifier = "smoothed"
			}
			return points, fmt.Errorf("%s modifier is not supported with histograms", modifier)
		}
	}
	e, ok := in.extent(0)
	if !ok {
		return points, nil
	}
	left, right := in.borders(e, false)
	points.Append(sample.Sample{T: e.start, F: left})
	for k := e.first; k <= e.last; k++ {
		if t := in.T[k]; t > e.start && t < e.end {
			points.Append(sample.Sample{T: t, F: in.F[k]})
		}
	}
	points.Append(sample.Sample{T: e.end, F: right})
	return points, nil
}
