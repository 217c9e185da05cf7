package compact

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// headChunks returns chunks of up to 120 samples as the head makes them, of a counter.
func headChunks(samples int) []block.Chunk {
	var chunks []block.Chunk
	var s chunk.XORState
	for i := range samples {
		if i%120 == 0 {
			chunks = append(chunks, block.Chunk{Encoding: chunk.EncXOR, MinTime: int64(i) * 15_000})
			s = chunk.XORState{}
		}
		c := &chunks[len(chunks)-1]
		c.MaxTime = int64(i) * 15_000
		c.Data = s.Append(c.Data, c.MaxTime, float64(50*i+i*i%7))
	}
	return chunks
}

func decodeAll(t *testing.T, chunks []block.Chunk) storage.Columns {
	t.Helper()
	var c storage.Columns
	for _, one := range chunks {
		before := c.Len()
		if err := chunk.Decode(one.Encoding, one.Data, math.MinInt64, math.MaxInt64, (*chunk.Columns)(&c)); err != nil {
			t.Fatal(err)
		}
		if one.MinTime != c.T[before] || one.MaxTime != c.T[c.Len()-1] {
			t.Fatalf("a chunk from %d to %d claims to reach from %d to %d", c.T[before], c.T[c.Len()-1], one.MinTime, one.MaxTime)
		}
	}
	return c
}

func TestPackedChunksAreFewerAndNotPackedAgain(t *testing.T) {
	var p Packer
	for _, n := range []int{1, 100, 120, 121, 480, 500} {
		chunks := headChunks(n)
		size := func(all []block.Chunk) (n int) {
			for _, c := range all {
				n += len(c.Data)
			}
			return n
		}
		packed := slices.Clone(p.Pack(chunks))
		want, got := decodeAll(t, chunks), decodeAll(t, packed)
		if !slices.Equal(got.T, want.T) || !slices.Equal(got.F, want.F) {
			t.Fatalf("%d samples: got others", n)
		}
		if most := (n + maxSamples - 1) / maxSamples; len(packed) > most || size(packed) > size(chunks) {
			t.Errorf("%d samples: %d chunks of %d bytes, from %d of %d", n, len(packed), size(packed), len(chunks), size(chunks))
		}
		var again Packer
		for i, c := range again.Pack(packed) {
			if n >= 2*maxSamples && i < 2 && &c.Data[0] != &packed[i].Data[0] {
				t.Errorf("%d samples: chunk %d of %d was packed again", n, i, len(packed))
			}
		}
	}
}

func TestPackLeavesWhatItCannotRead(t *testing.T) {
	chunks := headChunks(240)
	chunks[1].Data = chunks[1].Data[:20]
	var p Packer
	got := p.Pack(chunks)
	if len(got) != 2 || !bytes.Equal(got[0].Data, chunks[0].Data) || !bytes.Equal(got[1].Data, chunks[1].Data) {
		t.Fatalf("got %v", got)
	}
	next := p.Pack(headChunks(240))
	if c := decodeAll(t, next); len(next) != 1 || c.Len() != 240 {
		t.Fatalf("the next series has %d samples in %d chunks", c.Len(), len(next))
	}
}
