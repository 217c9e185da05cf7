package compact

import (
	"cmp"
	"math"
	"slices"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
)

// origin says in which chunk a sample is.
type origin struct {
	t    int64
	part int
}

// mergeNative merges chunks that overlap and of which some hold histograms, or writes one anew without what is deleted.
// Samples stay in the encoding of their chunk: where the chunks alternate, each stretch becomes a chunk of its own.
func (s *seriesMerger) mergeNative(run []part) error {
	all, err := origins(run)
	if err != nil {
		return err
	}
	for start := 0; start < len(all); {
		end := start + 1
		for end < len(all) && all[end].part == all[start].part {
			end++
		}
		p := &run[all[start].part]
		kept, err := chunk.Filter(p.Encoding, p.Data, func(t int64) bool {
			_, found := slices.BinarySearchFunc(all[start:end], t, func(o origin, t int64) int { return cmp.Compare(o.t, t) })
			return found
		})
		if err != nil {
			return err
		}
		if start > 0 {
			chunk.ForgetReset(p.Encoding, kept.Data)
		}
		c := block.Chunk{Encoding: p.Encoding, Data: kept.Data, MinTime: kept.MinT, MaxTime: kept.MaxT}
		if err := s.out.add(c, false); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// origins lists the samples that stay, in the order of their times. At equal times that of the first block counts.
func origins(run []part) ([]origin, error) {
	var all []origin
	var cols storage.Columns
	for i := range run {
		p := &run[i]
		cols.Reset()
		if err := chunk.Decode(p.Encoding, p.Data, math.MinInt64, math.MaxInt64, (*chunk.Columns)(&cols)); err != nil {
			return nil, err
		}
		block.DropDeleted(&cols, 0, p.deleted)
		for _, t := range cols.T {
			all = append(all, origin{t, i})
		}
	}
	slices.SortFunc(all, func(a, b origin) int {
		return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(run[a.part].rank, run[b.part].rank), cmp.Compare(a.part, b.part))
	})
	return slices.CompactFunc(all, func(a, b origin) bool { return a.t == b.t }), nil
}
