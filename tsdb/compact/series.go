package compact

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// seriesMerger merges the chunks of one series. It is used again for the next one, with its memory.
type seriesMerger struct {
	parts   []part
	metas   []index.ChunkMeta
	sources []source
	out     chunkList
}

// part is a chunk of one of the blocks, its bytes those of the block.
type part struct {
	block.Chunk
	rank    int
	deleted []block.Interval
	// fresh tells that the chunk comes from the head.
	fresh bool
}

// sameAs reports whether both are the same chunk, as in blocks that were copied.
func (p *part) sameAs(o *part) bool {
	return p.Encoding == o.Encoding && p.MinTime == o.MinTime && p.MaxTime == o.MaxTime &&
		len(p.deleted) == 0 && len(o.deleted) == 0 && bytes.Equal(p.Data, o.Data)
}

func (s *seriesMerger) reset() {
	s.parts = s.parts[:0]
	s.out.reset()
}

// load adds the chunks of the series at which the cursor stands.
func (s *seriesMerger) load(c *cursor) (err error) {
	s.metas, err = c.block.Index().Chunks(c.id, math.MinInt64, math.MaxInt64, s.metas[:0])
	if err != nil {
		return fmt.Errorf("read series %s in block %s: %w", c.labels, c.block.Dir(), err)
	}
	deleted := c.tombstones[c.id]
	for _, m := range s.metas {
		here := within(deleted, m.MinTime, m.MaxTime)
		if len(here) == 1 && here[0].MinTime <= m.MinTime && m.MaxTime <= here[0].MaxTime {
			continue
		}
		enc, data, err := c.block.Chunk(m.Ref)
		if err != nil {
			return fmt.Errorf("read series %s: %w", c.labels, err)
		}
		s.parts = append(s.parts, part{
			Chunk: block.Chunk{Encoding: enc, Data: data, MinTime: m.MinTime, MaxTime: m.MaxTime},
			rank:  c.rank, deleted: here, fresh: c.fresh,
		})
	}
	return nil
}

// within returns those of the sorted intervals that touch [mint, maxt].
func within(all []block.Interval, mint, maxt int64) []block.Interval {
	for len(all) > 0 && all[0].MaxTime < mint {
		all = all[1:]
	}
	n := 0
	for n < len(all) && all[n].MinTime <= maxt {
		n++
	}
	return all[:n]
}

// merge returns the chunks of the merged series. They are valid until the next reset.
func (s *seriesMerger) merge() ([]block.Chunk, error) {
	slices.SortStableFunc(s.parts, func(a, b part) int { return cmp.Compare(a.MinTime, b.MinTime) })
	for rest := s.parts; len(rest) > 0; {
		n, end := 1, rest[0].MaxTime
		for n < len(rest) && rest[n].MinTime <= end {
			end = max(end, rest[n].MaxTime)
			n++
		}
		if err := s.mergeRun(rest[:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	if err := s.out.flush(); err != nil {
		return nil, err
	}
	return s.out.chunks, nil
}

// mergeRun merges chunks that overlap each other, or copies the only one.
func (s *seriesMerger) mergeRun(run []part) error {
	same := !slices.ContainsFunc(run[1:], func(p part) bool { return !p.sameAs(&run[0]) })
	if same && len(run[0].deleted) == 0 {
		return s.out.add(run[0].Chunk, run[0].fresh)
	}
	if slices.ContainsFunc(run, func(p part) bool { return p.Encoding.IsHistogram() }) {
		return s.mergeNative(run)
	}
	// Where one of the chunks is XOR2, what is written anew is: it alone has room for start timestamps.
	add := s.out.append
	if slices.ContainsFunc(run, func(p part) bool { return p.Encoding == chunk.EncXOR2 }) {
		add = s.out.appendXOR2
	}
	s.sources = s.sources[:0]
	for i := range run {
		if err := s.decode(&run[i]); err != nil {
			return err
		}
	}
	// What queries would take: at equal times the sample of the first block.
	slices.SortStableFunc(s.sources, func(a, b source) int { return cmp.Compare(a.rank, b.rank) })
	for {
		first := -1
		for i := range s.sources {
			if o := &s.sources[i]; o.next < o.cols.Len() && (first < 0 || o.time() < s.sources[first].time()) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		t := s.sources[first].time()
		if err := s.sources[first].copyTo(add); err != nil {
			return err
		}
		for i := range s.sources {
			if o := &s.sources[i]; o.next < o.cols.Len() && o.time() == t {
				o.next++
			}
		}
	}
}

// source is decoded samples of one block, in the order of their times, from position next on.
type source struct {
	rank int
	cols storage.Columns
	next int
}

func (o *source) time() int64 { return o.cols.T[o.next] }

// copyTo hands on the next sample.
func (o *source) copyTo(add func(t, st int64, v float64) error) error {
	i, st := o.next, int64(0)
	if len(o.cols.ST) > 0 {
		st = o.cols.ST[i]
	}
	return add(o.cols.T[i], st, o.cols.F[i])
}

// decode appends the samples of a chunk, less the deleted ones, to the source of its block, or to a new one if they
// don't come behind those.
func (s *seriesMerger) decode(p *part) error {
	at := slices.IndexFunc(s.sources, func(o source) bool {
		return o.rank == p.rank && (o.cols.Len() == 0 || o.cols.T[o.cols.Len()-1] < p.MinTime)
	})
	if at < 0 {
		at = len(s.sources)
		if at < cap(s.sources) {
			s.sources = s.sources[:at+1]
		} else {
			s.sources = append(s.sources, source{})
		}
		o := &s.sources[at]
		o.cols.Reset()
		o.rank, o.next = p.rank, 0
	}
	cols := &s.sources[at].cols
	before := cols.Len()
	if err := chunk.Decode(p.Encoding, p.Data, math.MinInt64, math.MaxInt64, (*chunk.Columns)(cols)); err != nil {
		return fmt.Errorf("decode chunk from %d to %d: %w", p.MinTime, p.MaxTime, err)
	}
	block.DropDeleted(cols, before, p.deleted)
	return nil
}
