package chunk

import (
	"fmt"
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

// BenchmarkDecodeManyHistograms decodes a thousand chunks in turn, so that the processor can't learn one by heart.
func BenchmarkDecodeManyHistograms(b *testing.B) {
	for _, grown := range []int64{3, 100} {
		for _, kind := range []string{"int", "float"} {
			chunks := make([]*HistogramWriter, 1000)
			samples := 0
			for i := range chunks {
				chunks[i] = growingHistograms(uint64(i), grown, kind == "float")
				samples += chunks[i].Samples()
			}
			b.Run(fmt.Sprintf("kind=%s/grown=%d", kind, grown), func(b *testing.B) {
				var d Decoder
				cols := Columns{Lent: histogram.NewReusable()}
				b.ReportAllocs()
				for b.Loop() {
					for _, c := range chunks {
						cols.Lent.Reset()
						cols.T, cols.F, cols.H = cols.T[:0], cols.F[:0], cols.H[:0]
						if err := d.Decode(c.Encoding(), c.Bytes(), 15_000*30, math.MaxInt64, &cols); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			})
		}
	}
}

// growingHistograms is a full chunk of histograms whose 12 buckets grow by less than the given number.
func growingHistograms(seed uint64, grown int64, floats bool) *HistogramWriter {
	r := rand.New(rand.NewPCG(seed, 2))
	counts := make([]int64, 12)
	h := &histogram.Histogram{Schema: 3, PositiveSpans: []histogram.Span{{Offset: -4, Length: 12}}}
	grow := func() Native {
		h.PositiveBuckets = make([]int64, len(counts))
		before := int64(0)
		for i := range counts {
			n := r.Int64N(grown)
			counts[i] += n
			h.Count += uint64(n)
			h.Sum += float64(n) * float64(i)
			h.PositiveBuckets[i], before = counts[i]-before, counts[i]
		}
		if floats {
			return Native{Float: h.ToFloat()}
		}
		return Native{Int: h.Copy()}
	}
	w := BeginHistograms(nil, 0, grow())
	for t := int64(15_000); !w.Full() && w.Append(t, grow()); t += 15_000 {
	}
	return w
}
