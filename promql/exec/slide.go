package exec

import (
	"math"
	"slices"
)

// slides reports whether the windows overlap so much that it pays to prepare something for all of them.
func (in *windowed) slides() bool {
	looked := 0
	for i := range in.lo {
		if looked += int(in.hi[i] - in.lo[i]); looked > 2*len(in.F) {
			return true
		}
	}
	return false
}

// double is a number of twice the precision: the sum of both, lo being what rounding has taken from hi.
type double struct{ hi, lo float64 }

// twoSum returns a sum without any error.
func twoSum(a, b float64) double {
	s := float64(a + b)
	part := float64(s - a)
	return double{s, float64(a-float64(s-part)) + float64(b-part)}
}

func (d double) plus(o double) double {
	s := twoSum(d.hi, o.hi)
	s.lo += float64(d.lo + o.lo)
	hi := float64(s.hi + s.lo)
	return double{hi, s.lo - float64(hi-s.hi)}
}

func (d double) minus(o double) double { return d.plus(double{-o.hi, -o.lo}) }

func (d double) times(o double) double {
	p := float64(d.hi * o.hi)
	low := math.FMA(d.hi, o.hi, -p) + (d.hi*o.lo + d.lo*o.hi)
	return twoSum(p, low)
}

// runningSums are the sums of the first i numbers, for each i, in double precision.
type runningSums struct {
	sums []double
	// largest is the largest size of a sum, by which errors are measured.
	largest float64
}

// reset makes room for the sums of n numbers.
func (r *runningSums) reset(n int) {
	r.sums, r.largest = append(roomFor(r.sums, n+1), double{}), 0
}

func (r *runningSums) add(d double) {
	sum := r.sums[len(r.sums)-1].plus(d)
	r.sums = append(r.sums, sum)
	r.largest = max(r.largest, math.Abs(sum.hi))
}

func (r *runningSums) between(lo, hi int32) double { return r.sums[hi].minus(r.sums[lo]) }

// trusts reports whether a difference of sums is large enough for their errors not to matter: a sum of n numbers is
// off by some n·2⁻¹⁰⁵ of the largest, which leaves more than a dozen decimal digits.
func (r *runningSums) trusts(v float64) bool { return math.Abs(v) > r.largest*0x1p-50 }

// slideSums calculates sums, divided by the number of samples for averages, from running sums, if windows overlap; f is for the windows of
// which the sum is too small for that. It reports false, having done nothing, if a value is not finite.
func (in *windowed) slideSums(dst *row, average bool, f func(values []float64) float64) (done bool, err error) {
	if !in.slides() {
		return false, nil
	}
	r := &in.w.sums
	r.reset(len(in.F))
	for i, v := range in.F {
		if i%pieceSteps == pieceSteps-1 {
			if err := in.w.ended(); err != nil {
				return false, err
			}
		}
		r.add(double{hi: v})
	}
	if !isFinite(r.largest) || !isFinite(r.sums[len(r.sums)-1].hi) {
		return false, nil
	}
	for i := range dst.F {
		lo, hi := in.lo[i], in.hi[i]
		if lo == hi {
			continue
		}
		sum := r.between(lo, hi)
		switch {
		case !r.trusts(sum.hi):
			dst.F[i] = f(in.F[lo:hi])
			if err := in.worked(hi - lo); err != nil {
				return false, err
			}
		case average:
			n := float64(hi - lo)
			dst.F[i] = sum.hi/n + sum.lo/n
		default:
			dst.F[i] = sum.hi
		}
	}
	return true, nil
}

// slideVariances calculates variances, or standard deviations, from running sums of the distances to the first value
// and of their squares. A window whose values lie too close together is left to varianceOf, whose rounding errors are
// then part of the result; so are series of whole numbers, where an error of rounding decides whether a threshold is met.
// It reports false, having done nothing, if a value is not finite either.
func (in *windowed) slideVariances(dst *row, finish func(float64) float64) (done bool, err error) {
	if !in.slides() || !slices.ContainsFunc(in.F, func(v float64) bool { return v != math.Trunc(v) }) {
		return false, nil
	}
	sums, squares := &in.w.sums, &in.w.squares
	sums.reset(len(in.F))
	squares.reset(len(in.F))
	origin := in.F[0]
	for i, v := range in.F {
		if i%pieceSteps == pieceSteps-1 {
			if err := in.w.ended(); err != nil {
				return false, err
			}
		}
		d := twoSum(v, -origin)
		sums.add(d)
		squares.add(d.times(d))
	}
	if !isFinite(squares.largest) || !isFinite(squares.sums[len(squares.sums)-1].hi) {
		return false, nil
	}
	changed, next := int32(0), int32(1)
	for i := range dst.F {
		lo, hi := in.lo[i], in.hi[i]
		if lo == hi {
			continue
		}
		for ; next < hi; next++ {
			if in.F[next] != in.F[next-1] {
				changed = next
			}
		}
		if changed <= lo {
			dst.F[i] = 0
			continue
		}
		n := float64(hi - lo)
		sum := sums.between(lo, hi)
		mean := sum.hi / n
		correction := sum.times(sum)
		correction = double{correction.hi / n, math.FMA(-correction.hi/n, n, correction.hi)/n + correction.lo/n}
		total := squares.between(lo, hi).minus(correction).hi
		variance, level := total/n, origin+mean
		if !(total > squares.largest*0x1p-40) || !(variance > level*level*1e-8) {
			dst.F[i] = finish(varianceOf(in.F[lo:hi]))
			if err := in.worked(2 * (hi - lo)); err != nil {
				return false, err
			}
			continue
		}
		dst.F[i] = finish(variance)
	}
	return true, nil
}
