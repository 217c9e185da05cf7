package exec

import (
	"context"
	"math"

	"github.com/narthex-io/narthex/internal/kahan"
)

// accumulator takes rows into groups. The cells of a group start at base, one for each step.
type accumulator interface {
	fold(base int, r *row, s *series)
	// result puts what the cells hold into a row of absent values.
	result(base int, dst *row) error
}

// sumCell is a sum, absent before the first value.
type sumCell struct{ kahan.Sum }

func newCells(ctx context.Context, n int) ([]sumCell, error) {
	cells := make([]sumCell, n)
	return cells, inPieces(ctx.Err, n, func(from, to int) {
		for i := from; i < to; i++ {
			cells[i].S = absent
		}
	})
}

type sumAcc struct {
	floats []sumCell
	hists  *histogramCells
}

func (a *sumAcc) fold(base int, r *row, s *series) {
	cells := a.floats[base : base+len(r.F)]
	for step, f := range r.F {
		if isAbsent(f) {
			continue
		}
		if h := r.hist(step); h != nil {
			a.hists.add(base+step, h, s, !isAbsent(cells[step].S))
			continue
		}
		switch c := &cells[step]; {
		case isAbsent(c.S):
			if !a.hists.broken(base + step) {
				c.S = f
			}
		default:
			c.Add(f)
		}
	}
}

func (a *sumAcc) result(base int, dst *row) error {
	for step := range dst.F {
		c := &a.floats[base+step]
		present := !isAbsent(c.S)
		if a.hists.any() && a.hists.result(base+step, present, step, dst) {
			continue
		}
		if present {
			dst.F[step] = c.Plain()
		}
	}
	return nil
}

type avgAcc struct {
	floats []mean
	hists  *histogramCells
}

func (a *avgAcc) fold(base int, r *row, s *series) {
	cells := a.floats[base : base+len(r.F)]
	for step, f := range r.F {
		if isAbsent(f) {
			continue
		}
		if h := r.hist(step); h != nil {
			a.hists.add(base+step, h, s, cells[step].count > 0)
			continue
		}
		if c := &cells[step]; c.count > 0 || !a.hists.broken(base+step) {
			c.add(f)
		}
	}
}

func (a *avgAcc) result(base int, dst *row) error {
	for step := range dst.F {
		c := &a.floats[base+step]
		if a.hists.any() && a.hists.result(base+step, c.count > 0, step, dst) {
			continue
		}
		if c.count > 0 {
			dst.F[step] = c.value()
		}
	}
	return nil
}

// extremeAcc finds the greatest value, or with sign -1 the smallest. NaN counts only if there is nothing else.
type extremeAcc struct {
	values []float64
	sign   float64
}

func (a *extremeAcc) fold(base int, r *row, _ *series) {
	cells := a.values[base : base+len(r.F)]
	for step, f := range r.F {
		if isAbsent(f) {
			continue
		}
		if c := cells[step]; math.IsNaN(c) || a.sign*f > a.sign*c {
			cells[step] = f
		}
	}
}

func (a *extremeAcc) result(base int, dst *row) error {
	copy(dst.F, a.values[base:base+len(dst.F)])
	return nil
}

// countAcc counts, or, as group, notes that there is something to count.
type countAcc struct {
	counts []float64
	group  bool
}

func (a *countAcc) fold(base int, r *row, _ *series) {
	cells := a.counts[base : base+len(r.F)]
	for step, f := range r.F {
		if !isAbsent(f) {
			cells[step]++
		}
	}
}

func (a *countAcc) result(base int, dst *row) error {
	for step := range dst.F {
		switch n := a.counts[base+step]; {
		case n == 0:
		case a.group:
			dst.F[step] = 1
		default:
			dst.F[step] = n
		}
	}
	return nil
}

// variance is Welford's: the mean so far and the sum of squared distances to it.
type variance struct{ count, mean, squares float64 }

type varianceAcc struct {
	cells []variance
	root  bool
}

func (a *varianceAcc) fold(base int, r *row, _ *series) {
	cells := a.cells[base : base+len(r.F)]
	for step, f := range r.F {
		if isAbsent(f) {
			continue
		}
		c := &cells[step]
		c.count++
		if c.count == 1 {
			c.mean = f
			if math.IsNaN(f) || math.IsInf(f, 0) {
				c.squares = math.NaN()
			}
			continue
		}
		delta := f - c.mean
		c.mean += delta / c.count
		c.squares += delta * (f - c.mean)
	}
}

func (a *varianceAcc) result(base int, dst *row) error {
	for step := range dst.F {
		c := &a.cells[base+step]
		if c.count == 0 {
			continue
		}
		dst.F[step] = c.squares / c.count
		if a.root {
			dst.F[step] = math.Sqrt(dst.F[step])
		}
	}
	return nil
}
