package exec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql/plan"
)

// randomSeries returns samples at uneven distances: counters with resets, whole numbers, gaps, NaN and Inf.
func randomSeries(r *rand.Rand, n int) (ts []int64, values []float64) {
	t, v := int64(0), 0.0
	for range n {
		t += 1 + r.Int64N(40_000)
		switch r.IntN(12) {
		case 0:
			v = 0
		case 1:
			v = sample.NormalNaN()
		case 2:
			v = math.Inf(1 - 2*r.IntN(2))
		case 3, 4:
			v = float64(r.IntN(20) - 10)
		default:
			v = r.NormFloat64() * 1e3
		}
		ts, values = append(ts, t), append(values, v)
	}
	return ts, values
}

func newWindowed(ts []int64, values []float64, g plan.Grid, length int64, args [][]float64) *windowed {
	w := &worker{ended: func() error { return nil }}
	in := &windowed{windows: &w.windows, T: ts, F: values, length: length, g: g, args: args, w: w, notes: &Annotations{}}
	_ = in.find(w.ended, ts, in.shift, length, 0, g)
	return in
}

// TestWindowsSlide compares each kernel over many steps with the same kernel over one step at a time.
func TestWindowsSlide(t *testing.T) {
	for name, fn := range windowTable {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for range 50 {
				ts, values := randomSeries(r, r.IntN(80))
				g := plan.NewGrid(r.Int64N(100_000), 1_500_000, 1+r.Int64N(50_000))
				length := 1 + r.Int64N(200_000)
				args := [][]float64{slices.Repeat([]float64{0.4}, g.N), slices.Repeat([]float64{0.3}, g.N)}
				var all row
				all.reset(g.N)
				if err := fn.kernel(newWindowed(ts, values, g, length, args), &all); err != nil {
					t.Fatal(err)
				}
				for step := range g.N {
					one := plan.NewGrid(g.At(step), g.At(step), 0)
					var alone row
					alone.reset(1)
					if err := fn.kernel(newWindowed(ts, values, one, length, args), &alone); err != nil {
						t.Fatal(err)
					}
					if got, want := all.F[step], alone.F[0]; isAbsent(got) != isAbsent(want) || !almostEqual(got, want, 1e-12) {
						t.Fatalf("step %d: %v while sliding, %v alone", step, got, want)
					}
				}
			}
		})
	}
}

func TestWindowsAreOpenOnTheLeft(t *testing.T) {
	var ws windows
	_ = ws.find(func() error { return nil }, []int64{0, 10, 20, 30, 40}, plan.Shift{}, 20, 0, plan.NewGrid(20, 60, 20))
	if want := []int32{1, 3, 5}; !slices.Equal(ws.lo, want) {
		t.Errorf("windows begin at %v, want %v", ws.lo, want)
	}
	if want := []int32{3, 5, 5}; !slices.Equal(ws.hi, want) {
		t.Errorf("windows end at %v, want %v", ws.hi, want)
	}
}

func TestSumsAreCompensated(t *testing.T) {
	check := func(want float64, values ...float64) {
		t.Helper()
		if got := sumOf(values); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("sum of %v is %v, want %v", values, got, want)
		}
		n := float64(len(values))
		if got := avgOf(values); !almostEqual(got, want/n, 1e-15) && isFinite(want) {
			t.Errorf("average of %v is %v, want %v", values, got, want/n)
		}
	}
	check(2, 1, 1e100, 1, -1e100)
	check(0.6, 0.1, 0.2, 0.3)
	check(math.Inf(1), 1, math.Inf(1), 2)
	check(math.NaN(), math.Inf(1), math.Inf(-1))
	check(math.Inf(1), math.MaxFloat64, math.MaxFloat64)
	if got := avgOf([]float64{math.MaxFloat64, math.MaxFloat64}); got != math.MaxFloat64 {
		t.Errorf("average of the largest floats is %v", got)
	}
}

func BenchmarkWindow(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	ts, values := make([]int64, 1440), make([]float64, 1440)
	v := 0.0
	for i := range ts {
		v += r.Float64()
		ts[i], values[i] = int64(i)*15_000, v
	}
	g := plan.NewGrid(3_600_000, 1440*15_000, 60_000)
	for _, name := range []string{"rate", "sum_over_time", "max_over_time", "quantile_over_time"} {
		b.Run("func="+name, func(b *testing.B) {
			in := newWindowed(ts, values, g, 3_600_000, [][]float64{slices.Repeat([]float64{0.9}, g.N)})
			var dst row
			b.ReportAllocs()
			for b.Loop() {
				dst.reset(g.N)
				if err := windowTable[name].kernel(in, &dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestLongGridsGiveTheSameInPieces evaluates a kernel on a grid of more steps than are done at once.
func TestLongGridsGiveTheSameInPieces(t *testing.T) {
	g := plan.NewGrid(0, pieceSteps+10_000, 1)
	var ts []int64
	var values []float64
	for t := int64(1); t < g.End(); t += 1000 {
		ts, values = append(ts, t), append(values, float64(t%7919))
	}
	args := [][]float64{make([]float64, g.N)}
	for i := range args[0] {
		args[0][i] = float64(i%7+1) / 9
	}
	for _, name := range []string{
		"rate", "max_over_time", "quantile_over_time", "last_over_time", "sum_over_time", "avg_over_time", "stddev_over_time", "changes",
		"ts_of_min_over_time", "predict_linear",
	} {
		fn := windowTable[name]
		whole, pieces := row{}, row{}
		whole.reset(g.N)
		pieces.reset(g.N)
		in := newWindowed(ts, values, g, 5000, [][]float64{args[0], args[0]})
		if err := fn.kernel(in, &whole); err != nil {
			t.Fatal(name, err)
		}
		if err := (&window{fn: fn}).applyInPieces(newWindowed(ts, values, g, 5000, [][]float64{args[0], args[0]}), &pieces); err != nil {
			t.Fatal(name, err)
		}
		for i := range whole.F {
			if a, b := whole.F[i], pieces.F[i]; a != b && math.Abs(a-b) > 1e-9*math.Abs(a) && !(math.IsNaN(a) && math.IsNaN(b)) {
				t.Errorf("%s: %g at step %d, in pieces %g", name, a, i, b)
				break
			}
		}
	}
}
