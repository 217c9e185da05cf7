package block

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
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
}

// Close gives back the block. Closing again does nothing.
func (q *querier) Close() error {
	if q.closed.Swap(true) {
		return nil
	}
	return q.block.release()
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
		s.err = q.wrap("select series", s.err)
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
	// slab holds the series that are handed out next, made some at a time.
	slab   []series
	chunks []index.ChunkMeta
	at     *series
	err    error
}

func (s *seriesSet) Next() bool {
	for s.err == nil && len(s.ids) > 0 && (s.limit == 0 || s.given < s.limit) {
		id := s.ids[0]
		s.ids = s.ids[1:]
		if s.chunks, s.err = s.q.chunks(id, s.mint, s.maxt, s.chunks[:0]); s.err != nil || len(s.chunks) == 0 {
			continue
		}
		if len(s.slab) == 0 {
			s.slab = make([]series, min(64, len(s.ids)+1))
		}
		s.at, s.slab = &s.slab[0], s.slab[1:]
		*s.at = series{q: s.q, id: id, mint: s.mint, maxt: s.maxt, project: s.project}
		if len(s.chunks) == 1 {
			s.at.single, s.at.only = true, s.chunks[0]
		}
		s.given++
		return true
	}
	return false
}

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
	q          *querier
	id         uint32
	mint, maxt int64
	// project chooses labels; nil chooses all.
	project *index.Projection
	// single says that there is one chunk alone, only: a short query need not go back to the index.
	single bool
	only   index.ChunkMeta
}

// Labels makes the labels. The entry was checked when the set came to it, so that it can't fail any more.
func (s *series) Labels() labels.Labels {
	b, ok := s.q.block.scratch.Get().(*labels.ScratchBuilder)
	if !ok {
		b = &labels.ScratchBuilder{}
	}
	defer s.q.block.scratch.Put(b)
	ls, err := s.q.block.index.Projected(s.id, s.project, b)
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
	r.series, r.next = *s, 0
	r.deleted = s.q.tombstones[s.id]
	if s.single {
		r.chunks, r.err = append(r.chunks[:0], s.only), nil
		return r
	}
	r.chunks, r.err = s.q.chunks(s.id, s.mint, s.maxt, r.chunks[:0])
	return r
}
