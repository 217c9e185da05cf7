package exec

import (
	"math"

	"github.com/narthex-io/narthex/internal/kahan"
)

// mean is an average. It adds up as long as the sum fits, and averages step by step from there on.
type mean struct {
	kahan.Sum
	count       float64
	incremental bool
}

func (m *mean) add(f float64) {
	m.count++
	if m.count == 1 {
		m.S = f
		return
	}
	if !m.incremental {
		next := m.Sum
		next.Add(f)
		if !math.IsInf(next.S, 0) {
			m.Sum = next
			return
		}
		m.incremental = true
		m.S /= m.count - 1
		m.C /= m.count - 1
	}
	q := (m.count - 1) / m.count
	m.Sum = kahan.Sum{S: q * m.S, C: q * m.C}
	m.Sum.Add(f / m.count)
}

func (m *mean) value() float64 {
	if m.incremental {
		return m.S + m.C
	}
	return m.S/m.count + m.C/m.count
}

// quantileOfSorted returns the φ-quantile, between two values their weighted average. NaNs stand at the beginning.
func quantileOfSorted(q float64, sorted []float64) float64 {
	switch n := len(sorted); {
	case n == 0 || math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	default:
		rank := q * float64(n-1)
		lower := math.Max(0, math.Floor(rank))
		upper := math.Min(float64(n-1), lower+1)
		weight := rank - math.Floor(rank)
		return sorted[int(lower)]*(1-weight) + sorted[int(upper)]*weight
	}
}
