package exec

import "slices"

// quantileAcc keeps all values, for there is no exact quantile without them.
type quantileAcc struct {
	q *query
	// steps is the number of steps of the grid, phi the quantile at each.
	steps int
	phi   []float64
	// kept is what each group has been given.
	kept [][]keptValues
	// free is memory that short ones are cut from, tile memory for the values of some steps.
	free  []float64
	tile  [tileSteps][]float64
	ended func() error
	err   error
}

// keptValues are those of a series, or of a part of its steps, from the first that there is to the last.
type keptValues struct {
	// from is the step of the first, present how many there are.
	from, present int
	values        []float64
}

// tileSteps is the number of steps whose values are gathered together: those that lie side by side in a cache line.
const tileSteps = 8

func (a *quantileAcc) fold(base int, r *row, _ *series) {
	from, to := 0, len(r.F)
	for from < to && isAbsent(r.F[from]) {
		from++
	}
	for from < to && isAbsent(r.F[to-1]) {
		to--
	}
	if from == to {
		return
	}
	n := r.part(from, to).count()
	group := base / a.steps
	a.kept[group] = append(a.kept[group], keptValues{base%a.steps + from, n, a.copyOf(r.F[from:to])})
	if err := a.q.hold(n); err != nil {
		a.err = err
	}
}

func (a *quantileAcc) copyOf(values []float64) []float64 {
	if len(values) > blockValues/4 {
		return slices.Clone(values)
	}
	if len(a.free) < len(values) {
		a.free = make([]float64, blockValues)
	}
	c := a.free[:len(values):len(values)]
	a.free = a.free[len(values):]
	copy(c, values)
	return c
}

func (a *quantileAcc) result(base int, dst *row) error {
	if a.err != nil {
		return a.err
	}
	group := base / a.steps
	all, near := a.kept[group], []keptValues(nil)
	for from := 0; from < len(dst.F); from += tileSteps {
		if from%pieceSteps == 0 {
			near = overlapping(near[:0], all, from, from+pieceSteps)
		}
		to := min(from+tileSteps, len(dst.F))
		gather(&a.tile, near, from, to)
		for step := from; step < to; step++ {
			values := a.tile[step-from]
			if len(values) == 0 {
				continue
			}
			if err := sortFloats(a.ended, values); err != nil {
				return err
			}
			dst.F[step] = quantileOfSorted(a.phi[step], values)
		}
	}
	held := 0
	for _, s := range all {
		held += s.present
	}
	a.q.release(held)
	a.kept[group] = nil
	return nil
}

// overlapping appends those that have values at steps from (included) to (excluded).
func overlapping(to, all []keptValues, first, last int) []keptValues {
	for _, s := range all {
		if s.from < last && first < s.from+len(s.values) {
			to = append(to, s)
		}
	}
	return to
}

// gather collects the values of each of some steps, from (included) to (excluded).
func gather(tile *[tileSteps][]float64, all []keptValues, from, to int) {
	for i := range tile {
		tile[i] = tile[i][:0]
	}
	for _, s := range all {
		for step := max(from, s.from); step < min(to, s.from+len(s.values)); step++ {
			if f := s.values[step-s.from]; !isAbsent(f) {
				tile[step-from] = append(tile[step-from], f)
			}
		}
	}
}
