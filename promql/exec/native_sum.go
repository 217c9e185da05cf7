package exec

import (
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/promql/plan"
)

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
