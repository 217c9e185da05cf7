package histogram

import (
	"errors"
	"math"
	"slices"

	"github.com/narthex-io/narthex/internal/kahan"
)

// ErrIncompatible means that histograms with exponential and with custom buckets cannot be calculated with together.
var ErrIncompatible = errors.New("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")

// Sum is a histogram to calculate with. Make it with [NewSum] or [NewExactSum].
type Sum struct {
	// Hint is what is known about resets.
	Hint             CounterResetHint
	schema           int32
	zeroThreshold    float64
	zero, count, sum kahan.Sum
	pos, neg         side
	custom           []float64
	add              adder
}

// adder adds to a number another one times a factor.
type adder func(to *kahan.Sum, n kahan.Sum, factor float64)

func addPlainly(to *kahan.Sum, n kahan.Sum, factor float64) { to.S += factor * n.S }

func addExactly(to *kahan.Sum, n kahan.Sum, factor float64) { to.Join(n, factor) }

// NewSum returns a sum of one histogram, to which others are added as floats are.
func NewSum(h *FloatHistogram) Sum { return sumOf(h, addPlainly) }

// NewExactSum is NewSum with rounding errors compensated, for sums of many.
func NewExactSum(h *FloatHistogram) Sum { return sumOf(h, addExactly) }

func sumOf(h *FloatHistogram, add adder) Sum {
	return Sum{
		Hint: h.CounterResetHint, schema: h.Schema, zeroThreshold: h.ZeroThreshold, custom: h.CustomValues,
		zero: kahan.Sum{S: h.zeros()}, count: kahan.Sum{S: h.Count}, sum: kahan.Sum{S: h.Sum},
		pos: sideOf(h.PositiveSpans, h.PositiveBuckets), neg: sideOf(h.NegativeSpans, h.NegativeBuckets), add: add,
	}
}

// zeros returns what the zero bucket holds. There is none among custom buckets, whatever a division by zero has left.
func (h *FloatHistogram) zeros() float64 {
	if h.UsesCustomBuckets() {
		return 0
	}
	return h.ZeroCount
}

// Histogram returns the result, without empty buckets.
func (a *Sum) Histogram() *FloatHistogram { return a.histogram(false) }

// Uncompacted returns the result with the empty buckets that have come with any of the histograms.
func (a *Sum) Uncompacted() *FloatHistogram { return a.histogram(true) }

func (a *Sum) histogram(empty bool) *FloatHistogram {
	h := &FloatHistogram{
		CounterResetHint: a.Hint, Schema: a.schema, ZeroThreshold: a.zeroThreshold, ZeroCount: a.zero.Value(),
		Count: a.count.Value(), Sum: a.sum.Value(), CustomValues: a.custom,
	}
	h.PositiveSpans, h.PositiveBuckets = a.pos.spans(empty)
	h.NegativeSpans, h.NegativeBuckets = a.neg.spans(empty)
	return h
}

// Mapped returns a copy with a function applied to everything, the corrections of rounding errors included.
func (a *Sum) Mapped(f func(float64) float64) Sum {
	apply := func(k kahan.Sum) kahan.Sum { return kahan.Sum{S: f(k.S), C: f(k.C)} }
	all := func(s side) side {
		n := make([]kahan.Sum, len(s.n))
		for i, k := range s.n {
			n[i] = apply(k)
		}
		return side{s.index, n}
	}
	b := *a
	b.zero, b.count, b.sum, b.pos, b.neg = apply(a.zero), apply(a.count), apply(a.sum), all(a.pos), all(a.neg)
	return b
}

// Overflows reports whether anything is too large for a float.
func (a *Sum) Overflows() bool {
	tooLarge := func(k kahan.Sum) bool { return math.IsInf(k.S, 0) }
	return tooLarge(a.zero) || tooLarge(a.count) || tooLarge(a.sum) ||
		slices.ContainsFunc(a.pos.n, tooLarge) || slices.ContainsFunc(a.neg.n, tooLarge)
}

// Fits reports whether h can be added without anything becoming too large; if not, it might.
func (a *Sum) Fits(h *FloatHistogram) bool {
	const half = math.MaxFloat64 / 4
	large := func(v float64) bool { return !(math.Abs(v) < half) }
	largeSum := func(k kahan.Sum) bool { return large(k.S) }
	return !large(h.ZeroCount) && !large(h.Count) && !large(h.Sum) &&
		!slices.ContainsFunc(h.PositiveBuckets, large) && !slices.ContainsFunc(h.NegativeBuckets, large) &&
		!largeSum(a.zero) && !largeSum(a.count) && !largeSum(a.sum) &&
		!slices.ContainsFunc(a.pos.n, largeSum) && !slices.ContainsFunc(a.neg.n, largeSum)
}

func (a *Sum) usesCustom() bool { return a.schema == CustomBucketsSchema }

// Add adds a histogram times a factor. It reports whether what is known about resets contradicts itself, and whether
// custom bounds had to be reduced to the common ones. The error is [ErrIncompatible].
func (a *Sum) Add(h *FloatHistogram, factor float64) (collision, reconciled bool, err error) {
	if a.usesCustom() != h.UsesCustomBuckets() {
		return false, false, ErrIncompatible
	}
	collision = a.joinHints(h.CounterResetHint)
	if a.addInPlace(h, factor) {
		return collision, false, nil
	}
	b := sumOf(h, a.add)
	if a.usesCustom() {
		if !slices.Equal(a.custom, b.custom) {
			reconciled = true
			common := commonBounds(a.custom, b.custom)
			a.rebound(common)
			b.rebound(common)
		}
	} else {
		a.widenZero(&b)
		a.Reduce(b.schema)
		b.Reduce(a.schema)
	}
	a.addTotals(b.zero, b.count, b.sum, factor)
	a.pos, a.neg = a.pos.plus(a.add, b.pos, factor), a.neg.plus(a.add, b.neg, factor)
	return collision, reconciled, nil
}

// addInPlace is the fast path for histograms of the same resolution that have no other buckets. It reports whether that
// is so.
func (a *Sum) addInPlace(h *FloatHistogram, factor float64) bool {
	if a.schema != h.Schema || a.zeroThreshold != h.ZeroThreshold || !slices.Equal(a.custom, h.CustomValues) {
		return false
	}
	if !a.neg.plusSpans(a.add, h.NegativeSpans, h.NegativeBuckets, factor) {
		a.neg = a.neg.plus(a.add, sideOf(h.NegativeSpans, h.NegativeBuckets), factor)
	}
	if !a.pos.plusSpans(a.add, h.PositiveSpans, h.PositiveBuckets, factor) {
		a.pos = a.pos.plus(a.add, sideOf(h.PositiveSpans, h.PositiveBuckets), factor)
	}
	a.addTotals(kahan.Sum{S: h.zeros()}, kahan.Sum{S: h.Count}, kahan.Sum{S: h.Sum}, factor)
	return true
}

func (a *Sum) addTotals(zero, count, sum kahan.Sum, factor float64) {
	a.add(&a.zero, zero, factor)
	a.add(&a.count, count, factor)
	a.add(&a.sum, sum, factor)
}

// joinHints decides what is known about resets of a sum.
func (a *Sum) joinHints(hint CounterResetHint) (collision bool) {
	switch {
	case hint == a.Hint || a.Hint == GaugeType:
	case hint == GaugeType:
		a.Hint = GaugeType
	case a.Hint == UnknownCounterReset:
	default:
		collision = hint != UnknownCounterReset
		a.Hint = UnknownCounterReset
	}
	return collision
}

func commonBounds(a, b []float64) []float64 {
	var common []float64
	for _, bound := range a {
		if _, found := slices.BinarySearch(b, bound); found {
			common = append(common, bound)
		}
	}
	return common
}

// rebound reduces custom buckets to a subset of the bounds.
func (a *Sum) rebound(bounds []float64) {
	a.pos = a.pos.mapped(a.add, func(i int32) int32 {
		if int(i) >= len(a.custom) {
			return int32(len(bounds))
		}
		to, _ := slices.BinarySearch(bounds, a.custom[i])
		return int32(to)
	})
	a.custom = bounds
}

// Reduce lowers the resolution to that of another schema, if that is lower.
func (a *Sum) Reduce(schema int32) {
	if schema >= a.schema || a.usesCustom() {
		return
	}
	shift := a.schema - schema
	f := func(i int32) int32 { return ((i - 1) >> shift) + 1 }
	a.pos, a.neg, a.schema = a.pos.mapped(a.add, f), a.neg.mapped(a.add, f), schema
}

// widenZero makes the zero buckets of both equally wide, unless the width of one is not a number.
func (a *Sum) widenZero(b *Sum) {
	for {
		switch {
		case a.zeroThreshold < b.zeroThreshold:
			a.widenZeroTo(b.zeroThreshold)
		case b.zeroThreshold < a.zeroThreshold:
			b.widenZeroTo(a.zeroThreshold)
		default:
			return
		}
	}
}

// widenZeroTo moves all buckets below the threshold into the zero bucket. A bucket on the threshold that is not empty
// pushes it outwards.
func (a *Sum) widenZeroTo(threshold float64) {
	for grown := true; grown; {
		grown = false
		for _, s := range []side{a.pos, a.neg} {
			for i, index := range s.index {
				lower, upper := a.bound(index-1), a.bound(index)
				if s.n[i].Value() != 0 && lower < threshold && upper > threshold {
					threshold, grown = upper, true
				}
			}
		}
	}
	take := func(s side) side {
		var out side
		for i, index := range s.index {
			if a.bound(index-1) < threshold {
				a.add(&a.zero, s.n[i], 1)
			} else {
				out.append(index, s.n[i])
			}
		}
		return out
	}
	a.pos, a.neg, a.zeroThreshold = take(a.pos), take(a.neg), threshold
}

// bound returns the upper bound of a bucket.
func (a *Sum) bound(index int32) float64 {
	if !a.usesCustom() {
		return Bound(a.schema, index)
	}
	return customBound(a.custom, index)
}
