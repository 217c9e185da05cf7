package exec

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/narthex-io/narthex/internal/kahan"
)

// maxExact is the size up to which sums of whole numbers are exact.
const maxExact = 1 << 53

// prefixSums returns the sums of the first i values, for each i, if all of them are exact and windows overlap.
func (in *windowed) prefixSums() (sums []float64, exact bool, err error) {
	if !in.slides() {
		return nil, false, nil
	}
	var sum, size float64
	in.w.floats = roomFor(in.w.floats, len(in.F)+1)
	sums = append(in.w.floats, 0)
	for i, f := range in.F {
		if i%pieceSteps == pieceSteps-1 {
			if err := in.w.ended(); err != nil {
				return nil, false, err
			}
		}
		size += math.Abs(f)
		if f != math.Trunc(f) || !(size < maxExact) {
			return nil, false, nil
		}
		sum += f
		sums = append(sums, sum)
	}
	return sums, true, nil
}

// sums is the kernel of sum_over_time and avg_over_time; f returns the sum or average of one window. Fast path: where windows
// overlap, sums are differences of running sums, which are exact for whole numbers, and of twice the precision for others.
func sums(average bool, f func(values []float64) float64) kernel {
	return func(in *windowed, dst *row) error {
		if len(in.H) > 0 {
			return in.aggregateHistograms(average, dst)
		}
		running, exact, err := in.prefixSums()
		if err != nil {
			return err
		}
		if !exact {
			if done, err := in.slideSums(dst, average, f); done || err != nil {
				return err
			}
			return in.each(dst, f)
		}
		for i := range dst.F {
			lo, hi := in.lo[i], in.hi[i]
			if lo == hi {
				continue
			}
			dst.F[i] = running[hi] - running[lo]
			if average {
				dst.F[i] /= float64(hi - lo)
			}
		}
		return nil
	}
}

// each calls f with the values of each window that is not empty.
func (in *windowed) each(dst *row, f func(values []float64) float64) error {
	for i := range dst.F {
		lo, hi := in.lo[i], in.hi[i]
		if lo == hi {
			continue
		}
		if err := in.worked(hi - lo); err != nil {
			return err
		}
		dst.F[i] = f(in.F[lo:hi])
	}
	return nil
}

// compensatedSum is [kahan.Sum] as a loop without branches. The result is wrong if the sum is not finite.
func compensatedSum(values []float64) (sum, c float64) {
	for _, f := range values {
		t := sum + f
		part := t - sum
		c += (sum - (t - part)) + (f - part)
		sum = t
	}
	return sum, c
}

func isFinite(f float64) bool { return f-f == 0 }

func sumOf(values []float64) float64 {
	if sum, c := compensatedSum(values); isFinite(sum) {
		return sum + c
	}
	var sum kahan.Sum
	for _, f := range values {
		sum.Add(f)
	}
	return sum.Value()
}

func avgOf(values []float64) float64 {
	if sum, c := compensatedSum(values); isFinite(sum) {
		n := float64(len(values))
		return sum/n + c/n
	}
	var m mean
	for _, f := range values {
		m.add(f)
	}
	return m.value()
}

func varianceOf(values []float64) float64 {
	var mean, squares kahan.Sum
	for i, f := range values {
		delta := f - mean.Plain()
		mean.Add(delta / float64(i+1))
		squares.Add(delta * (f - mean.Plain()))
	}
	return squares.Plain() / float64(len(values))
}

// spreadOverTime is the kernel of the variance, or of what finish makes of it.
func spreadOverTime(finish func(variance float64) float64) kernel {
	return func(in *windowed, dst *row) error {
		if done, err := in.slideVariances(dst, finish); done || err != nil {
			return err
		}
		return in.each(dst, func(values []float64) float64 { return finish(varianceOf(values)) })
	}
}

func countOverTime(in *windowed, dst *row) error {
	for i := range dst.F {
		if n := in.hi[i] - in.lo[i]; n > 0 {
			dst.F[i] = float64(n)
		}
	}
	return nil
}

func presentOverTime(in *windowed, dst *row) error {
	for i := range dst.F {
		if in.hi[i] > in.lo[i] {
			dst.F[i] = 1
		}
	}
	return nil
}

// pick is the kernel of functions that return one sample of the window: the last one or the first.
func pick(last bool) kernel {
	return func(in *windowed, dst *row) error {
		copies := copier{to: in.w.memory(dst), from: -1}
		for i := range dst.F {
			lo, hi := in.lo[i], in.hi[i]
			if lo == hi {
				continue
			}
			k := lo
			if last {
				k = hi - 1
			}
			if len(in.H) > 0 && in.H[k] != nil {
				dst.setH(i, copies.of(in.H[k], int(k)))
			} else {
				dst.F[i] = in.F[k]
			}
		}
		return nil
	}
}

// pickTime is pick for the sample's time in seconds.
func pickTime(last bool) kernel {
	return func(in *windowed, dst *row) error {
		for i := range dst.F {
			lo, hi := in.lo[i], in.hi[i]
			if lo == hi {
				continue
			}
			k := lo
			if last {
				k = hi - 1
			}
			dst.F[i] = float64(in.T[k]) / 1000
		}
		return nil
	}
}

// extreme is the kernel of functions that look for the greatest value, or with sign -1 for the smallest. NaN counts
// only if there is nothing else. It keeps the candidates of a window in a queue in which each is better than those
// behind it.
func extreme(sign float64, wantTime bool) kernel {
	return func(in *windowed, dst *row) error {
		if !wantTime && !in.slides() {
			return in.each(dst, func(values []float64) float64 { return extremeOf(sign, values) })
		}
		queue, head, next := in.w.order[:0], 0, int32(0)
		for i := range dst.F {
			lo, hi := in.lo[i], in.hi[i]
			for ; next < hi; next++ {
				if next%pieceSteps == pieceSteps-1 {
					if err := in.w.ended(); err != nil {
						return err
					}
				}
				if math.IsNaN(in.F[next]) {
					continue
				}
				for len(queue) > head && beats(sign*in.F[next], sign*in.F[queue[len(queue)-1]], wantTime) {
					queue = queue[:len(queue)-1]
				}
				queue = append(queue, next)
			}
			for head < len(queue) && queue[head] < lo {
				head++
			}
			switch {
			case lo == hi:
				continue
			case head < len(queue) && wantTime:
				dst.F[i] = float64(in.T[queue[head]]) / 1000
			case head < len(queue):
				dst.F[i] = in.F[queue[head]]
			case wantTime:
				dst.F[i] = float64(in.T[hi-1]) / 1000
			default:
				dst.F[i] = in.F[lo]
			}
		}
		in.w.order = queue
		return nil
	}
}

// extremeOf is extreme of one window.
func extremeOf(sign float64, values []float64) float64 {
	best := values[0]
	for _, v := range values {
		if sign*v > sign*best || math.IsNaN(best) {
			best = v
		}
	}
	return best
}

// beats reports whether a later value takes the place of an earlier one; orEqual, whether the last of equals wins.
func beats(later, earlier float64, orEqual bool) bool {
	return later > earlier || orEqual && later == earlier
}

// countSteps is the kernel of functions that count the samples that are related in some way to the one before them.
func countSteps(hit func(in *windowed, i int) bool) kernel {
	return func(in *windowed, dst *row) error {
		counts, n := append(roomFor(in.w.order, len(in.F)+1), 0), int32(0)
		for i := 1; i < len(in.F); i++ {
			if i%pieceSteps == pieceSteps-1 {
				if err := in.w.ended(); err != nil {
					return err
				}
			}
			if hit(in, i) {
				n++
			}
			counts = append(counts, n)
		}
		in.w.order = counts
		for i := range dst.F {
			lo, hi := in.lo[i], in.hi[i]
			if in.anchored {
				lo, hi = in.anchoredAt(i)
			}
			if lo < hi {
				dst.F[i] = float64(counts[hi-1] - counts[lo])
			}
		}
		return nil
	}
}

// changed reports whether sample i differs from the one before it.
func changed(in *windowed, i int) bool {
	if len(in.H) > 0 && (in.H[i] != nil || in.H[i-1] != nil) {
		return in.H[i] == nil || in.H[i-1] == nil || !in.H[i].Same(in.H[i-1])
	}
	a, b := in.F[i-1], in.F[i]
	return a != b && !(math.IsNaN(a) && math.IsNaN(b))
}

// wasReset reports whether a counter starts anew with sample i.
func wasReset(in *windowed, i int) bool {
	if len(in.H) > 0 && (in.H[i] != nil || in.H[i-1] != nil) {
		return in.H[i] == nil || in.H[i-1] == nil || in.startedAnew(i) || in.H[i].HasReset(in.H[i-1])
	}
	return in.F[i] < in.F[i-1] || in.startedAnew(i)
}

// quantileOverTime keeps the values of the window sorted while it moves.
func quantileOverTime(in *windowed, dst *row) error {
	sorted, from, to := in.w.floats[:0], int32(0), int32(0)
	for i := range dst.F {
		lo, hi := in.lo[i], in.hi[i]
		if lo == hi {
			continue
		}
		q := in.args[0][i]
		if math.IsNaN(q) || q < 0 || q > 1 {
			in.notes.warnf(in.first, "quantile value should be between 0 and 1, got %g", q)
		}
		if moved := int(lo-from) + int(hi-to); lo >= to || moved*4 > int(hi-lo) {
			sorted = append(sorted[:0], in.F[lo:hi]...)
			if err := sortFloats(in.w.ended, sorted); err != nil {
				return err
			}
			if err := in.worked(8 * (hi - lo)); err != nil { // Sorting takes longer than looking.
				return err
			}
		} else {
			for ; from < lo; from++ {
				at, _ := slices.BinarySearchFunc(sorted, in.F[from], cmp.Compare[float64])
				sorted = slices.Delete(sorted, at, at+1)
			}
			for ; to < hi; to++ {
				at, _ := slices.BinarySearchFunc(sorted, in.F[to], cmp.Compare[float64])
				sorted = slices.Insert(sorted, at, in.F[to])
			}
		}
		// Each sample that comes or goes moves those behind it.
		moved := int64(lo-from) + int64(hi-to) + 1
		if err := in.worked(int32(min(moved*(1+int64(hi-lo)/16), workSamples))); err != nil {
			return err
		}
		from, to = lo, hi
		dst.F[i] = quantileOfSorted(q, sorted)
	}
	in.w.floats = sorted
	return nil
}

// madOverTime is the median of the distances to the median.
func madOverTime(in *windowed, dst *row) error {
	var ended error
	err := in.each(dst, func(values []float64) float64 {
		sorted := append(in.w.floats[:0], values...)
		in.w.floats = sorted
		if slices.ContainsFunc(sorted, math.IsNaN) {
			return math.NaN()
		}
		ended = cmp.Or(ended, sortFloats(in.w.ended, sorted))
		median := quantileOfSorted(0.5, sorted)
		for i, f := range sorted {
			sorted[i] = math.Abs(f - median)
		}
		ended = cmp.Or(ended, sortFloats(in.w.ended, sorted), in.worked(16*int32(len(values))))
		return quantileOfSorted(0.5, sorted)
	})
	return cmp.Or(ended, err)
}

// deriv is the slope of the line through the samples of the window.
func deriv(in *windowed, dst *row) error {
	for i := range dst.F {
		if lo, hi := in.lo[i], in.hi[i]; hi-lo >= 2 {
			dst.F[i], _ = regression(in.T[lo:hi], in.F[lo:hi], in.T[lo])
			if err := in.worked(4 * (hi - lo)); err != nil {
				return err
			}
		}
	}
	return nil
}

// predictLinear continues that line into the future.
func predictLinear(in *windowed, dst *row) error {
	for i := range dst.F {
		if lo, hi := in.lo[i], in.hi[i]; hi-lo >= 2 {
			slope, intercept := regression(in.T[lo:hi], in.F[lo:hi], in.g.At(i))
			dst.F[i] = slope*in.args[0][i] + intercept
			if err := in.worked(4 * (hi - lo)); err != nil {
				return err
			}
		}
	}
	return nil
}

// regression returns the line with the least squares through the samples: its slope a second and its value at origin.
func regression(ts []int64, values []float64, origin int64) (slope, intercept float64) {
	var sumX, sumY, sumXY, sumX2 kahan.Sum
	constant := true
	for i, y := range values {
		constant = constant && y == values[0]
		x := float64(ts[i]-origin) / 1e3
		sumX.Add(x)
		sumY.Add(y)
		sumXY.Add(x * y)
		sumX2.Add(x * x)
	}
	if constant {
		if math.IsInf(values[0], 0) {
			return math.NaN(), math.NaN()
		}
		return 0, values[0]
	}
	n := float64(len(values))
	x, y := sumX.Plain(), sumY.Plain()
	covariance := sumXY.Plain() - x*y/n
	variance := sumX2.Plain() - x*x/n
	slope = covariance / variance
	return slope, y/n - slope*x/n
}

// smoothing is double exponential smoothing, after Holt and Winters.
func smoothing(in *windowed, dst *row) error {
	for i := range dst.F {
		lo, hi := in.lo[i], in.hi[i]
		if hi-lo < 2 {
			continue
		}
		dst.F[i] = smooth(in.F[lo:hi], in.args[0][i], in.args[1][i])
		if err := in.worked(2 * (hi - lo)); err != nil {
			return err
		}
	}
	return nil
}

// validFactors checks the two factors of double exponential smoothing.
func validFactors(args [][]float64, step int) error {
	if sf := args[0][step]; sf <= 0 || sf >= 1 {
		return fmt.Errorf("invalid smoothing factor. Expected: 0 < sf < 1, got: %f", sf)
	}
	if tf := args[1][step]; tf <= 0 || tf >= 1 {
		return fmt.Errorf("invalid trend factor. Expected: 0 < tf < 1, got: %f", tf)
	}
	return nil
}

func smooth(values []float64, sf, tf float64) float64 {
	before, level, trend := 0.0, values[0], values[1]-values[0]
	for i, f := range values[1:] {
		if i > 0 {
			trend = tf*(level-before) + (1-tf)*trend
		}
		before, level = level, sf*f+(1-sf)*(level+trend)
	}
	return level
}
