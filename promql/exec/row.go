package exec

import (
	"math"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// series is the identity of a row.
type series struct {
	labels labels.Labels
	// dropName says that the metric name is dropped at the end of the query: names are removed late.
	dropName bool
}

// row holds the values of one series at the steps of a grid.
type row struct {
	// F has a value for each step, [absent] where there is none. Where H has a histogram, it is zero.
	F []float64
	// H is empty if no value is a histogram; else it is as long as F. The histograms may be shared.
	H []*histogram.FloatHistogram
	// lent is the memory for the histograms if the caller only looks at them, for they are gone soon. Without it, they stay
	// valid.
	lent *histogram.Arena
}

// absentBits is the pattern of the value that marks a step without a sample. It is that of a stale marker, which
// selectors never let through. It is a signalling NaN, so that no calculation can yield it either.
const absentBits uint64 = 0x7ff0000000000002

var absent = math.Float64frombits(absentBits) //nolint:gochecknoglobals // constant, but not in the eyes of the language

// isAbsent reports whether a step has no value.
func isAbsent(f float64) bool { return math.Float64bits(f) == absentBits }

// reset makes a row of n absent values.
func (r *row) reset(n int) {
	r.resize(n)
	for i := range r.F {
		r.F[i] = absent
	}
}

// resize makes a row of n values, whatever they are, without histograms.
func (r *row) resize(n int) {
	if cap(r.F) < n {
		r.F = make([]float64, n)
	}
	r.F = r.F[:n]
	clear(r.H)
	r.H = r.H[:0]
}

// reset makes a row of n absent values, unless there are many and the query ends meanwhile.
func (w *worker) reset(r *row, n int) error { return r.resetUnless(w.ended, n) }

// resetUnless makes a row of n absent values, unless there are many and the query ends meanwhile.
func (r *row) resetUnless(ended func() error, n int) error {
	r.resize(n)
	return inPieces(ended, n, func(from, to int) {
		piece := r.F[from:to]
		for i := range piece {
			piece[i] = absent
		}
	})
}

// part returns some of the steps of a row, in the same memory.
func (r *row) part(from, to int) *row {
	if from == 0 && to == len(r.F) {
		return r
	}
	p := &row{F: r.F[from:to]}
	if len(r.H) > 0 {
		p.H = r.H[from:to]
	}
	return p
}

// setH puts a histogram that is in memory of its own, or of [worker.memory].
func (r *row) setH(i int, h *histogram.FloatHistogram) {
	if len(r.H) == 0 {
		if n := len(r.F); cap(r.H) < n {
			r.H = make([]*histogram.FloatHistogram, n)
		} else {
			r.H = r.H[:n]
			clear(r.H)
		}
	}
	r.F[i], r.H[i] = 0, h
}

// hist returns the histogram at a step, or nil.
func (r *row) hist(i int) *histogram.FloatHistogram {
	if len(r.H) == 0 {
		return nil
	}
	return r.H[i]
}

// drop removes the value at a step.
func (r *row) drop(i int) {
	r.F[i] = absent
	if len(r.H) > 0 {
		r.H[i] = nil
	}
}

// put copies the value at a step of another row.
func (r *row) put(i int, from *row, j int) {
	if h := from.hist(j); h != nil {
		r.setH(i, h)
		return
	}
	r.F[i] = from.F[j]
	if len(r.H) > 0 {
		r.H[i] = nil
	}
}

// copyFrom makes r equal to another row, unless that is a long one and the query ends meanwhile.
func (r *row) copyFrom(ended func() error, from *row) error {
	r.F = roomFor(r.F, len(from.F))
	err := inPieces(ended, len(from.F), func(first, last int) { r.F = append(r.F, from.F[first:last]...) })
	clear(r.H)
	r.H = append(r.H[:0], from.H...)
	return err
}

// clone returns a copy of its own memory.
func (r *row) clone(ended func() error) (row, error) {
	var c row
	err := c.copyFrom(ended, r)
	return c, err
}

// count returns the number of values.
func (r *row) count() int {
	n := 0
	for _, f := range r.F {
		if !isAbsent(f) {
			n++
		}
	}
	return n
}
