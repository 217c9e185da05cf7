package chunk

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/narthex-io/narthex/model/histogram"
)

// benchHistograms is a chunk of 100 histograms whose 20 buckets grow, each of them now and then.
func benchHistograms(b *testing.B, floats bool) (Encoding, []byte) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	h := &histogram.Histogram{Schema: 3, PositiveSpans: []histogram.Span{{Offset: -4, Length: 20}}, PositiveBuckets: make([]int64, 20)}
	native := func() Native {
		c := h.Copy()
		if floats {
			return Native{Float: c.ToFloat()}
		}
		return Native{Int: c}
	}
	counts := make([]int64, 20)
	w := BeginHistograms(nil, 0, native())
	for t := range int64(99) {
		before := int64(0)
		for i := range counts {
			n := r.Int64N(3)
			counts[i] += n
			h.Count += uint64(n)
			h.PositiveBuckets[i], before = counts[i]-before, counts[i]
		}
		h.Sum += r.Float64()
		if !w.Append(15_000*(t+1), native()) {
			b.Fatal("the chunk takes no more")
		}
	}
	return w.Encoding(), w.Bytes()
}

func BenchmarkDecodeHistograms(b *testing.B) {
	for _, kind := range []string{"int", "float"} {
		enc, data := benchHistograms(b, kind == "float")
		b.Run("kind="+kind+"/memory=new", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var cols Columns
				if err := Decode(enc, data, math.MinInt64, math.MaxInt64, &cols); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("kind="+kind+"/memory=lent", func(b *testing.B) {
			var d Decoder
			cols := Columns{Lent: histogram.NewReusable()}
			b.ReportAllocs()
			for b.Loop() {
				cols.Lent.Reset()
				cols.T, cols.F, cols.H = cols.T[:0], cols.F[:0], cols.H[:0]
				if err := d.Decode(enc, data, math.MinInt64, math.MaxInt64, &cols); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
