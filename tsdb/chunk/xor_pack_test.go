package chunk

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// packLoads are values as they are found in metrics.
func packLoads(r *rand.Rand) map[string]func(i int, last float64) float64 {
	return map[string]func(i int, last float64) float64{
		"constant":  func(int, float64) float64 { return 4.7 },
		"counter":   func(_ int, last float64) float64 { return last + float64(r.IntN(1000)) },
		"slow":      func(_ int, last float64) float64 { return last + float64(r.IntN(20)/19) },
		"seconds":   func(_ int, last float64) float64 { return math.Round((last+r.Float64())*100) / 100 },
		"percent":   func(int, float64) float64 { return float64(r.IntN(1000)) / 10 },
		"bytes":     func(_ int, last float64) float64 { return last + 4096*float64(r.IntN(200)-100) },
		"noise":     func(int, float64) float64 { return r.NormFloat64() },
		"few bits":  func(int, float64) float64 { return float64(r.IntN(3)) },
		"any bits":  func(int, float64) float64 { return math.Float64frombits(r.Uint64()) },
		"one spike": func(i int, _ float64) float64 { return 100 + float64(i%3) + math.Pi*float64(i/60%2)*float64(i%60/59) },
	}
}

func packLoad(next func(i int, last float64) float64, n int) (ts []int64, vs []float64) {
	last := 1000.0
	for i := range n {
		last = next(i, last)
		ts, vs = append(ts, int64(i)*15_000+int64(i%7/6)), append(vs, last)
	}
	return ts, vs
}

// TestPackedChunksAreSmallerAndReadTheSame compares with the chunks of XORState.
func TestPackedChunksAreSmallerAndReadTheSame(t *testing.T) {
	var p XORPacker
	var b []byte
	r := rand.New(rand.NewPCG(1, 2))
	loads := packLoads(r)
	for _, name := range slices.Sorted(maps.Keys(loads)) {
		next, sum, plain := loads[name], 0, 0
		for _, n := range []int{1, 2, 3, 17, 120, 240, 960} {
			ts, vs := packLoad(next, n)
			b = p.Encode(b, ts, vs)
			gotT, gotV, err := DecodeXOR(b, math.MinInt64, math.MaxInt64, nil, nil)
			if err != nil || !slices.Equal(gotT, ts) || !slices.EqualFunc(gotV, vs, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
				t.Fatalf("%s, %d samples: got %v %v, %v, want %v %v", name, n, gotT, gotV, err, ts, vs)
			}
			var s XORState
			var other []byte
			for i := range ts {
				other = s.Append(other, ts[i], vs[i])
			}
			sum, plain = sum+len(b), plain+len(other)
			// Who goes on with a packed chunk can do so.
			resumed, err := ResumeXOR(b)
			if err != nil || resumed.Samples() != n {
				t.Fatalf("%s: %v", name, err)
			}
			longer, _, err := DecodeXOR(resumed.Append(slices.Clone(b), ts[n-1]+1, 7), math.MinInt64, math.MaxInt64, nil, nil)
			if err != nil || len(longer) != n+1 || longer[n] != ts[n-1]+1 {
				t.Fatalf("%s: %v, %v", name, longer, err)
			}
		}
		t.Logf("%-10s %6d bytes, %6d before: %.3f", name, sum, plain, float64(sum)/float64(plain))
		if sum > plain {
			t.Errorf("%s: %d bytes, XORState needs %d", name, sum, plain)
		}
	}
}

func FuzzPackXOR(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopq"))
	f.Add([]byte{0, 0, 1, 2, 255, 255, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		var ts []int64
		var vs []float64
		at := int64(0)
		for i, c := range data {
			at += 1 + int64(c)<<(i%40)
			ts, vs = append(ts, at), append(vs, math.Float64frombits(uint64(c)<<(uint(c)*7%57)))
		}
		if len(ts) == 0 || len(ts) > MaxSamples {
			return
		}
		var p XORPacker
		gotT, gotV, err := DecodeXOR(p.Encode(nil, ts, vs), math.MinInt64, math.MaxInt64, nil, nil)
		if err != nil || !slices.Equal(gotT, ts) || !slices.EqualFunc(gotV, vs, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Fatalf("got %v %v, %v, want %v %v", gotT, gotV, err, ts, vs)
		}
	})
}

func BenchmarkPackXOR(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"constant", "counter", "percent", "noise"} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			ts, vs := packLoad(packLoads(r)[name], 240)
			var p XORPacker
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = p.Encode(buf, ts, vs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ts)), "ns/sample")
			b.ReportMetric(float64(len(buf))/float64(len(ts)), "B/sample")
		})
	}
}
