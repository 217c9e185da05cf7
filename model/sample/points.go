package sample

import (
	"iter"

	"github.com/narthex-io/narthex/model/histogram"
)

// Points are samples in ascending order of time, in columns of the same length: 8 bytes a point where series share their
// times, else 16. The zero value has none.
type Points struct {
	// T are the times. Points at the same times may share them: do not change them.
	T []int64
	// F are the values; that of a histogram is 0.
	F []float64
	// H has the histograms at their places; it is nil where all points are floats. They may be shared: do not change them.
	H []*histogram.FloatHistogram
}

// Len returns the number of points.
func (p *Points) Len() int { return len(p.T) }

// At returns a point.
func (p *Points) At(i int) Sample {
	s := Sample{T: p.T[i], F: p.F[i]}
	if p.H != nil {
		s.H = p.H[i]
	}
	return s
}

// All ranges over the points and their places.
func (p *Points) All() iter.Seq2[int, Sample] {
	return func(yield func(int, Sample) bool) {
		for i := range p.T {
			if !yield(i, p.At(i)) {
				return
			}
		}
	}
}

// Append adds a point.
func (p *Points) Append(s Sample) {
	if s.H != nil && p.H == nil {
		p.H = make([]*histogram.FloatHistogram, len(p.T), cap(p.T))
	}
	p.T, p.F = append(p.T, s.T), append(p.F, s.F)
	if p.H != nil {
		p.H = append(p.H, s.H)
	}
}
