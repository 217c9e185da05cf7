package histogram

// Compact removes empty buckets, but for runs of at most maxEmpty between others, where that many are cheaper than a
// span; gaps between spans that are as short are filled. What the histogram counts stays the same.
func (h *Histogram) Compact(maxEmpty int) {
	h.PositiveSpans, h.PositiveBuckets = compactDeltas(h.PositiveSpans, h.PositiveBuckets, maxEmpty)
	h.NegativeSpans, h.NegativeBuckets = compactDeltas(h.NegativeSpans, h.NegativeBuckets, maxEmpty)
}

// Compact removes empty buckets, as [Histogram.Compact] does.
func (h *FloatHistogram) Compact(maxEmpty int) {
	h.PositiveSpans, h.PositiveBuckets = compactCounts(h.PositiveSpans, h.PositiveBuckets, maxEmpty)
	h.NegativeSpans, h.NegativeBuckets = compactCounts(h.NegativeSpans, h.NegativeBuckets, maxEmpty)
}

func compactDeltas(spans []Span, deltas []int64, maxEmpty int) ([]Span, []int64) {
	var n int64
	empty := false
	for _, d := range deltas {
		n += d
		empty = empty || n == 0
	}
	if !empty && areCompact(spans, maxEmpty) {
		return spans, deltas
	}
	out := arranged[int64]{maxEmpty: maxEmpty}
	n = 0
	eachIndex(spans, len(deltas), func(index int64, i int) {
		if n += deltas[i]; n != 0 {
			out.add(index, n)
		}
	})
	return out.spans, deltasOf(out.counts)
}

func compactCounts(spans []Span, counts []float64, maxEmpty int) ([]Span, []float64) {
	empty := false
	for _, n := range counts {
		empty = empty || n == 0
	}
	if !empty && areCompact(spans, maxEmpty) {
		return spans, counts
	}
	out := arranged[float64]{maxEmpty: maxEmpty}
	eachIndex(spans, len(counts), func(index int64, i int) {
		if counts[i] != 0 {
			out.add(index, counts[i])
		}
	})
	return out.spans, out.counts
}

// areCompact reports whether no spans are empty, or so close that they should be one.
func areCompact(spans []Span, maxEmpty int) bool {
	for i, s := range spans {
		if s.Length == 0 || i > 0 && int(s.Offset) <= maxEmpty {
			return false
		}
	}
	return true
}

// eachIndex calls f with the index and the position of each bucket.
func eachIndex(spans []Span, buckets int, f func(index int64, i int)) {
	index, i := int64(0), 0
	for _, s := range spans {
		index += int64(s.Offset)
		for range s.Length {
			if i == buckets {
				return
			}
			f(index, i)
			index++
			i++
		}
	}
}

// arranged collects buckets in the order of their index.
type arranged[N int64 | float64] struct {
	spans    []Span
	counts   []N
	maxEmpty int
	// end is the index behind the last bucket.
	end int64
}

// add adds a bucket; one that is added again grows.
func (a *arranged[N]) add(index int64, n N) {
	gap := index - a.end
	switch {
	case len(a.spans) > 0 && gap == -1:
		a.counts[len(a.counts)-1] += n
		return
	case len(a.spans) > 0 && gap >= 0 && gap <= int64(a.maxEmpty):
		for range gap {
			a.counts = append(a.counts, 0)
		}
		a.spans[len(a.spans)-1].Length += uint32(gap) + 1
	default:
		a.spans = append(a.spans, Span{Offset: int32(gap), Length: 1})
	}
	a.counts = append(a.counts, n)
	a.end = index + 1
}

// deltasOf turns counts into deltas, in place.
func deltasOf(counts []int64) []int64 {
	for i := len(counts) - 1; i > 0; i-- {
		counts[i] -= counts[i-1]
	}
	return counts
}
