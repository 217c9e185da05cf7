package inspect

import (
	"fmt"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// BenchmarkDump prints 1000 series with 240 samples each.
func BenchmarkDump(b *testing.B) {
	dir := b.TempDir()
	w, err := block.NewWriter(block.WriterOptions{Dir: dir, MaxTime: 7_200_000})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		var packer chunk.XORPacker
		ts, vs := make([]int64, 240), make([]float64, 240)
		for k := range ts {
			ts[k], vs[k] = int64(k)*30_000, float64(k*(i%7+1))+0.25*float64(i%3)
		}
		c := block.Chunk{Encoding: chunk.EncXOR, Data: packer.Encode(nil, ts, vs), MaxTime: ts[239]}
		if err := w.Add(ls("__name__", "http_requests_total", "instance", fmt.Sprintf("host-%04d:9090", i), "job", "api"), []block.Chunk{c}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Finish(); err != nil {
		b.Fatal(err)
	}
	db, err := tsdb.OpenReadOnly(b.Context(), tsdb.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer closeAll(b, db)
	for _, format := range []Format{FormatProm, FormatSeriesJSON, FormatOpenMetrics} {
		b.Run("format="+string(format), func(b *testing.B) {
			b.ReportAllocs()
			var n counter
			for b.Loop() {
				q, err := db.Querier(-always, always)
				if err != nil {
					b.Fatal(err)
				}
				n = 0
				if err := Dump(b.Context(), &n, DumpOptions{Querier: q, Matchers: [][]*labels.Matcher{matcher("__name__", ".*")}, Format: format}); err != nil {
					b.Fatal(err)
				}
				if err := q.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(n))
		})
	}
}

// counter counts bytes.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}
