package exec

import (
	"sync/atomic"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql/plan"
)

// tally says how the samples of a part of a plan count in the statistics of the query, which are upstream's: of what
// the steps of a part look at, and of what is new at a step, not seen by the window of the step before. A part below a
// subquery or of a single step has other steps than the query.
type tally struct {
	// times is how often each sample counts at each of the steps in spread. It is zero below windows over subqueries:
	// there the values of the subquery count instead.
	times  int64
	spread spread
	// readAll says that all that is new counts, at whatever step.
	readAll bool
	// read returns the step of the query at which what is new at a step of the part counts, -1 for not at all. Nil stands
	// for the same step.
	read func(step int) int
}

// spread says at which steps of the query a sample counts that a step of a part looks at.
type spread uint8

const (
	sameStep spread = iota
	everyStep
	firstStep
)

// under makes t the tally of what is built from now on, until the function that it returns is called.
func (q *query) under(t *tally) func() {
	outer := q.tally
	q.tally = t
	return func() { q.tally = outer }
}

// readAt returns the step of the query for what is new at a step of the part.
func (t *tally) readAt(step int) int {
	if t.read == nil {
		return step
	}
	return t.read(step)
}

// invariant returns the tally of a part that is evaluated once for all steps of a grid.
func (t *tally) invariant(g plan.Grid) *tally {
	in := &tally{times: t.times, spread: t.spread, readAll: t.readAll, read: func(int) int { return t.readAt(0) }}
	switch t.spread {
	case sameStep:
		in.spread = everyStep
	case firstStep:
		in.times *= int64(g.N)
	}
	return in
}

// below returns the tally of what a subquery evaluates on the grid inner, for windows at the steps of g, or, if g is a
// single step of a query for the values themselves, for those.
func (t *tally) below(n *plan.Subquery, g, inner plan.Grid, windows bool) *tally {
	// Without gaps between the windows, one of them sees each step.
	in := &tally{readAll: t.readAll && (g.N <= 1 || n.At == nil && n.Range >= g.Step)}
	if !windows {
		in.times, in.spread = t.times, firstStep
	}
	in.read = func(i int) int {
		step, seen := 0, true
		if g.N > 1 {
			step, seen = seenAt(inner.At(i)+n.Offset, n.Range, g)
		}
		if !seen {
			return -1
		}
		return t.readAt(step)
	}
	return in
}

// seenAt returns the first step of a grid at or after a time; it reports whether the time is in the window of that
// length that ends there.
func seenAt(t, length int64, g plan.Grid) (int, bool) {
	step := 0
	if t > g.Start {
		step = min(int((t-g.Start+g.Step-1)/g.Step), g.N-1)
	}
	return step, t > g.At(step)-length
}

// counted remembers of which series the samples have been counted: a row may be calculated several times.
type counted []atomic.Bool

// rowTally counts the samples of one series.
type rowTally struct {
	q           *query
	t           *tally
	total, read int64
}

// tallyRow begins to count the i-th series; it returns nil if that has been done.
func (q *query) tallyRow(t *tally, done counted, i int) *rowTally {
	if done[i].Swap(true) {
		return nil
	}
	return &rowTally{q: q, t: t}
}

// add counts what a step looks at, and what of that is new.
func (r *rowTally) add(step int, looked, fresh int64) {
	if r == nil {
		return
	}
	r.total += looked
	if fresh == 0 && r.t.times == 0 {
		return
	}
	if r.t.readAll && r.q.perStep == nil {
		r.read += fresh
		return
	}
	at := r.t.readAt(step)
	if at >= 0 {
		r.read += fresh
	}
	if r.q.perStep != nil {
		r.addPerStep(step, looked, fresh, at)
	}
}

func (r *rowTally) addPerStep(step int, looked, fresh int64, readAt int) {
	looked *= r.t.times
	if looked > 0 {
		switch r.t.spread {
		case sameStep:
			r.q.perStep[step].Add(looked)
		case firstStep:
			r.q.perStep[0].Add(looked)
		case everyStep:
			for i := range r.q.perStep {
				r.q.perStep[i].Add(looked)
			}
		}
	}
	if readAt >= 0 {
		r.q.readPerStep[readAt].Add(fresh)
	}
}

// sumsSuffice reports whether everything new counts, and steps are not counted one by one.
func (r *rowTally) sumsSuffice() bool { return r.t.readAll && r.q.perStep == nil }

// addFloats counts, where sums suffice, how many floats all steps have looked at, and how many were new, and ends the
// counting.
func (r *rowTally) addFloats(looked, fresh int64) {
	if r == nil {
		return
	}
	r.total, r.read = looked, fresh
	r.done()
}

// done adds all to the statistics.
func (r *rowTally) done() {
	if r == nil {
		return
	}
	total := r.total * r.t.times
	if r.t.spread == everyStep {
		total *= int64(r.q.Grid.N)
	}
	r.q.total.Add(total)
	r.q.read.Add(r.read)
}

// sampleSize is what a sample counts: one for a float, more for a histogram, by its size in memory as upstream has it.
func sampleSize(h *histogram.FloatHistogram) int64 {
	if h == nil {
		return 1
	}
	const fixed = 168
	words := len(h.PositiveSpans) + len(h.NegativeSpans) + len(h.PositiveBuckets) + len(h.NegativeBuckets) + len(h.CustomValues)
	return int64(fixed+8*words+8) / 16
}
