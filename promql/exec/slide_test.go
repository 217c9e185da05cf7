package exec

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narthex-io/narthex/promql/plan"
)

// hostile returns series that are hard on differences of running sums: values that cancel each other, that are much
// larger elsewhere, that differ little from each other, or not at all.
func hostile(r *rand.Rand, n int) map[string][]float64 {
	all := map[string][]float64{}
	add := func(name string, f func(i int) float64) {
		values := make([]float64, n)
		for i := range values {
			values[i] = f(i)
		}
		all[name] = values
	}
	add("cents", func(int) float64 { return math.Round(r.NormFloat64()*1e4) / 100 })
	add("far from zero", func(int) float64 { return 1e9 + r.Float64() })
	add("constant", func(int) float64 { return 0.1 })
	add("constant for a while", func(i int) float64 { return float64(i/50) * 0.1 })
	add("cancelling", func(i int) float64 { return (1 - 2*float64(i%2)) * (1e10 + float64(i/2)*0.1) })
	add("large once", func(i int) float64 {
		if i == 20 {
			return 1e100
		}
		return r.Float64()
	})
	add("all magnitudes", func(int) float64 { return r.NormFloat64() * math.Pow(10, float64(r.IntN(80)-40)) })
	add("zeros after noise", func(i int) float64 {
		if i > n/2 {
			return 0
		}
		return r.NormFloat64()
	})
	add("overflow", func(int) float64 { return math.MaxFloat64 / 2 })
	return all
}

func TestRunningSumsAreAsGoodAsSumsOfWindows(t *testing.T) {
	const n = 300
	ts := make([]int64, n)
	for i := range ts {
		ts[i] = int64(i) * 1000
	}
	g := plan.NewGrid(0, n*1000, 3000)
	for _, name := range []string{"sum_over_time", "avg_over_time", "stdvar_over_time", "stddev_over_time"} {
		for series, values := range hostile(rand.New(rand.NewPCG(1, 2)), n) {
			var all row
			all.reset(g.N)
			if err := windowTable[name].kernel(newWindowed(ts, values, g, 60_000, nil), &all); err != nil {
				t.Fatal(err)
			}
			for step := range g.N {
				var alone row
				alone.reset(1)
				one := plan.NewGrid(g.At(step), g.At(step), 0)
				if err := windowTable[name].kernel(newWindowed(ts, values, one, 60_000, nil), &alone); err != nil {
					t.Fatal(err)
				}
				got, want := all.F[step], alone.F[0]
				if got != want && !(math.Abs(got-want) <= 1e-9*math.Abs(want)) && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Fatalf("%s of %s at step %d is %v, want %v", name, series, step, got, want)
				}
			}
		}
	}
}
