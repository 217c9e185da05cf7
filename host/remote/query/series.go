package query

import (
	"math"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// minTime and maxTime bound all samples.
const minTime, maxTime = math.MinInt64, math.MaxInt64

// series is one of a remote: chunks in order of time, none of which overlap.
type series struct {
	labels labels.Labels
	chunks []storage.Chunk
	// mint and maxt bound the samples that count.
	mint, maxt int64
}

// Labels returns the identity.
func (s *series) Labels() labels.Labels { return s.labels }

// Samples returns a reader, the given one if it is of a remote's series.
func (s *series) Samples(reuse storage.ColumnReader) storage.ColumnReader {
	r, ok := reuse.(*reader)
	if !ok {
		r = &reader{}
	}
	r.series, r.next, r.err = s, 0, nil
	return r
}

// reader reads a series, a chunk at a time.
type reader struct {
	series  *series
	next    int
	decoder chunk.Decoder
	err     error
}

var _ storage.ChunkReader = (*reader)(nil)

// Read decodes the next chunk.
func (r *reader) Read(dst *storage.Columns) bool {
	s := r.series
	for r.err == nil && r.next < len(s.chunks) {
		c := &s.chunks[r.next]
		r.next++
		before := dst.Len()
		if r.err = r.decoder.Decode(chunk.Encoding(c.Encoding), c.Data, s.mint, s.maxt, (*chunk.Columns)(dst)); r.err == nil && dst.Len() > before {
			return true
		}
	}
	return false
}

// Err returns why a chunk cannot be read.
func (r *reader) Err() error { return r.err }

// Bounds returns times between which all samples lie.
func (r *reader) Bounds() (minT, maxT int64) {
	cs := r.series.chunks
	if len(cs) == 0 {
		return maxTime, minTime
	}
	return max(cs[0].MinT, r.series.mint), min(cs[len(cs)-1].MaxT, r.series.maxt)
}

// Chunks returns the chunks, of which those at the ends of the range are cut down to it.
func (r *reader) Chunks(dst []storage.Chunk) ([]storage.Chunk, error) {
	s := r.series
	for _, c := range s.chunks[r.next:] {
		if c.MinT < s.mint || c.MaxT > s.maxt {
			part, err := chunk.Filter(chunk.Encoding(c.Encoding), c.Data, func(t int64) bool { return t >= s.mint && t <= s.maxt })
			if err != nil {
				return dst, err
			}
			if part.Samples == 0 {
				continue
			}
			c.MinT, c.MaxT, c.Data = part.MinT, part.MaxT, part.Data
		}
		dst = append(dst, c)
	}
	r.next = len(s.chunks)
	return dst, nil
}
