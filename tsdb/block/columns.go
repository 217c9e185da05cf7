package block

import (
	"fmt"
	"math"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// columnReader decodes a series chunk by chunk.
type columnReader struct {
	series     *series
	block      *Block
	mint, maxt int64
	chunks     []index.ChunkMeta
	next       int
	deleted    []Interval
	// decoder keeps its memory from one series to the next.
	decoder chunk.Decoder
	err     error
}

func (r *columnReader) Err() error { return r.err }

// Bounds returns the times between which the samples that are left lie.
func (r *columnReader) Bounds() (minT, maxT int64) {
	if r.next == len(r.chunks) {
		return math.MaxInt64, math.MinInt64
	}
	return max(r.mint, r.chunks[r.next].MinTime), min(r.maxt, r.chunks[len(r.chunks)-1].MaxTime)
}

// Read decodes the next chunk that has samples in the range which are not deleted.
func (r *columnReader) Read(dst *storage.Columns) bool {
	for r.err == nil && r.next < len(r.chunks) {
		c := r.chunks[r.next]
		r.next++
		before := dst.Len()
		if err := r.decode(c.Ref, dst); err != nil {
			err = r.block.found(fmt.Errorf("read series %s: %w", r.series.Labels(), err))
			truncate(dst, before)
			if r.block.skips(err) {
				continue
			}
			r.err = err
			return false
		}
		if len(r.deleted) > 0 {
			DropDeleted(dst, before, r.deleted)
		}
		if dst.Len() > before {
			return true
		}
	}
	return false
}

func (r *columnReader) decode(ref uint64, dst *storage.Columns) error {
	s := r.block.segments
	enc, data, err := s.chunk(ref)
	if err != nil {
		return err
	}
	if err := r.decoder.Decode(enc, data, r.mint, r.maxt, (*chunk.Columns)(dst)); err != nil {
		return fmt.Errorf("%s: chunk at offset %d: %w", segmentName(s.dir, int(ref>>32)+1), uint32(ref), err)
	}
	return nil
}

// DropDeleted removes the samples from position from on that lie in one of the intervals, which are sorted. What a histogram
// says about the one before it is forgotten if that is removed.
func DropDeleted(c *storage.Columns, from int, deleted []Interval) {
	out, gap := from, false
	for i := from; i < c.Len(); i++ {
		for len(deleted) > 0 && deleted[0].MaxTime < c.T[i] {
			deleted = deleted[1:]
		}
		if len(deleted) > 0 && deleted[0].MinTime <= c.T[i] {
			gap = true
			continue
		}
		if out != i {
			c.T[out], c.F[out] = c.T[i], c.F[i]
			if len(c.H) > 0 {
				c.H[out] = c.H[i]
			}
			if len(c.ST) > 0 {
				c.ST[out] = c.ST[i]
			}
		}
		if gap {
			c.ForgetReset(out)
			gap = false
		}
		out++
	}
	truncate(c, out)
}

// truncate keeps the first n samples.
func truncate(c *storage.Columns, n int) {
	c.T, c.F = c.T[:n], c.F[:n]
	if len(c.H) > n {
		clear(c.H[n:])
		c.H = c.H[:n]
	}
	if len(c.ST) > n {
		c.ST = c.ST[:n]
	}
}

// Samples decodes a chunk of the block as a whole, deleted samples included, and appends it to dst; ref is that of the
// index. It serves those who merge or check blocks.
func (b *Block) Samples(ref uint64, dst *storage.Columns) error {
	enc, data, err := b.segments.chunk(ref)
	if err != nil {
		return err
	}
	return chunk.Decode(enc, data, math.MinInt64, math.MaxInt64, (*chunk.Columns)(dst))
}

// Chunk returns the encoding and the bytes of a chunk; ref is that of the index. The bytes are mapped: they must
// neither be changed nor be used after Close.
func (b *Block) Chunk(ref uint64) (chunk.Encoding, []byte, error) { return b.segments.chunk(ref) }
