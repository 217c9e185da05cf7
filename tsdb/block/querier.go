package block

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/index"
)

type querier struct {
	block *Block
	// tombstones are those of when the querier was made: a map that nobody writes to any more.
	tombstones Tombstones
	mint, maxt int64
	closed     atomic.Bool

	mu sync.Mutex
	// slabs hold the series that were handed out, and go back to the block.
	slabs []*slab
}

// slab holds the series of large selections.
type slab [512]series

// Close gives back the block. Closing again does nothing.
func (q *querier) Close() error {
	if q.closed.Swap(true) {
		return nil
	}
	for _, s := range q.slabs {
		clear(s[:])
		q.block.slabs.Put(s)
	}
	return q.block.release()
}

// room returns memory for the next series of a set, of which so many may follow.
func (q *querier) room(left int) []series {
	if left < len(slab{}) {
		return make([]series, left)
	}
	s, ok := q.block.slabs.Get().(*slab)
	if !ok {
		s = &slab{}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.slabs = append(q.slabs, s)
	return s[:]
}

func (q *querier) wrap(what string, err error) error {
	return q.block.found(fmt.Errorf("%s in %s: %w", what, filepath.Join(q.block.dir, indexFile), err))
}

// LabelNames returns the names of labels of the selected series.
func (q *querier) LabelNames(ctx context.Context, _ storage.LabelHints, matchers ...*labels.Matcher) ([]string, storage.Warnings, error) {
	if len(matchers) == 0 {
		return q.block.index.LabelNames(), nil, nil
	}
	ids, err := index.PostingsForMatchers(ctx, q.block.index, matchers...)
	if err != nil {
		return nil, nil, q.wrap("label names", err)
	}
	names, err := q.block.index.LabelNamesOf(ctx, ids)
	if err != nil {
		return nil, nil, q.wrap("label names", err)
	}
	return names, nil, nil
}

// LabelValues returns the values of a label of the selected series.
func (q *querier) LabelValues(ctx context.Context, name string, hints storage.LabelHints, matchers ...*labels.Matcher) ([]string, storage.Warnings, error) {
	if len(matchers) == 0 {
		return q.block.index.LabelValues(name, hints.Limit), nil, nil
	}
	values, err := index.LabelValues(ctx, q.block.index, name, nil, matchers...)
	if err != nil {
		return nil, nil, q.wrap("label values", err)
	}
	return values, nil, nil
}

// Select returns the selected series that have chunks in the range, always in label order.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	s := &seriesSet{q: q, mint: q.mint, maxt: q.maxt}
	if hints != nil {
		s.mint, s.maxt, s.limit = hints.Start, hints.End, hints.Limit
		if hints.Projection {
			s.project = q.block.index.Project(hints.ProjectionLabels)
		}
	}
	s.ids, s.err = index.PostingsForMatchers(ctx, q.block.index, matchers...)
	if s.err != nil {
		if s.err = q.wrap("select series", s.err); q.block.skips(s.err) {
			s.ids, s.err = nil, nil
		}
	}
	return s
}

// seriesSet goes through ids and leaves out series without chunks in the range.
type seriesSet struct {
	q          *querier
	ids        []uint32
	mint, maxt int64
	limit      int
	given      int
	project    *index.Projection
	// free is memory for the series that are handed out next.
	free   []series
	chunks []index.ChunkMeta
	at     *series
	err    error
}

func (s *seriesSet) Next() bool {
	for s.err == nil && len(s.ids) > 0 && (s.limit == 0 || s.given < s.limit) {
		id := s.ids[0]
		s.ids = s.ids[1:]
		if s.chunks, s.err = s.q.chunks(id, s.mint, s.maxt, s.chunks[:0]); s.q.block.skips(s.err) {
			s.chunks, s.err = s.chunks[:0], nil
		}
		if s.err != nil || len(s.chunks) == 0 {
			continue
		}
		if len(s.free) == 0 {
			s.free = s.q.room(len(s.ids) + 1)
		}
		s.at, s.free = &s.free[0], s.free[1:]
		*s.at = series{set: s, id: id}
		s.at.keep(s.chunks)
		s.given++
		return true
	}
	return false
}

// Size returns how many series are left at most.
func (s *seriesSet) Size() int { return len(s.ids) }

func (s *seriesSet) At() storage.Series         { return s.at }
func (s *seriesSet) Err() error                 { return s.err }
func (s *seriesSet) Warnings() storage.Warnings { return nil }

// chunks appends the chunks of a series in a range that are not deleted as a whole.
func (q *querier) chunks(id uint32, mint, maxt int64, dst []index.ChunkMeta) ([]index.ChunkMeta, error) {
	before := len(dst)
	dst, err := q.block.index.Chunks(id, mint, maxt, dst)
	if err != nil {
		return dst, q.wrap("read series", err)
	}
	if deleted := q.tombstones[id]; len(deleted) > 0 {
		kept := slices.DeleteFunc(dst[before:], func(c index.ChunkMeta) bool {
			return covers(deleted, max(mint, c.MinTime), min(maxt, c.MaxTime))
		})
		dst = dst[:before+len(kept)]
	}
	return dst, nil
}

// series is read from the index again when it is asked for several chunks, which costs less than keeping them.
type series struct {
	set *seriesSet
	id  uint32
	// length, minTime and ref are those of the chunk if there is a single one: a short query need not go back to the index.
	// Else the length is zero. It is that in milliseconds, plus one.
	length  uint32
	minTime int64
	ref     uint64
}

// keep remembers a single chunk.
func (s *series) keep(chunks []index.ChunkMeta) {
	if len(chunks) != 1 {
		return
	}
	if c := chunks[0]; uint64(c.MaxTime-c.MinTime) < math.MaxUint32 {
		s.length, s.minTime, s.ref = uint32(c.MaxTime-c.MinTime)+1, c.MinTime, c.Ref
	}
}

// Labels makes the labels. The entry was checked when the set came to it, so that it can't fail any more.
func (s *series) Labels() labels.Labels {
	b := s.set.q.block
	scratch, ok := b.scratch.Get().(*index.Scratch)
	if !ok {
		scratch = &index.Scratch{}
	}
	defer b.scratch.Put(scratch)
	ls, err := b.index.Projected(s.id, s.set.project, scratch)
	if err != nil {
		return labels.EmptyLabels()
	}
	return ls
}

func (s *series) Samples(reuse storage.ColumnReader) storage.ColumnReader {
	r, ok := reuse.(*columnReader)
	if !ok {
		r = &columnReader{}
	}
	q := s.set.q
	r.series, r.block, r.next = s, q.block, 0
	r.mint, r.maxt = s.set.mint, s.set.maxt
	r.deleted = q.tombstones[s.id]
	if s.length > 0 {
		only := index.ChunkMeta{MinTime: s.minTime, MaxTime: s.minTime + int64(s.length-1), Ref: s.ref}
		r.chunks, r.err = append(r.chunks[:0], only), nil
		return r
	}
	r.chunks, r.err = q.chunks(s.id, r.mint, r.maxt, r.chunks[:0])
	return r
}
