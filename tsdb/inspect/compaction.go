package inspect

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// distribution counts values.
type distribution map[int]int

// filling tells how well the chunks of one sort are filled.
type filling struct{ samples, bytes, buckets distribution }

func (f *filling) add(samples, size int) {
	f.samples[samples]++
	f.bytes[size]++
}

// compaction prints how well the chunks are filled.
func (a *analysis) compaction(ctx context.Context, p *printer) error {
	floats, histograms := filling{distribution{}, distribution{}, nil}, filling{distribution{}, distribution{}, distribution{}}
	total := 0
	var metas []index.ChunkMeta
	var d chunk.Decoder
	var columns chunk.Columns
	for i, id := range a.ids {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var err error
		if metas, err = a.index.Chunks(id, math.MinInt64, math.MaxInt64, metas[:0]); err != nil {
			continue // It was reported.
		}
		for _, m := range metas {
			enc, data, err := a.b.Chunk(m.Ref)
			if err != nil {
				a.Damaged(err)
				continue
			}
			n, err := chunk.Samples(enc, data)
			if err == nil && enc.IsHistogram() {
				columns = chunk.Columns{T: columns.T[:0], F: columns.F[:0], H: columns.H[:0]}
				err = d.Decode(enc, data, math.MinInt64, math.MaxInt64, &columns)
			}
			if err != nil {
				a.Damaged(fmt.Errorf("%s: segment %d, chunk at offset %d: %w", filepath.Join(a.b.Dir(), "chunks"), m.Ref>>32+1, uint32(m.Ref), err))
				continue
			}
			total++
			if !enc.IsHistogram() {
				floats.add(n, len(data))
				continue
			}
			histograms.add(n, len(data))
			histograms.buckets[buckets(&columns)]++
		}
	}
	p.linef("\nCompaction analysis:\n")
	p.distribution("samples per float chunk", floats.samples, total)
	p.distribution("bytes per float chunk", floats.bytes, total)
	p.distribution("samples per histogram chunk", histograms.samples, total)
	p.distribution("bytes per histogram chunk", histograms.bytes, total)
	p.distribution("buckets per histogram chunk", histograms.buckets, total)
	return p.err
}

// buckets returns the number of buckets in all samples of a chunk.
func buckets(c *chunk.Columns) (n int) {
	for _, h := range c.H {
		if h != nil {
			n += len(h.PositiveBuckets) + len(h.NegativeBuckets)
		}
	}
	return n
}

// distribution prints a bar for each class of values; total is the number of which they are shares.
func (p *printer) distribution(title string, d distribution, total int) {
	if len(d) == 0 {
		p.linef("%s: N/A\n", title)
		return
	}
	values := slices.Sorted(maps.Keys(d))
	least, most := values[0], values[len(values)-1]
	start, end, step := classes(least, most)
	counts := make([]int, (end-start)/step+1)
	sum, number := 0, 0
	for _, v := range values {
		counts[(v-start)/step] += d[v]
		sum += v * d[v]
		number += d[v]
	}
	p.linef("%s (min/avg/max): %d/%d/%d", title, least, sum/number, most)
	width := func(n int) int { return len(strconv.Itoa(n)) }
	left, right, count := width(end), width(end+step), width(slices.Max(counts))
	for i, n := range counts {
		p.linef("[%*d, %*d]: %*d %s", left, start+i*step+1, right, start+(i+1)*step, count, n, strings.Repeat("#", 100*n/total))
	}
	p.linef("")
}

// classes returns round bounds for about ten classes or fewer.
func classes(least, most int) (start, end, step int) {
	step = 10
	for step < (most-least)/10 && step <= 10_000 {
		step *= 10
	}
	return least - least%step, most - most%step + step, step
}
