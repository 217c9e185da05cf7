package exec

import (
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/plan"
)

func (in *windowed) histogramRates(_, _ bool, _ *Row) error {
	return unsupported("a rate of native histograms")
}

func (in *windowed) lastTwoHistograms(_ int, _ bool, _ *Row) error {
	return unsupported("a rate of native histograms")
}

func (in *windowed) aggregateHistograms(_ bool, _ *Row) error {
	return unsupported("a sum or average of native histograms over time")
}

// sameHistogram reports whether two histograms hold the same, whatever is known about resets.
func sameHistogram(a, b *histogram.FloatHistogram) bool {
	return a.Schema == b.Schema && a.Count == b.Count && a.Sum == b.Sum && a.ZeroCount == b.ZeroCount &&
		a.ZeroThreshold == b.ZeroThreshold && slices.Equal(a.CustomValues, b.CustomValues) &&
		slices.Equal(a.PositiveSpans, b.PositiveSpans) && slices.Equal(a.NegativeSpans, b.NegativeSpans) &&
		slices.Equal(a.PositiveBuckets, b.PositiveBuckets) && slices.Equal(a.NegativeBuckets, b.NegativeBuckets)
}

func histogramReset(cur, prev *histogram.FloatHistogram) bool {
	return cur.CounterResetHint == histogram.CounterReset || cur.Count < prev.Count
}

// scaled returns a histogram with everything multiplied.
func scaled(h *histogram.FloatHistogram, factor float64) *histogram.FloatHistogram {
	c := h.Copy()
	c.ZeroCount *= factor
	c.Count *= factor
	c.Sum *= factor
	for i := range c.PositiveBuckets {
		c.PositiveBuckets[i] *= factor
	}
	for i := range c.NegativeBuckets {
		c.NegativeBuckets[i] *= factor
	}
	if factor < 0 {
		c.CounterResetHint = histogram.GaugeType
	}
	return c
}

func histogramText(*histogram.FloatHistogram) string { return "" }

type histogramCells struct{ seen bool }

func (q *query) histogramCells(*plan.Aggregate) *histogramCells { return &histogramCells{} }

func (c *histogramCells) any() bool { return c.seen }

func (c *histogramCells) add(int, *histogram.FloatHistogram) { c.seen = true }

func (c *histogramCells) result(_ int, _ bool, _ int, _ *Row) (bool, error) {
	return false, unsupported("an aggregation of native histograms")
}

func (q *query) histogramBinop(_ *plan.Binary, _, _ value) (value, outcome, error) {
	return value{}, impossible, unsupported("a binary operator with native histograms")
}
