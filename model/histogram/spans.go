package histogram

import (
	"iter"
	"slices"
)

// Pairing is a bucket that one of two layouts has, or both: the position of its count on either side, -1 where the
// side lacks it.
type Pairing struct {
	Index int32
	A, B  int
}

// Pair yields the buckets of two layouts in ascending order of their index, each once.
func Pair(a, b []Span) iter.Seq[Pairing] {
	return func(yield func(Pairing) bool) {
		x, y := newCursor(a), newCursor(b)
		for x.ok || y.ok {
			p := Pairing{A: -1, B: -1}
			left := x.ok && (!y.ok || x.index <= y.index)
			right := y.ok && (!x.ok || y.index <= x.index)
			if left {
				p.Index, p.A = x.index, x.position
				x.next()
			}
			if right {
				p.Index, p.B = y.index, y.position
				y.next()
			}
			if !yield(p) {
				return
			}
		}
	}
}

// cursor walks over the buckets of spans.
type cursor struct {
	rest     []Span
	left     uint32
	index    int32
	position int
	ok       bool
}

func newCursor(spans []Span) cursor {
	c := cursor{rest: spans, index: -1, position: -1}
	c.next()
	return c
}

func (c *cursor) next() {
	c.index++
	c.position++
	for c.left == 0 && len(c.rest) > 0 {
		c.index += c.rest[0].Offset
		c.left = c.rest[0].Length
		c.rest = c.rest[1:]
	}
	if c.ok = c.left > 0; c.ok {
		c.left--
	}
}

// SameBuckets reports whether two layouts have the same buckets, however they are cut into spans.
func SameBuckets(a, b []Span) bool {
	if slices.Equal(a, b) {
		return true
	}
	for p := range Pair(a, b) {
		if p.A < 0 || p.B < 0 {
			return false
		}
	}
	return true
}

// MergeSpans returns the smallest layout that has all buckets of both: without empty spans, and without gaps of zero.
func MergeSpans(a, b []Span) []Span {
	var merged []Span
	end := int32(0) // The bucket behind the last one.
	for p := range Pair(a, b) {
		if n := len(merged); n > 0 && p.Index == end {
			merged[n-1].Length++
		} else {
			merged = append(merged, Span{Offset: p.Index - end, Length: 1})
		}
		end = p.Index + 1
	}
	return merged
}

// CountBuckets returns the number of buckets in spans.
func CountBuckets(spans []Span) int {
	n := 0
	for _, s := range spans {
		n += int(s.Length)
	}
	return n
}

// Spread appends to dst the counts, absolute ones, of the buckets that to has, with zeros for those that from lacks.
// Each bucket of from must be one of to.
func Spread[N int64 | uint64 | float64](dst []N, to, from []Span, counts []N) []N {
	for p := range Pair(to, from) {
		var n N
		if p.B >= 0 {
			n = counts[p.B]
		}
		dst = append(dst, n)
	}
	return dst
}
