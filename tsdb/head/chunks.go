package head

import (
	"fmt"
	"slices"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/merge"
)

// Chunks implements [storage.ChunkReader].
func (r *columnReader) Chunks(dst []storage.Chunk) ([]storage.Chunk, error) {
	if r.err != nil {
		return dst, r.err
	}
	inOrder, err := r.chunks(make([]block.Chunk, 0, 4), func(err error) { r.err = fmt.Errorf("read chunk in head: %w", err) })
	if r.err == nil {
		r.err = err
	}
	if r.err != nil {
		return dst, r.err
	}
	before := len(dst)
	for _, c := range inOrder {
		dst = append(dst, storage.Chunk{MinT: c.MinTime, MaxT: c.MaxTime, Encoding: uint8(c.Encoding), Data: c.Data})
	}
	if r.full, r.open = nil, r.open[:0]; len(r.late) == 0 {
		return dst, nil
	}
	dst = r.lateChunks(dst)
	apart, err := merge.Apart(dst[before:])
	r.err = err
	return append(dst[:before], apart...), err
}

// lateChunks encodes what came out of order and is not deleted.
func (r *columnReader) lateChunks(dst []storage.Chunk) []storage.Chunk {
	samples := make([]lateSample, 0, len(r.late))
	for _, p := range r.late {
		if inAny(r.deleted, p.t) {
			continue
		}
		s := lateSample{t: p.t, st: p.st, v: p.f}
		switch {
		case p.h == nil:
		case p.enc == chunk.EncHistogram || p.enc == chunk.EncHistogramST:
			s.native.Int = p.h.ToInt()
		default:
			s.native.Float = p.h
		}
		samples = append(samples, s)
	}
	for r.late = nil; len(samples) > 0; {
		enc, data, n := encodeRun(samples)
		dst = append(dst, storage.Chunk{MinT: samples[0].t, MaxT: samples[n-1].t, Encoding: uint8(enc), Data: slices.Clip(data)})
		samples = samples[n:]
	}
	return dst
}
