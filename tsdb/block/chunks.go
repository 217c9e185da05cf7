package block

import (
	"fmt"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// Chunks implements [storage.ChunkReader]: what lies within the range and is not deleted stays where it is mapped.
func (r *columnReader) Chunks(dst []storage.Chunk) ([]storage.Chunk, error) {
	for ; r.err == nil && r.next < len(r.chunks); r.next++ {
		c, found, err := r.chunk(r.chunks[r.next])
		if err != nil {
			if err = r.block.found(fmt.Errorf("read series %s: %w", r.series.Labels(), err)); !r.block.skips(err) {
				r.err = err
			}
		} else if found {
			dst = append(dst, c)
		}
	}
	return dst, r.err
}

// chunk returns a chunk, cut down to what is to be read, and whether anything is.
func (r *columnReader) chunk(meta index.ChunkMeta) (c storage.Chunk, found bool, err error) {
	s := r.block.segments
	enc, data, err := s.chunk(meta.Ref)
	if err != nil {
		return c, false, err
	}
	c = storage.Chunk{MinT: meta.MinTime, MaxT: meta.MaxTime, Encoding: uint8(enc), Data: data}
	if meta.MinTime >= r.mint && meta.MaxTime <= r.maxt && !touches(r.deleted, meta.MinTime, meta.MaxTime) {
		return c, true, nil
	}
	kept, err := chunk.Filter(enc, data, func(t int64) bool { return r.mint <= t && t <= r.maxt && !touches(r.deleted, t, t) })
	if err != nil {
		return c, false, fmt.Errorf("%s: chunk at offset %d: %w", segmentName(s.dir, int(meta.Ref>>32)+1), uint32(meta.Ref), err)
	}
	return storage.Chunk{MinT: kept.MinT, MaxT: kept.MaxT, Encoding: uint8(enc), Data: kept.Data}, kept.Samples > 0, nil
}

// touches reports whether something between two times is deleted.
func touches(deleted []Interval, mint, maxt int64) bool {
	for _, d := range deleted {
		if d.MinTime <= maxt && d.MaxTime >= mint {
			return true
		}
	}
	return false
}
