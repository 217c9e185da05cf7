package block

import (
	"bytes"
	"math"
	"testing"

	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// TestUpstreamHistogramChunksAreWrittenTheSame encodes again what Prometheus's blocks hold.
func TestUpstreamHistogramChunksAreWrittenTheSame(t *testing.T) {
	checked := 0
	for _, b := range sharedBlocks(t) {
		eachChunk(t, b, func(c index.ChunkMeta, enc chunk.Encoding, data []byte) {
			if enc != chunk.EncHistogram && enc != chunk.EncFloatHistogram {
				return
			}
			same, err := chunk.Filter(enc, data, func(int64) bool { return true })
			if err != nil || !bytes.Equal(same.Data, data) || same.MinT != c.MinTime || same.MaxT != c.MaxTime {
				t.Fatalf("%s: chunk %x, %v:\ngot  %x\nwant %x", b.Dir(), c.Ref, err, same.Data, data)
			}
			var cols chunk.Columns
			if err := chunk.Decode(enc, data, math.MinInt64, math.MaxInt64, &cols); err != nil {
				t.Fatal(err)
			}
			part, err := chunk.Filter(enc, data, func(at int64) bool { return at > c.MinTime })
			if err != nil || part.Samples != len(cols.T)-1 {
				t.Fatalf("%d of %d samples are left, %v", part.Samples, len(cols.T), err)
			}
			checked++
		})
	}
	t.Logf("%d chunks", checked)
	if checked == 0 {
		t.Error("no chunk of histograms was found")
	}
}
