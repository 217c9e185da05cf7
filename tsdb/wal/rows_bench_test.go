package wal

import (
	"fmt"
	"testing"
)

// BenchmarkCompress compresses the records of scrapes, each once in a while, as a log does.
func BenchmarkCompress(b *testing.B) {
	for _, size := range []int{50, 200, 1250, -2000} {
		var recs [][]byte
		for i := range 200 {
			if size < 0 { // A hundred series with twenty samples each.
				recs = append(recs, AppendSamplesV2(nil, pastOf(-size/20, 20, 15_000, uint64(i))))
				continue
			}
			recs = append(recs, AppendSamplesV2(nil, scrapeOf(size, uint64(i))))
		}
		size, of := max(size, -size), "scrapes"
		if len(recs[0]) > 12*size {
			of = "past"
		}
		for _, kind := range []Compression{Zstd, ZstdLight} {
			b.Run(fmt.Sprintf("of=%s/samples=%d/light=%v", of, size, kind == ZstdLight), func(b *testing.B) {
				c, err := newCompressor(kind)
				if err != nil {
					b.Fatal(err)
				}
				i, in, out := 0, 0, 0
				b.ReportAllocs()
				for b.Loop() {
					enc, _ := c.encode(recs[i%len(recs)])
					i, in, out = i+1, in+size, out+len(enc)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(in), "ns/sample")
				b.ReportMetric(float64(out)/float64(in), "B/sample")
			})
		}
	}
}
