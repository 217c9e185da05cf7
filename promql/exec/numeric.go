package exec

import "math"

// kahan is a sum that keeps track of what rounding took away, in the variant of Neumaier.
type kahan struct{ sum, c float64 }

// add adds a value. The conversions keep the compiler from fusing the operations.
func (k *kahan) add(f float64) {
	t := float64(k.sum + f)
	switch {
	case math.IsInf(t, 0):
		k.c = 0
	case math.Abs(k.sum) >= math.Abs(f):
		k.c += float64(float64(k.sum-t) + f)
	default:
		k.c += float64(float64(f-t) + k.sum)
	}
	k.sum = t
}

// join adds another sum times a factor.
func (k *kahan) join(o kahan, factor float64) {
	k.add(factor * o.sum)
	if o.c != 0 {
		k.add(factor * o.c)
	}
}

// plain returns the sum.
func (k *kahan) plain() float64 { return k.sum + k.c }

// value returns the sum, which may have got too large for a correction.
func (k *kahan) value() float64 {
	if math.IsInf(k.sum, 0) {
		return k.sum
	}
	return k.sum + k.c
}

// mean is an average. It adds up as long as the sum fits, and averages step by step from there on.
type mean struct {
	kahan
	count       float64
	incremental bool
}

func (m *mean) add(f float64) {
	m.count++
	if m.count == 1 {
		m.sum = f
		return
	}
	if !m.incremental {
		next := m.kahan
		next.add(f)
		if !math.IsInf(next.sum, 0) {
			m.kahan = next
			return
		}
		m.incremental = true
		m.sum /= m.count - 1
		m.c /= m.count - 1
	}
	q := (m.count - 1) / m.count
	m.kahan = kahan{q * m.sum, q * m.c}
	m.kahan.add(f / m.count)
}

func (m *mean) value() float64 {
	if m.incremental {
		return m.sum + m.c
	}
	return m.sum/m.count + m.c/m.count
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
