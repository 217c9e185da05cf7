package exec

import (
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
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
