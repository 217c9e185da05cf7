package kahan

import (
	"math"
	"testing"
)

func TestWhatRoundingTakesAwayIsKept(t *testing.T) {
	sum := func(want float64, values ...float64) {
		t.Helper()
		var k Sum
		for _, v := range values {
			k.Add(v)
		}
		if got := k.Value(); got != want {
			t.Errorf("the sum of %v is %v, want %v", values, got, want)
		}
	}
	sum(1, 1e100, 1, -1e100)
	sum(2, 1, 1e100, 1, -1e100)
	sum(math.Inf(1), math.MaxFloat64, math.MaxFloat64, 1)
	a, b := Sum{}, Sum{}
	a.Add(1e16)
	a.Add(1)
	b.Join(a, 2)
	b.Add(-2e16)
	if got := b.Plain(); got != 2 {
		t.Errorf("a correction was lost: got %v, want 2", got)
	}
}
