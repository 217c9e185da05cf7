package exec

import (
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
)

// nativeQuantile returns the φ-quantile of a native histogram. Between the borders of a bucket it interpolates, in
// exponential ones on a logarithmic scale.
func nativeQuantile(phi float64, h *histogram.FloatHistogram, name string, at spot, notes *Annotations) float64 {
	switch {
	case phi < 0:
		return math.Inf(-1)
	case phi > 1:
		return math.Inf(1)
	case h.Count == 0 || math.IsNaN(phi):
		return math.NaN()
	}
	n := nativeOf(h)
	all := n.disjoint()
	// The search goes from the nearer end, but NaNs, which count without being in a bucket, are at the far end.
	forward := math.IsNaN(h.Sum) || phi < 0.5
	rank := phi * h.Count
	if !forward {
		rank = (1 - phi) * h.Count
		slices.Reverse(all)
	}
	var k nativeBucket
	count, next := 0.0, 0
	for next < len(all) {
		b := all[next]
		next++
		k = b
		if b.count == 0 {
			continue
		}
		if count += b.count; count >= rank {
			break
		}
	}
	if v, done := n.border(&k); done {
		return v
	}
	count = min(count, h.Count)
	if count < rank {
		if math.IsNaN(h.Sum) {
			notes.info(at, forMetric("input to histogram_quantile has NaN observations, result is NaN", name))
			return math.NaN()
		}
		return k.upper
	}
	if forward {
		rank -= count - k.count
	} else {
		rank = count - rank
	}
	if math.IsNaN(h.Sum) {
		for _, b := range all[next:] {
			count += b.count
		}
		if count < h.Count {
			notes.info(at, forMetric("input to histogram_quantile has NaN observations, result is skewed higher", name))
		}
	}
	return n.interpolate(k, rank/k.count)
}

// border narrows the zero bucket if only one sign was observed, and deals with custom buckets without a border: the
// result is done if nothing can be interpolated.
func (a *native) border(k *nativeBucket) (v float64, done bool) {
	switch {
	case !a.usesCustom():
		if k.lower < 0 && k.upper > 0 {
			a.narrowZero(k)
		}
	case math.IsInf(k.lower, -1) && k.upper <= 0:
		return k.upper, true
	case math.IsInf(k.lower, -1):
		k.lower = 0
	case math.IsInf(k.upper, 1):
		return k.lower, true
	}
	return 0, false
}

func (a *native) narrowZero(k *nativeBucket) {
	switch {
	case len(a.neg.n) == 0 && len(a.pos.n) > 0:
		k.lower = 0
	case len(a.pos.n) == 0 && len(a.neg.n) > 0:
		k.upper = 0
	}
}

func (a *native) interpolate(k nativeBucket, fraction float64) float64 {
	if a.usesCustom() || k.lower <= 0 && k.upper >= 0 {
		return k.lower + (k.upper-k.lower)*fraction
	}
	lower, upper := math.Log2(math.Abs(k.lower)), math.Log2(math.Abs(k.upper))
	if k.lower > 0 {
		return math.Exp2(lower + (upper-lower)*fraction)
	}
	return -math.Exp2(upper + (lower-upper)*(1-fraction))
}

// below returns the part of a bucket's observations that lie below v, which is inside of it.
func (a *native) below(k nativeBucket, v float64, linear bool) float64 {
	if linear {
		if math.IsInf(k.lower, -1) {
			return 1
		}
		return (v - k.lower) / (k.upper - k.lower)
	}
	lower, upper, at := math.Log2(math.Abs(k.lower)), math.Log2(math.Abs(k.upper)), math.Log2(math.Abs(v))
	if v > 0 {
		return (at - lower) / (upper - lower)
	}
	return 1 - (at-upper)/(lower-upper)
}

// nativeFraction returns the part of the observations that lies between two values.
func nativeFraction(lower, upper float64, h *histogram.FloatHistogram, name string, at spot, notes *Annotations) float64 {
	switch {
	case h.Count == 0 || math.IsNaN(lower) || math.IsNaN(upper):
		return math.NaN()
	case lower >= upper:
		return 0
	}
	n := nativeOf(h)
	all := n.disjoint()
	total := h.Count
	if math.IsNaN(h.Sum) {
		total = 0
		for _, k := range all {
			total += k.count
		}
		if total < h.Count {
			notes.info(at, forMetric("input to histogram_fraction has NaN observations, which are excluded from all fractions", name))
		}
	}
	return (n.rank(all, upper, total) - n.rank(all, lower, total)) / h.Count
}

// rank returns how many observations lie below v.
func (a *native) rank(all []nativeBucket, v, total float64) float64 {
	rank := 0.0
	for _, k := range all {
		zero := k.lower <= 0 && k.upper >= 0
		if zero {
			a.narrowZero(&k)
		}
		if k.lower >= v {
			return min(rank, total)
		}
		if k.upper > v {
			return min(rank+k.count*a.below(k, v, zero || a.usesCustom()), total)
		}
		rank += k.count
	}
	return total
}

// nativeVariance estimates the variance, taking each observation for the middle of its bucket.
func nativeVariance(h *histogram.FloatHistogram) float64 {
	mean := h.Sum / h.Count
	n := nativeOf(h)
	var sum kahan
	for _, k := range n.disjoint() {
		if k.count == 0 {
			continue
		}
		var v float64
		switch {
		case n.usesCustom():
			v = (k.upper + k.lower) / 2
		case k.lower <= 0 && k.upper >= 0:
		case k.upper < 0:
			v = -math.Sqrt(k.upper * k.lower)
		default:
			v = math.Sqrt(k.upper * k.lower)
		}
		sum.add(k.count * (v - mean) * (v - mean))
	}
	return sum.plain() / h.Count
}
