package histogram

import (
	"fmt"
	"slices"
	"strings"
)

// Scaled returns a histogram with everything multiplied.
func (h *FloatHistogram) Scaled(factor float64) *FloatHistogram {
	return h.calculated(factor, func(v float64) float64 { return v * factor })
}

// Divided returns a histogram with everything divided; nothing is left of the buckets if it is by zero.
func (h *FloatHistogram) Divided(by float64) *FloatHistogram {
	d := h.calculated(by, func(v float64) float64 { return v / by })
	if by == 0 {
		d.PositiveSpans, d.PositiveBuckets, d.NegativeSpans, d.NegativeBuckets = nil, nil, nil, nil
	}
	return d
}

func (h *FloatHistogram) calculated(sign float64, f func(float64) float64) *FloatHistogram {
	c := h.Copy()
	c.ZeroCount, c.Count, c.Sum = f(h.zeros()), f(c.Count), f(c.Sum)
	for i := range c.PositiveBuckets {
		c.PositiveBuckets[i] = f(c.PositiveBuckets[i])
	}
	for i := range c.NegativeBuckets {
		c.NegativeBuckets[i] = f(c.NegativeBuckets[i])
	}
	if sign < 0 {
		c.CounterResetHint = GaugeType
	}
	return c
}

// Compacted returns a histogram without empty buckets.
func (h *FloatHistogram) Compacted() *FloatHistogram {
	n := NewSum(h)
	c := n.Histogram()
	c.ZeroCount = h.ZeroCount
	return c
}

// Growth returns what a histogram has grown by since first, which has the same buckets, times a factor: a gauge without
// empty buckets. It returns nil if the buckets are not the same. The memory comes from m.
func (h *FloatHistogram) Growth(first *FloatHistogram, factor float64, m *Arena) *FloatHistogram {
	if !h.sameLayout(first) {
		return nil
	}
	d := m.Histogram()
	*d = FloatHistogram{
		CounterResetHint: GaugeType, Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, CustomValues: h.CustomValues,
		ZeroCount: (h.zeros() - first.zeros()) * factor, Count: (h.Count - first.Count) * factor, Sum: (h.Sum - first.Sum) * factor,
	}
	d.PositiveSpans, d.PositiveBuckets = growth(h.PositiveSpans, h.PositiveBuckets, first.PositiveBuckets, factor, m)
	d.NegativeSpans, d.NegativeBuckets = growth(h.NegativeSpans, h.NegativeBuckets, first.NegativeBuckets, factor, m)
	return d
}

// growth subtracts the buckets of one sign.
func growth(spans []Span, counts, first []float64, factor float64, m *Arena) ([]Span, []float64) {
	whole := true
	for i := range counts {
		whole = whole && counts[i] != first[i]
	}
	to := m.Floats(len(counts))
	if whole {
		for i := range counts {
			to = append(to, (counts[i]-first[i])*factor)
		}
		return spans, to
	}
	var kept []Span
	index, next, i := int32(0), int32(0), 0
	for _, span := range spans {
		index += span.Offset
		for range span.Length {
			if n := counts[i] - first[i]; n != 0 {
				if len(kept) > 0 && index == next {
					kept[len(kept)-1].Length++
				} else {
					kept = append(kept, Span{Offset: index - next, Length: 1})
				}
				to = append(to, n*factor)
				next = index + 1
			}
			i++
			index++
		}
	}
	return kept, to
}

// sameLayout reports whether two histograms have the same buckets, and nothing has to be done to calculate with both.
func (h *FloatHistogram) sameLayout(o *FloatHistogram) bool {
	return h.Schema == o.Schema && h.ZeroThreshold == o.ZeroThreshold && slices.Equal(h.PositiveSpans, o.PositiveSpans) &&
		slices.Equal(h.NegativeSpans, o.NegativeSpans) && slices.Equal(h.CustomValues, o.CustomValues)
}

// Same reports whether two histograms hold the same, bit for bit and empty buckets included, whatever is known about
// resets and however the buckets are grouped into spans.
func (h *FloatHistogram) Same(o *FloatHistogram) bool {
	return h.Schema == o.Schema && sameFloat(h.Count, o.Count) && sameFloat(h.Sum, o.Sum) && sameFloat(h.ZeroCount, o.ZeroCount) &&
		h.ZeroThreshold == o.ZeroThreshold && slices.Equal(h.CustomValues, o.CustomValues) &&
		slices.EqualFunc(h.PositiveBuckets, o.PositiveBuckets, sameFloat) && slices.EqualFunc(h.NegativeBuckets, o.NegativeBuckets, sameFloat) &&
		SameBuckets(h.PositiveSpans, o.PositiveSpans) && SameBuckets(h.NegativeSpans, o.NegativeSpans)
}

// HasReset reports whether a counter has started anew since the sample before it.
func (h *FloatHistogram) HasReset(prev *FloatHistogram) bool {
	switch {
	case h.CounterResetHint == CounterReset:
		return true
	case h.CounterResetHint == NotCounterReset:
		return false
	case h.Count < prev.Count:
		return true
	case h.sameLayout(prev):
		less := func(a, b []float64) bool {
			for i := range a {
				if a[i] < b[i] {
					return true
				}
			}
			return false
		}
		return h.zeros() < prev.zeros() && !h.UsesCustomBuckets() || less(h.PositiveBuckets, prev.PositiveBuckets) || less(h.NegativeBuckets, prev.NegativeBuckets)
	}
	return h.shrunk(prev)
}

// shrunk reports whether a bucket holds less than before, if both have different buckets.
func (h *FloatHistogram) shrunk(prev *FloatHistogram) bool {
	c, p := NewExactSum(h), NewExactSum(prev)
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
	p.Reduce(c.schema)
	return c.zero.Value() < p.zero.Value() || c.pos.below(p.pos) || c.neg.below(p.neg)
}

// String returns count, sum and the buckets that hold something, with their borders.
func (h *FloatHistogram) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "{count:%g, sum:%g", h.Count, h.Sum)
	for _, k := range h.Buckets() {
		if k.Count == 0 {
			continue
		}
		open, end := "(", ")"
		if k.LowerInclusive {
			open = "["
		}
		if k.UpperInclusive {
			end = "]"
		}
		fmt.Fprintf(&b, ", %s%g,%g%s:%g", open, k.Lower, k.Upper, end, k.Count)
	}
	return b.String() + "}"
}
