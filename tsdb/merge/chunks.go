package merge

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// Chunks appends the chunks of all sources.
func (r *reader) Chunks(dst []storage.Chunk) ([]storage.Chunk, error) {
	before := len(dst)
	for i := range r.sources {
		c, ok := r.sources[i].reader.(storage.ChunkReader)
		if !ok {
			return dst, fmt.Errorf("read chunks: %w", errors.ErrUnsupported)
		}
		var err error
		if dst, err = c.Chunks(dst); err != nil {
			return dst, err
		}
	}
	apart, err := Apart(dst[before:])
	return append(dst[:before], apart...), err
}

// Apart returns chunks with the samples of the given ones, in order of time, none of which overlap. Those that do not overlap
// with others stay as they are. Where several have a sample of the same time, that of the first counts.
func Apart(chunks []storage.Chunk) ([]storage.Chunk, error) {
	apart := true
	for i := 1; i < len(chunks) && apart; i++ {
		apart = chunks[i].MinT > chunks[i-1].MaxT
	}
	if apart { // Fast path: nothing came out of order.
		return chunks, nil
	}
	all := make([]ranked, len(chunks))
	for i, c := range chunks {
		all[i] = ranked{c, i}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.MinT, b.MinT) })
	var out []storage.Chunk
	for len(all) > 0 {
		n, end := 1, all[0].MaxT
		for n < len(all) && all[n].MinT <= end {
			end = max(end, all[n].MaxT)
			n++
		}
		run := all[:n]
		all = all[n:]
		if n == 1 {
			out = append(out, run[0].Chunk)
			continue
		}
		var err error
		if out, err = encodeRun(out, run); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ranked is a chunk with its place among those that were given.
type ranked struct {
	storage.Chunk
	rank int
}

// origin says where a sample of a run is.
type origin struct {
	t        int64
	part, at int
}

// encodeRun writes chunks that overlap anew.
func encodeRun(dst []storage.Chunk, run []ranked) ([]storage.Chunk, error) {
	var all []origin
	columns := make([]chunk.Columns, len(run))
	floats := true
	for i := range run {
		floats = floats && chunk.Encoding(run[i].Encoding) == chunk.EncXOR
		if err := chunk.Decode(chunk.Encoding(run[i].Encoding), run[i].Data, math.MinInt64, math.MaxInt64, &columns[i]); err != nil {
			return dst, fmt.Errorf("merge chunks that overlap: %w", err)
		}
		for at, t := range columns[i].T {
			all = append(all, origin{t, i, at})
		}
	}
	slices.SortFunc(all, func(a, b origin) int {
		return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(run[a.part].rank, run[b.part].rank))
	})
	all = slices.CompactFunc(all, func(a, b origin) bool { return a.t == b.t })
	if !floats {
		return encodeStretches(dst, run, all)
	}
	for part := range slices.Chunk(all, chunk.TargetSamples) {
		var x chunk.XORState
		var data []byte
		for _, o := range part {
			data = x.Append(data, o.t, columns[o.part].F[o.at])
		}
		dst = append(dst, storage.Chunk{MinT: part[0].t, MaxT: part[len(part)-1].t, Encoding: uint8(chunk.EncXOR), Data: data})
	}
	return dst, nil
}

// encodeStretches makes a chunk of each stretch of samples that come from one chunk, in the encoding of that, so that
// histograms of whole numbers stay such and start timestamps are kept.
func encodeStretches(dst []storage.Chunk, run []ranked, all []origin) ([]storage.Chunk, error) {
	for start := 0; start < len(all); {
		end := start + 1
		for end < len(all) && all[end].part == all[start].part {
			end++
		}
		stretch, c := all[start:end], run[all[start].part]
		kept, err := chunk.Filter(chunk.Encoding(c.Encoding), c.Data, func(t int64) bool {
			_, found := slices.BinarySearchFunc(stretch, t, func(o origin, t int64) int { return cmp.Compare(o.t, t) })
			return found
		})
		if err != nil {
			return dst, fmt.Errorf("merge chunks that overlap: %w", err)
		}
		if start > 0 {
			chunk.ForgetReset(chunk.Encoding(c.Encoding), kept.Data)
		}
		dst = append(dst, storage.Chunk{MinT: kept.MinT, MaxT: kept.MaxT, Encoding: c.Encoding, Data: kept.Data})
		start = end
	}
	return dst, nil
}
