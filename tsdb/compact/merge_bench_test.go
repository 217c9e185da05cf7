package compact

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/block"
)

// benchBlocks writes three blocks of two hours, with 2,000 series that are scraped every 15 s: a third of them stands
// still, a third counts, a third has values with few digits. shift moves each block's samples by as many milliseconds into
// the block before.
func benchBlocks(b *testing.B, dir string, shift int64) (blocks []*block.Block, samples int) {
	b.Helper()
	const width, hours2 = 2000, 7_200_000
	rnd := rand.New(rand.NewPCG(1, 1))
	value := make([]float64, width)
	for k := range int64(3) {
		var series []oneSeries
		mint := k * (hours2 - shift)
		for i := range width {
			var ts []int64
			var vs []float64
			for at := mint + int64(i%15_000); at < mint+hours2; at += 15_000 {
				switch i % 3 {
				case 1:
					value[i] += float64(rnd.IntN(1000))
				case 2:
					value[i] = float64(rnd.IntN(1000)) / 10
				}
				ts, vs = append(ts, at), append(vs, value[i])
			}
			samples += len(ts)
			ls := labels.FromStrings("__name__", fmt.Sprintf("metric_of_some_length_total_%d", i/10), "instance", "10.0.0.1:9100", "job", "node", "mode", fmt.Sprint(i%10))
			series = append(series, oneSeries{ls, xorChunks(ts, vs, 120)})
		}
		blocks = append(blocks, writeBlock(b, dir, mint, mint+hours2, series...))
	}
	return blocks, samples
}

// BenchmarkMerge merges blocks that follow each other, and blocks that overlap by half an hour.
func BenchmarkMerge(b *testing.B) {
	for name, shift := range map[string]int64{"adjacent": 0, "overlapping": 1_800_000} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			blocks, samples := benchBlocks(b, dir, shift)
			var before, after int64
			for _, o := range blocks {
				before += o.Size()
			}
			var meta block.Meta
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if meta, err = Merge(b.Context(), Options{Dir: dir}, blocks...); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				merged := openBlock(b, dir, meta)
				after = merged.Size()
				if err := os.RemoveAll(filepath.Join(dir, meta.ULID.String())); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*samples), "ns/sample")
			b.ReportMetric(float64(before)/float64(samples), "B/sample-before")
			b.ReportMetric(float64(after)/float64(meta.Stats.NumSamples), "B/sample-after")
		})
	}
}
