package chunk

import (
	"bytes"
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

// TestJoinedChunksAreThoseOfTheirSamples: adding chunks is encoding what they hold.
func TestJoinedChunksAreThoseOfTheirSamples(t *testing.T) {
	var p, other XORPacker
	var b []byte
	r := rand.New(rand.NewPCG(3, 4))
	loads := packLoads(r)
	for _, name := range slices.Sorted(maps.Keys(loads)) {
		for _, parts := range [][]int{{1}, {2}, {3}, {1, 1}, {1, 2, 1}, {2, 1}, {120}, {120, 120}, {7, 100, 1, 90}, {500}} {
			for _, jitter := range []int64{0, 5, 9_000, 70_000, 500_000, 1 << 40} {
				n := 0
				for _, k := range parts {
					n += k
				}
				ts, vs := packLoad(loads[name], n)
				for i := range ts {
					ts[i] += int64(i) * jitter
					if jitter > 0 {
						ts[i] += r.Int64N(jitter)
					}
				}
				p.Reset()
				at := 0
				for _, k := range parts {
					var s XORState
					var raw []byte
					for i := at; i < at+k; i++ {
						raw = s.Append(raw, ts[i], vs[i])
					}
					if err := p.Add(raw); err != nil {
						t.Fatal(err)
					}
					at += k
				}
				b = p.Bytes(b)
				if want := other.Encode(nil, ts, vs); !bytes.Equal(b, want) {
					t.Fatalf("%s, %v, jitter %d: got %x, want %x", name, parts, jitter, b, want)
				}
				if minT, maxT := p.Bounds(); minT != ts[0] || maxT != ts[n-1] || p.Samples() != n {
					t.Fatalf("%s, %v: %d samples from %d to %d", name, parts, p.Samples(), minT, maxT)
				}
			}
		}
	}
}

// FuzzJoinXOR adds any bytes: they are taken, and become a chunk of the same samples, if and only if they can be decoded.
func FuzzJoinXOR(f *testing.F) {
	for _, kind := range []string{"constant", "counter", "gauge", "jitter"} {
		f.Add(encodeXOR(benchPoints(kind, 1)), encodeXOR(benchPoints(kind, 2)))
	}
	f.Add([]byte{0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var p XORPacker
		var ts []int64
		var vs []float64
		for _, data := range [][]byte{a, b} {
			before := len(ts)
			gotT, gotV, err := DecodeXOR(data, math.MinInt64, math.MaxInt64, ts, vs)
			if added := p.Add(data); (added == nil) != (err == nil) {
				t.Fatalf("%x: added %v, decoded %v", data, added, err)
			}
			if err != nil {
				return
			}
			if ts, vs = gotT, gotV; len(ts) > MaxSamples {
				return
			}
			if n, _ := Samples(EncXOR, data); len(ts)-before != n {
				return // Times that are out of order end the decoding.
			}
		}
		if len(ts) == 0 {
			return
		}
		var other XORPacker
		if got, want := p.Bytes(nil), other.Encode(nil, ts, vs); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
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

// BenchmarkJoinXOR packs two chunks of 120 samples, as a cut does, from their bytes and from their samples.
func BenchmarkJoinXOR(b *testing.B) {
	const chunks = 512
	for _, kind := range []string{"constant", "counter", "gauge", "jitter"} {
		var all [][]byte
		for seed := range uint64(chunks) {
			points := benchPoints(kind, seed)
			if seed%2 == 1 {
				for i := range points {
					points[i].t += 120 * 15_000
				}
			}
			all = append(all, encodeXOR(points))
		}
		run := func(from string, pack func(p *XORPacker, b, first, second []byte) []byte) {
			b.Run(fmt.Sprintf("data=%s/from=%s", kind, from), func(b *testing.B) {
				var p XORPacker
				var buf []byte
				b.ReportAllocs()
				for i := 0; b.Loop(); i += 2 {
					buf = pack(&p, buf, all[i%chunks], all[i%chunks+1])
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*240), "ns/sample")
			})
		}
		run("bytes", func(p *XORPacker, b, first, second []byte) []byte {
			p.Reset()
			_, _ = p.Add(first), p.Add(second)
			return p.Bytes(b)
		})
		var ts []int64
		var vs []float64
		run("samples", func(p *XORPacker, b, first, second []byte) []byte {
			ts, vs, _ = DecodeXOR(first, math.MinInt64, math.MaxInt64, ts[:0], vs[:0])
			ts, vs, _ = DecodeXOR(second, math.MinInt64, math.MaxInt64, ts, vs)
			return p.Encode(b, ts, vs)
		})
	}
}
