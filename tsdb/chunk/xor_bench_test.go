package chunk

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// benchPoints are 120 samples as scrapes bring them.
func benchPoints(kind string, seed uint64) []point {
	r := rand.New(rand.NewPCG(seed, 2))
	points := make([]point, 120)
	t, v := int64(1_700_000_000_000), 0.0
	for i := range points {
		t += 15_000
		switch kind {
		case "constant":
			v = 42
		case "counter":
			v += float64(r.IntN(500))
		case "gauge":
			v = r.NormFloat64() * 100
		case "jitter":
			t += r.Int64N(20) - 10
			v += float64(r.IntN(500))
		}
		points[i] = point{t, v}
	}
	return points
}

func BenchmarkAppendXOR(b *testing.B) {
	for _, kind := range []string{"constant", "counter", "gauge", "jitter"} {
		b.Run("data="+kind, func(b *testing.B) {
			points := benchPoints(kind, 1)
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				var s XORState
				buf = buf[:0]
				for _, p := range points {
					buf = s.Append(buf, p.t, p.v)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(points)), "ns/sample")
			b.ReportMetric(float64(len(buf))/float64(len(points)), "B/sample")
		})
	}
}

// BenchmarkDecodeXOR reads many different chunks in turn: a processor learns the branches that a single one takes.
func BenchmarkDecodeXOR(b *testing.B) {
	const chunks = 512
	for _, kind := range []string{"constant", "counter", "gauge", "jitter"} {
		var all [][]byte
		for seed := range uint64(chunks) {
			all = append(all, encodeXOR(benchPoints(kind, seed)))
		}
		run := func(loop string, decode func(data []byte, c *Columns)) {
			b.Run(fmt.Sprintf("data=%s/loop=%s", kind, loop), func(b *testing.B) {
				var c Columns
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					c.T, c.F = c.T[:0], c.F[:0]
					decode(all[i%chunks], &c)
				}
				if len(c.T) != 120 {
					b.Fatalf("got %d samples", len(c.T))
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.T)), "ns/sample")
			})
		}
		run("fast", func(data []byte, c *Columns) {
			c.T, c.F, _ = DecodeXOR(data, math.MinInt64, math.MaxInt64, c.T, c.F)
		})
		run("plain", func(data []byte, c *Columns) {
			d := xorReader{r: bitReader{data: data, pos: 2}}
			for i := range 120 {
				d.next(i)
				c.T = append(c.T, d.t)
				c.F = append(c.F, d.v.float())
			}
		})
	}
}
