package exec

import (
	"testing"

	"github.com/narthex-io/narthex/promql/plan"
)

// BenchmarkRateSteps calculates a rate of one series for many overlapping windows.
func BenchmarkRateSteps(b *testing.B) {
	const samples, steps = 480, 1000
	in := &windowed{windows: &windows{}, length: 300_000, g: plan.Grid{Start: 300_000, Step: 7_000, N: steps}, w: &worker{}}
	for i := range samples {
		in.T, in.F = append(in.T, int64(i)*15_000), append(in.F, float64(i*50))
	}
	if err := in.find(func() error { return nil }, in.T, in.shift, in.length, 0, in.g); err != nil {
		b.Fatal(err)
	}
	dst := &row{F: make([]float64, steps)}
	rate := extrapolated(true, true)
	b.ReportAllocs()
	for b.Loop() {
		if err := rate(in, dst); err != nil {
			b.Fatal(err)
		}
	}
}
