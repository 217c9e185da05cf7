package sample

import (
	"math"
	"testing"
)

func TestOnlyTheMarkerIsStale(t *testing.T) {
	if !IsStale(StaleNaN()) {
		t.Error("the marker is not stale")
	}
	for _, v := range []float64{0, math.NaN(), NormalNaN(), math.Inf(1)} {
		if IsStale(v) {
			t.Errorf("%v is stale", v)
		}
	}
	if !math.IsNaN(StaleNaN()) || !math.IsNaN(NormalNaN()) {
		t.Error("a NaN is a number")
	}
}
