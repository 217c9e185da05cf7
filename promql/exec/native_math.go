package exec

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/histogram"
)

// errIncompatible means that histograms with exponential and with custom buckets cannot be calculated with together.
var errIncompatible = errors.New("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")

// side is the buckets of one sign, by ascending index, counted from zero outwards.
type side struct {
	index []int32
	n     []kahan
}

// sideOf unrolls spans.
func sideOf(spans []histogram.Span, counts []float64) side {
	s := side{make([]int32, 0, len(counts)), make([]kahan, len(counts))}
	index := int32(0)
	for _, span := range spans {
		index += span.Offset
		for range span.Length {
			s.n[len(s.index)].sum = counts[len(s.index)]
			s.index = append(s.index, index)
			index++
		}
	}
	return s
}

// spans rolls up again, without empty buckets.
func (s side) spans() ([]histogram.Span, []float64) {
	var spans []histogram.Span
	var counts []float64
	next := int32(0)
	for i, index := range s.index {
		n := s.n[i].value()
		if n == 0 {
			continue
		}
		if len(spans) > 0 && index == next {
			spans[len(spans)-1].Length++
		} else {
			spans = append(spans, histogram.Span{Offset: index - next, Length: 1})
		}
		counts = append(counts, n)
		next = index + 1
	}
	return spans, counts
}

func (s *side) append(index int32, n kahan) { s.index, s.n = append(s.index, index), append(s.n, n) }

// mapped gives the buckets other indexes, in the same order; those that fall together are added up.
func (s side) mapped(f func(int32) int32) side {
	var out side
	for i, index := range s.index {
		to := f(index)
		if n := len(out.index); n > 0 && out.index[n-1] == to {
			out.n[n-1].join(s.n[i], 1)
			continue
		}
		out.append(to, s.n[i])
	}
	return out
}

// plus adds the buckets of another side, times a factor.
func (s side) plus(o side, factor float64) side {
	var out side
	i, j := 0, 0
	for i < len(s.index) || j < len(o.index) {
		switch {
		case j == len(o.index) || i < len(s.index) && s.index[i] < o.index[j]:
			out.append(s.index[i], s.n[i])
			i++
		case i == len(s.index) || o.index[j] < s.index[i]:
			var n kahan
			n.join(o.n[j], factor)
			out.append(o.index[j], n)
			j++
		default:
			n := s.n[i]
			n.join(o.n[j], factor)
			out.append(s.index[i], n)
			i++
			j++
		}
	}
	return out
}

// native is a histogram to calculate with.
type native struct {
	hint             histogram.CounterResetHint
	schema           int32
	zeroThreshold    float64
	zero, count, sum kahan
	pos, neg         side
	custom           []float64
}

func nativeOf(h *histogram.FloatHistogram) native {
	return native{
		hint: h.CounterResetHint, schema: h.Schema, zeroThreshold: h.ZeroThreshold, custom: h.CustomValues,
		zero: kahan{sum: zeroCount(h)}, count: kahan{sum: h.Count}, sum: kahan{sum: h.Sum},
		pos: sideOf(h.PositiveSpans, h.PositiveBuckets), neg: sideOf(h.NegativeSpans, h.NegativeBuckets),
	}
}

// histogram returns the result, without empty buckets.
func (a *native) histogram() *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{
		CounterResetHint: a.hint, Schema: a.schema, ZeroThreshold: a.zeroThreshold, ZeroCount: a.zero.value(),
		Count: a.count.value(), Sum: a.sum.value(), CustomValues: a.custom,
	}
	h.PositiveSpans, h.PositiveBuckets = a.pos.spans()
	h.NegativeSpans, h.NegativeBuckets = a.neg.spans()
	return h
}

// mapped returns a histogram with a function applied to everything, the corrections of rounding errors included.
func (a *native) mapped(f func(float64) float64) native {
	apply := func(k kahan) kahan { return kahan{f(k.sum), f(k.c)} }
	all := func(s side) side {
		n := make([]kahan, len(s.n))
		for i, k := range s.n {
			n[i] = apply(k)
		}
		return side{s.index, n}
	}
	b := *a
	b.zero, b.count, b.sum, b.pos, b.neg = apply(a.zero), apply(a.count), apply(a.sum), all(a.pos), all(a.neg)
	return b
}

// overflows reports whether anything in a histogram is too large for a float.
func (a *native) overflows() bool {
	tooLarge := func(k kahan) bool { return math.IsInf(k.sum, 0) }
	return tooLarge(a.zero) || tooLarge(a.count) || tooLarge(a.sum) ||
		slices.ContainsFunc(a.pos.n, tooLarge) || slices.ContainsFunc(a.neg.n, tooLarge)
}

func (a *native) usesCustom() bool { return a.schema == histogram.CustomBucketsSchema }

// add adds b times a factor. It reports whether what is known about resets contradicts itself, and whether custom
// bounds had to be reduced to the common ones.
func (a *native) add(b native, factor float64) (collision, reconciled bool, err error) {
	if a.usesCustom() != b.usesCustom() {
		return false, false, errIncompatible
	}
	collision = a.joinHints(b.hint)
	if a.usesCustom() {
		if !slices.Equal(a.custom, b.custom) {
			reconciled = true
			common := commonBounds(a.custom, b.custom)
			a.rebound(common)
			b.rebound(common)
		}
	} else {
		a.widenZero(&b)
		a.reduce(b.schema)
		b.reduce(a.schema)
	}
	a.zero.join(b.zero, factor)
	a.count.join(b.count, factor)
	a.sum.join(b.sum, factor)
	a.pos, a.neg = a.pos.plus(b.pos, factor), a.neg.plus(b.neg, factor)
	return collision, reconciled, nil
}

// joinHints decides what is known about resets of a sum.
func (a *native) joinHints(hint histogram.CounterResetHint) (collision bool) {
	switch {
	case hint == a.hint || a.hint == histogram.GaugeType:
	case hint == histogram.GaugeType:
		a.hint = histogram.GaugeType
	case a.hint == histogram.UnknownCounterReset:
	default:
		collision = hint != histogram.UnknownCounterReset
		a.hint = histogram.UnknownCounterReset
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
func (a *native) rebound(bounds []float64) {
	a.pos = a.pos.mapped(func(i int32) int32 {
		if int(i) >= len(a.custom) {
			return int32(len(bounds))
		}
		to, _ := slices.BinarySearch(bounds, a.custom[i])
		return int32(to)
	})
	a.custom = bounds
}

// reduce lowers the resolution to that of another schema, if that is lower.
func (a *native) reduce(schema int32) {
	if schema >= a.schema || a.usesCustom() {
		return
	}
	shift := a.schema - schema
	f := func(i int32) int32 { return ((i - 1) >> shift) + 1 }
	a.pos, a.neg, a.schema = a.pos.mapped(f), a.neg.mapped(f), schema
}

// widenZero makes the zero buckets of both equally wide.
func (a *native) widenZero(b *native) {
	for a.zeroThreshold != b.zeroThreshold {
		if a.zeroThreshold < b.zeroThreshold {
			a.widenZeroTo(b.zeroThreshold)
		} else {
			b.widenZeroTo(a.zeroThreshold)
		}
	}
}

// widenZeroTo moves all buckets below the threshold into the zero bucket. A bucket on the threshold that is not empty
// pushes it outwards.
func (a *native) widenZeroTo(threshold float64) {
	for grown := true; grown; {
		grown = false
		for _, s := range []side{a.pos, a.neg} {
			for i, index := range s.index {
				lower, upper := a.bound(index-1), a.bound(index)
				if s.n[i].value() != 0 && lower < threshold && upper > threshold {
					threshold, grown = upper, true
				}
			}
		}
	}
	take := func(s side) side {
		var out side
		for i, index := range s.index {
			if a.bound(index-1) < threshold {
				a.zero.join(s.n[i], 1)
			} else {
				out.append(index, s.n[i])
			}
		}
		return out
	}
	a.pos, a.neg, a.zeroThreshold = take(a.pos), take(a.neg), threshold
}

// bound returns the upper bound of a bucket.
func (a *native) bound(index int32) float64 {
	switch {
	case a.usesCustom() && index < 0:
		return math.Inf(-1)
	case a.usesCustom() && int(index) >= len(a.custom):
		return math.Inf(1)
	case a.usesCustom():
		return a.custom[index]
	case a.schema <= 0:
		exponent := int(index) << -a.schema
		if exponent == 1024 {
			return math.MaxFloat64 // The last bucket before infinity.
		}
		return math.Ldexp(1, exponent)
	}
	whole, part := index>>a.schema, index&(1<<a.schema-1)
	if whole == 1024 && part == 0 {
		return math.MaxFloat64
	}
	return math.Ldexp(math.Exp2(float64(part)/float64(int(1)<<a.schema)), int(whole))
}

// nativeBucket is a bucket with its borders.
type nativeBucket struct{ lower, upper, count float64 }

// buckets returns all buckets, ascending.
func (a *native) buckets() []nativeBucket {
	all := make([]nativeBucket, 0, len(a.pos.n)+len(a.neg.n)+1)
	for i := len(a.neg.n) - 1; i >= 0; i-- {
		index := a.neg.index[i]
		all = append(all, nativeBucket{-a.bound(index), -a.bound(index - 1), a.neg.n[i].value()})
	}
	if zero := a.zero.value(); zero != 0 {
		all = append(all, nativeBucket{-a.zeroThreshold, a.zeroThreshold, zero})
	}
	for i, n := range a.pos.n {
		index := a.pos.index[i]
		all = append(all, nativeBucket{a.bound(index - 1), a.bound(index), n.value()})
	}
	return all
}

// disjoint returns all buckets, ascending, without the parts that the zero bucket covers. A zero bucket that a
// subtraction made negative does not count.
func (a *native) disjoint() []nativeBucket {
	all := a.buckets()
	all = slices.DeleteFunc(all, func(k nativeBucket) bool { return k.count <= 0 && k.lower == -k.upper })
	for i := range all {
		switch k := &all[i]; {
		case k.lower > 0 && k.lower < a.zeroThreshold:
			k.lower = a.zeroThreshold
		case k.upper < 0 && k.upper > -a.zeroThreshold:
			k.upper = -a.zeroThreshold
		}
	}
	return all
}

// scaled returns a histogram with everything multiplied.
func scaled(h *histogram.FloatHistogram, factor float64) *histogram.FloatHistogram {
	return calculated(h, factor, func(v float64) float64 { return v * factor })
}

// divided returns a histogram with everything divided; nothing is left of the buckets if it is by zero.
func divided(h *histogram.FloatHistogram, by float64) *histogram.FloatHistogram {
	d := calculated(h, by, func(v float64) float64 { return v / by })
	if by == 0 {
		d.PositiveSpans, d.PositiveBuckets, d.NegativeSpans, d.NegativeBuckets = nil, nil, nil, nil
	}
	return d
}

// zeroCount returns what the zero bucket holds. There is none among custom buckets, whatever a division by zero has left.
func zeroCount(h *histogram.FloatHistogram) float64 {
	if h.UsesCustomBuckets() {
		return 0
	}
	return h.ZeroCount
}

func calculated(h *histogram.FloatHistogram, sign float64, f func(float64) float64) *histogram.FloatHistogram {
	c := h.Copy()
	c.ZeroCount, c.Count, c.Sum = f(zeroCount(h)), f(c.Count), f(c.Sum)
	for i := range c.PositiveBuckets {
		c.PositiveBuckets[i] = f(c.PositiveBuckets[i])
	}
	for i := range c.NegativeBuckets {
		c.NegativeBuckets[i] = f(c.NegativeBuckets[i])
	}
	if sign < 0 {
		c.CounterResetHint = histogram.GaugeType
	}
	return c
}

// compacted returns a histogram without empty buckets.
func compacted(h *histogram.FloatHistogram) *histogram.FloatHistogram {
	n := nativeOf(h)
	c := n.histogram()
	c.ZeroCount = h.ZeroCount
	return c
}

// sameHistogram reports whether two histograms hold the same, bit for bit and empty buckets included, whatever is known
// about resets and however the buckets are grouped into spans.
func sameHistogram(a, b *histogram.FloatHistogram) bool {
	same := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	return a.Schema == b.Schema && same(a.Count, b.Count) && same(a.Sum, b.Sum) && same(a.ZeroCount, b.ZeroCount) &&
		a.ZeroThreshold == b.ZeroThreshold && slices.Equal(a.CustomValues, b.CustomValues) &&
		slices.EqualFunc(a.PositiveBuckets, b.PositiveBuckets, same) && slices.EqualFunc(a.NegativeBuckets, b.NegativeBuckets, same) &&
		slices.Equal(sideOf(a.PositiveSpans, a.PositiveBuckets).index, sideOf(b.PositiveSpans, b.PositiveBuckets).index) &&
		slices.Equal(sideOf(a.NegativeSpans, a.NegativeBuckets).index, sideOf(b.NegativeSpans, b.NegativeBuckets).index)
}

// histogramReset reports whether a counter starts anew between two samples.
func histogramReset(cur, prev *histogram.FloatHistogram) bool {
	switch {
	case cur.CounterResetHint == histogram.CounterReset:
		return true
	case cur.CounterResetHint == histogram.NotCounterReset:
		return false
	case cur.Count < prev.Count:
		return true
	}
	c, p := nativeOf(cur), nativeOf(prev)
	if c.usesCustom() {
		if !p.usesCustom() {
			return true
		}
		if !slices.Equal(c.custom, p.custom) {
			common := commonBounds(c.custom, p.custom)
			c.rebound(common)
			p.rebound(common)
		}
		return c.pos.below(p.pos)
	}
	if c.schema > p.schema || c.zeroThreshold < p.zeroThreshold {
		return true
	}
	if c.zeroThreshold > p.zeroThreshold {
		if p.widenZeroTo(c.zeroThreshold); p.zeroThreshold != c.zeroThreshold {
			return true
		}
	}
	p.reduce(c.schema)
	return c.zero.value() < p.zero.value() || c.pos.below(p.pos) || c.neg.below(p.neg)
}

// below reports whether a bucket holds less than it did in prev.
func (s side) below(prev side) bool {
	for i, index := range prev.index {
		at, found := slices.BinarySearch(s.index, index)
		was := prev.n[i].value()
		if !found && was != 0 || found && s.n[at].value() < was {
			return true
		}
	}
	return false
}

// histogramText returns a histogram as count_values shows it.
func histogramText(h *histogram.FloatHistogram) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{count:%g, sum:%g", h.Count, h.Sum)
	n := nativeOf(h)
	for _, k := range n.buckets() {
		if k.count == 0 {
			continue
		}
		open, end := "(", "]"
		switch {
		case k.lower <= 0 && k.upper >= 0 && !n.usesCustom():
			open = "["
		case k.upper < 0 && !n.usesCustom():
			open, end = "[", ")"
		}
		fmt.Fprintf(&b, ", %s%g,%g%s:%g", open, k.lower, k.upper, end, k.count)
	}
	return b.String() + "}"
}
