package compact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/index"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// checkEvery is the number of series after which Merge looks at its context.
const checkEvery = 256

// Options say where a merged block goes.
type Options struct {
	// Dir is the folder in which the block's folder appears.
	Dir string
	// SegmentBytes bounds the chunk segments; zero means the default of [block.WriterOptions].
	SegmentBytes int64
	// FS is what the block is written through; the machine's if nil.
	FS vfs.FS
}

// Merge writes one block with the samples of the given ones, less those that are deleted, and returns its description.
// Where several have a sample of the same series and time, that of the first block counts, as it does for queries over
// them. The blocks are only read; they must stay open until Merge returns.
//
// The memory that it takes does not grow with the samples: it holds a series at a time, besides the ids of all series
// and the strings of the new index. The block appears as a whole or, on an error, not at all; [block.ErrEmpty] means
// that no sample is left. An error that wraps [errors.ErrUnsupported] says that samples would have to be encoded anew
// whose encoding this version does not know: the blocks can stay as they are.
func Merge(ctx context.Context, opts Options, blocks ...*block.Block) (block.Meta, error) {
	if len(blocks) == 0 {
		return block.Meta{}, errors.New("merge blocks: none given")
	}
	metas := make([]block.Meta, len(blocks))
	for i, b := range blocks {
		metas[i] = b.Meta()
	}
	next := describe(metas)
	w, err := block.NewWriter(block.WriterOptions{
		Dir: opts.Dir, MinTime: next.MinTime, MaxTime: next.MaxTime,
		Compaction: next.Compaction, Extra: next.Extra, SegmentBytes: opts.SegmentBytes, FS: opts.FS,
	})
	if err != nil {
		return block.Meta{}, fmt.Errorf("merge blocks: %w", err)
	}
	if err := copySeries(ctx, w, blocks); err != nil {
		return block.Meta{}, fmt.Errorf("merge blocks: %w", errors.Join(err, w.Abort()))
	}
	meta, err := w.Finish()
	if err != nil {
		return block.Meta{}, fmt.Errorf("merge blocks: %w", err)
	}
	return meta, nil
}

// describe returns what the descriptions of the sources say about the merged block.
func describe(metas []block.Meta) block.Meta {
	m := block.Meta{MinTime: metas[0].MinTime, MaxTime: metas[0].MaxTime, Extra: commonKeys(metas)}
	c := &m.Compaction
	partial := true
	var hints []string
	for _, p := range metas {
		m.MinTime, m.MaxTime = min(m.MinTime, p.MinTime), max(m.MaxTime, p.MaxTime)
		c.Level = max(c.Level, p.Compaction.Level)
		c.Sources = append(c.Sources, p.Compaction.Sources...)
		c.Parents = append(c.Parents, block.Parent{ULID: p.ULID, MinTime: p.MinTime, MaxTime: p.MaxTime})
		partial = partial && p.Compaction.Partial()
		hints = append(hints, p.Compaction.Hints...)
	}
	c.Level++
	slices.SortFunc(c.Sources, ulid.ULID.Compare)
	c.Sources = slices.Compact(c.Sources)
	if partial {
		slices.Sort(hints)
		c.Hints = slices.Compact(hints)
	}
	return m
}

// commonKeys returns the extra keys that all sources agree on: what others, such as Thanos, note about one block alone
// does not hold for the merged one.
func commonKeys(metas []block.Meta) map[string]json.RawMessage {
	common := map[string]json.RawMessage{}
	for key, value := range metas[0].Extra {
		same := !slices.ContainsFunc(metas[1:], func(m block.Meta) bool { return !sameJSON(m.Extra[key], value) })
		if same {
			common[key] = value
		}
	}
	return common
}

// sameJSON compares values without their white space.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// copySeries adds all series to the writer, in label order.
func copySeries(ctx context.Context, w *block.Writer, blocks []*block.Block) error {
	cursors := make([]*cursor, 0, len(blocks))
	for rank, b := range blocks {
		c, err := newCursor(ctx, b, rank)
		if err != nil {
			return err
		}
		if c.next() {
			cursors = append(cursors, c)
		} else if c.err != nil {
			return c.err
		}
	}
	var s seriesMerger
	for n := 0; len(cursors) > 0; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		ls := cursors[0].labels
		for _, c := range cursors[1:] {
			if labels.Compare(c.labels, ls) < 0 {
				ls = c.labels
			}
		}
		if err := copyOne(w, &s, ls, cursors); err != nil {
			return err
		}
		var failed error
		cursors = slices.DeleteFunc(cursors, func(c *cursor) bool {
			if !labels.Equal(c.labels, ls) || c.next() {
				return false
			}
			failed = errors.Join(failed, c.err)
			return true
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// copyOne adds the series with the given labels of all cursors that stand at it.
func copyOne(w *block.Writer, s *seriesMerger, ls labels.Labels, cursors []*cursor) error {
	s.reset()
	for _, c := range cursors {
		if labels.Equal(c.labels, ls) {
			if err := s.load(c); err != nil {
				return err
			}
		}
	}
	chunks, err := s.merge()
	if err != nil {
		return fmt.Errorf("series %s: %w", ls, err)
	}
	return w.Add(ls, chunks)
}

// cursor goes through the series of a block.
type cursor struct {
	block *block.Block
	// rank is the place among the blocks; fresh tells that the block was cut from the head.
	rank       int
	fresh      bool
	ids        []uint32
	tombstones block.Tombstones
	scratch    index.Scratch

	id     uint32
	labels labels.Labels
	err    error
}

func newCursor(ctx context.Context, b *block.Block, rank int) (*cursor, error) {
	all, err := b.Index().AllPostings(ctx)
	if err != nil {
		return nil, fmt.Errorf("list series of block %s: %w", b.Dir(), err)
	}
	return &cursor{block: b, rank: rank, fresh: b.Meta().Compaction.Level <= 1, ids: all.AppendTo(nil), tombstones: b.Tombstones()}, nil
}

// next goes to the next series; it returns false at the end and when err is set.
func (c *cursor) next() bool {
	if len(c.ids) == 0 {
		return false
	}
	c.id, c.ids = c.ids[0], c.ids[1:]
	if c.labels, c.err = c.block.Index().Labels(c.id, &c.scratch); c.err != nil {
		c.err = fmt.Errorf("read labels in block %s: %w", c.block.Dir(), c.err)
	}
	return c.err == nil
}
