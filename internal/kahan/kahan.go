// Package kahan adds up floats without losing what rounding takes away, in the variant of Neumaier.
package kahan

import "math"

// Sum is a sum with a correction. The zero value is zero.
type Sum struct{ S, C float64 }

// Add adds a value. The conversions keep the compiler from fusing the operations.
func (k *Sum) Add(f float64) {
	t := float64(k.S + f)
	switch {
	case math.IsInf(t, 0):
		k.C = 0
	case math.Abs(k.S) >= math.Abs(f):
		k.C += float64(float64(k.S-t) + f)
	default:
		k.C += float64(float64(f-t) + k.S)
	}
	k.S = t
}

// Join adds another sum times a factor.
func (k *Sum) Join(o Sum, factor float64) {
	k.Add(factor * o.S)
	if o.C != 0 {
		k.Add(factor * o.C)
	}
}

// Plain returns the sum.
func (k *Sum) Plain() float64 { return k.S + k.C }

// Value returns the sum, which may have got too large for a correction.
func (k *Sum) Value() float64 {
	if math.IsInf(k.S, 0) {
		return k.S
	}
	return k.S + k.C
}
