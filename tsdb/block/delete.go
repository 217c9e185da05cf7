package block

import (
	"context"
	"fmt"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/index"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// Delete marks the samples in [mint, maxt] of the series that all matchers select as deleted, durably. They vanish
// from queries that start later; the space comes back when the block is merged. The files are written through fs.
func (b *Block) Delete(ctx context.Context, fs vfs.FS, mint, maxt int64, matchers ...*labels.Matcher) error {
	ids, err := index.PostingsForMatchers(ctx, b.index, matchers...)
	if err != nil {
		return fmt.Errorf("delete from block %s: %w", b.dir, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fmt.Errorf("delete from block %s: %w", b.dir, ErrClosed)
	}
	if len(ids) == 0 {
		return nil
	}
	next := b.tombstones.Clone()
	var chunks []index.ChunkMeta
	for _, id := range ids {
		if chunks, err = b.index.Chunks(id, mint, maxt, chunks[:0]); err != nil {
			return fmt.Errorf("delete from block %s: %w", b.dir, err)
		}
		if len(chunks) > 0 {
			// No further than the series reaches, so that the tombstone is as small as what it covers.
			next.Add(id, Interval{max(mint, chunks[0].MinTime), min(maxt, chunks[len(chunks)-1].MaxTime)})
		}
	}
	if err := WriteTombstones(fs, b.dir, next); err != nil {
		// They may be there all the same: queries see what the next start would.
		if there, rerr := ReadTombstones(b.dir); rerr == nil {
			b.tombstones = there
		}
		return fmt.Errorf("delete from block %s: %w", b.dir, err)
	}
	b.tombstones = next
	meta := b.meta
	meta.Stats.NumTombstones = uint64(next.Count())
	if err := WriteMeta(fs, b.dir, meta); err != nil {
		return fmt.Errorf("delete from block %s: %w", b.dir, err)
	}
	b.meta = meta
	return nil
}
