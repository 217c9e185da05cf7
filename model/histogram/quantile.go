package histogram

import (
	"math"

	"github.com/narthex-io/narthex/internal/kahan"
)

// part is a bucket, or what the zero bucket leaves of it, whose borders are calculated when they are needed.
type part struct {
	index int32
	// sign is that of the observations, zero for the zero bucket.
	sign  int8
	count float64
}

// parts appends all buckets, ascending. A zero bucket that a subtraction made negative, or a division
// something that is no number, does not count.
func (h *FloatHistogram) parts(all []part) []part {
	each(h.NegativeSpans, h.NegativeBuckets, func(index int32, n float64) { all = append(all, part{index, -1, n}) })
	for i, k := 0, len(all)-1; i < k; i, k = i+1, k-1 {
		all[i], all[k] = all[k], all[i]
	}
	if zero := h.zeros(); zero > 0 {
		all = append(all, part{0, 0, zero})
	}
	each(h.PositiveSpans, h.PositiveBuckets, func(index int32, n float64) { all = append(all, part{index, 1, n}) })
	return all
}

// borders returns where a bucket begins and ends, without what the zero bucket covers.
func (h *FloatHistogram) borders(p part) (lower, upper float64) {
	if p.sign == 0 {
		return -h.ZeroThreshold, h.ZeroThreshold
	}
	bound := func(index int32) float64 {
		if h.UsesCustomBuckets() {
			return customBound(h.CustomValues, index)
		}
		return Bound(h.Schema, index)
	}
	lower, upper = bound(p.index-1), bound(p.index)
	if p.sign < 0 {
		lower, upper = -upper, -lower
	}
	switch {
	case lower > 0 && lower < h.ZeroThreshold:
		lower = h.ZeroThreshold
	case upper < 0 && upper > -h.ZeroThreshold:
		upper = -h.ZeroThreshold
	}
	return lower, upper
}

// NaNEffect says what observations that are not numbers, which count without being in a bucket, did to a quantile.
type NaNEffect uint8

const (
	// NaNNone means that there are none.
	NaNNone NaNEffect = iota
	// NaNResult means that the quantile is one of them.
	NaNResult
	// NaNSkewed means that the quantile is higher than it would be without them.
	NaNSkewed
)

// partsOnStack is the number of buckets up to which no memory is allocated for them.
const partsOnStack = 48

// Quantile returns the φ-quantile. Between the borders of a bucket it interpolates, in exponential ones on a
// logarithmic scale.
func (h *FloatHistogram) Quantile(phi float64) (float64, NaNEffect) {
	switch {
	case phi < 0:
		return math.Inf(-1), NaNNone
	case phi > 1:
		return math.Inf(1), NaNNone
	case h.Count == 0 || math.IsNaN(phi):
		return math.NaN(), NaNNone
	}
	var buf [partsOnStack]part
	all := h.parts(buf[:0])
	// The search goes from the nearer end, but NaNs are at the far end.
	forward := math.IsNaN(h.Sum) || phi < 0.5
	rank := phi * h.Count
	if !forward {
		rank = (1 - phi) * h.Count
	}
	var k part
	count, next := 0.0, 0
	for next < len(all) {
		k = all[next]
		if !forward {
			k = all[len(all)-1-next]
		}
		next++
		if k.count == 0 {
			continue
		}
		if count += k.count; count >= rank {
			break
		}
	}
	lower, upper, v, done := h.quantileBorders(k, len(all) > 0)
	if done {
		return v, NaNNone
	}
	if count = min(count, h.Count); count < rank {
		if math.IsNaN(h.Sum) {
			return math.NaN(), NaNResult
		}
		return upper, NaNNone
	}
	if forward {
		rank -= count - k.count
	} else {
		rank = count - rank
	}
	effect := NaNNone
	if math.IsNaN(h.Sum) {
		for _, b := range all[next:] {
			count += b.count
		}
		if count < h.Count {
			effect = NaNSkewed
		}
	}
	return h.interpolate(lower, upper, rank/k.count), effect
}

// quantileBorders narrows the zero bucket if only one sign was observed, and deals with custom buckets without a
// border: the result is done if nothing can be interpolated.
func (h *FloatHistogram) quantileBorders(k part, found bool) (lower, upper, v float64, done bool) {
	if found {
		lower, upper = h.borders(k)
	}
	switch {
	case !h.UsesCustomBuckets():
		if lower < 0 && upper > 0 {
			lower, upper = h.narrowZero(lower, upper)
		}
	case math.IsInf(lower, -1) && upper <= 0:
		return lower, upper, upper, true
	case math.IsInf(lower, -1):
		lower = 0
	case math.IsInf(upper, 1):
		return lower, upper, lower, true
	}
	return lower, upper, 0, false
}

// narrowZero cuts the zero bucket down to the sign of the observations, if there is only one.
func (h *FloatHistogram) narrowZero(lower, upper float64) (float64, float64) {
	switch {
	case len(h.NegativeBuckets) == 0 && len(h.PositiveBuckets) > 0:
		return 0, upper
	case len(h.PositiveBuckets) == 0 && len(h.NegativeBuckets) > 0:
		return lower, 0
	default:
		return lower, upper
	}
}

func (h *FloatHistogram) interpolate(lower, upper, fraction float64) float64 {
	if h.UsesCustomBuckets() || lower <= 0 && upper >= 0 {
		return lower + (upper-lower)*fraction
	}
	low, high := math.Log2(math.Abs(lower)), math.Log2(math.Abs(upper))
	if lower > 0 {
		return math.Exp2(low + (high-low)*fraction)
	}
	return -math.Exp2(high + (low-high)*(1-fraction))
}

// partBelow returns the part of a bucket's observations that lie below v, which is inside of it.
func partBelow(lower, upper, v float64, linear bool) float64 {
	if linear {
		if math.IsInf(lower, -1) {
			return 1
		}
		return (v - lower) / (upper - lower)
	}
	low, high, at := math.Log2(math.Abs(lower)), math.Log2(math.Abs(upper)), math.Log2(math.Abs(v))
	if v > 0 {
		return (at - low) / (high - low)
	}
	return 1 - (at-high)/(low-high)
}

// Fraction returns the part of the observations that lies between two values, and whether there are some that are not
// numbers, and lie nowhere.
func (h *FloatHistogram) Fraction(lower, upper float64) (f float64, nans bool) {
	switch {
	case h.Count == 0 || math.IsNaN(lower) || math.IsNaN(upper):
		return math.NaN(), false
	case lower >= upper:
		return 0, false
	}
	var buf [partsOnStack]part
	all := h.parts(buf[:0])
	total := h.Count
	if math.IsNaN(h.Sum) {
		total = 0
		for _, k := range all {
			total += k.count
		}
		nans = total < h.Count
	}
	return (h.rank(all, upper, total) - h.rank(all, lower, total)) / h.Count, nans
}

// rank returns how many observations lie below v.
func (h *FloatHistogram) rank(all []part, v, total float64) float64 {
	rank := 0.0
	for _, k := range all {
		lower, upper := h.borders(k)
		zero := lower <= 0 && upper >= 0
		if zero {
			lower, upper = h.narrowZero(lower, upper)
		}
		if lower >= v {
			return min(rank, total)
		}
		if upper > v {
			return min(rank+k.count*partBelow(lower, upper, v, zero || h.UsesCustomBuckets()), total)
		}
		rank += k.count
	}
	return total
}

// Variance estimates the variance of the observations, taking each for the middle of its bucket.
func (h *FloatHistogram) Variance() float64 {
	mean := h.Sum / h.Count
	var buf [partsOnStack]part
	var sum kahan.Sum
	for _, k := range h.parts(buf[:0]) {
		if k.count == 0 {
			continue
		}
		lower, upper := h.borders(k)
		var v float64
		switch {
		case h.UsesCustomBuckets():
			v = (upper + lower) / 2
		case lower <= 0 && upper >= 0:
		case upper < 0:
			v = -math.Sqrt(upper * lower)
		default:
			v = math.Sqrt(upper * lower)
		}
		sum.Add(k.count * (v - mean) * (v - mean))
	}
	return sum.Plain() / h.Count
}
