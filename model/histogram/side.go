package histogram

import (
	"slices"

	"github.com/narthex-io/narthex/internal/kahan"
)

// side is the buckets of one sign, by ascending index, counted from zero outwards.
type side struct {
	index []int32
	n     []kahan.Sum
}

// sideOf unrolls spans.
func sideOf(spans []Span, counts []float64) side {
	s := side{make([]int32, 0, len(counts)), make([]kahan.Sum, 0, len(counts))}
	each(spans, counts, func(index int32, count float64) { s.append(index, kahan.Sum{S: count}) })
	return s
}

// spans rolls up again, with or without empty buckets.
func (s side) spans(empty bool) ([]Span, []float64) {
	if len(s.index) == 0 {
		return nil, nil
	}
	var spans []Span
	counts := make([]float64, 0, len(s.index))
	next := int32(0)
	for i, index := range s.index {
		n := s.n[i].Value()
		if n == 0 && !empty {
			continue
		}
		if len(spans) > 0 && index == next {
			spans[len(spans)-1].Length++
		} else {
			spans = append(spans, Span{Offset: index - next, Length: 1})
		}
		counts = append(counts, n)
		next = index + 1
	}
	return spans, counts
}

func (s *side) append(index int32, n kahan.Sum) {
	s.index, s.n = append(s.index, index), append(s.n, n)
}

// mapped gives the buckets other indexes, in the same order; those that fall together are added up.
func (s side) mapped(add adder, f func(int32) int32) side {
	var out side
	for i, index := range s.index {
		to := f(index)
		if n := len(out.index); n > 0 && out.index[n-1] == to {
			add(&out.n[n-1], s.n[i], 1)
			continue
		}
		out.append(to, s.n[i])
	}
	return out
}

// plus adds the buckets of another side, times a factor. Fast path: if there are no others than here, it adds them in
// place.
func (s side) plus(add adder, o side, factor float64) side {
	if s.covers(o) {
		k := 0
		for i, index := range o.index {
			for s.index[k] != index {
				k++
			}
			add(&s.n[k], o.n[i], factor)
		}
		return s
	}
	out := side{make([]int32, 0, len(s.index)+len(o.index)), make([]kahan.Sum, 0, len(s.index)+len(o.index))}
	i, j := 0, 0
	for i < len(s.index) || j < len(o.index) {
		switch {
		case j == len(o.index) || i < len(s.index) && s.index[i] < o.index[j]:
			out.append(s.index[i], s.n[i])
			i++
		case i == len(s.index) || o.index[j] < s.index[i]:
			var n kahan.Sum
			add(&n, o.n[j], factor)
			out.append(o.index[j], n)
			j++
		default:
			n := s.n[i]
			add(&n, o.n[j], factor)
			out.append(s.index[i], n)
			i++
			j++
		}
	}
	return out
}

// covers reports whether each bucket of another side is here, too.
func (s side) covers(o side) bool {
	if len(o.index) > len(s.index) {
		return false
	}
	k := 0
	for _, index := range o.index {
		for k < len(s.index) && s.index[k] < index {
			k++
		}
		if k == len(s.index) || s.index[k] != index {
			return false
		}
	}
	return true
}

// plusSpans adds buckets that are not unrolled, in place. It reports false, having done nothing, if some are not here.
func (s side) plusSpans(add adder, spans []Span, counts []float64, factor float64) bool {
	k, index, fits := 0, int32(0), true
	walk := func(f func(k, i int)) {
		k, index = 0, 0
		i := 0
		for _, span := range spans {
			index += span.Offset
			for range span.Length {
				for k < len(s.index) && s.index[k] < index {
					k++
				}
				if fits = k < len(s.index) && s.index[k] == index; !fits {
					return
				}
				f(k, i)
				i++
				index++
			}
		}
	}
	if walk(func(int, int) {}); !fits {
		return false
	}
	walk(func(k, i int) { add(&s.n[k], kahan.Sum{S: counts[i]}, factor) })
	return true
}

// below reports whether a bucket holds less than it did in prev.
func (s side) below(prev side) bool {
	for i, index := range prev.index {
		at, found := slices.BinarySearch(s.index, index)
		was := prev.n[i].Value()
		if !found && was != 0 || found && s.n[at].Value() < was {
			return true
		}
	}
	return false
}
