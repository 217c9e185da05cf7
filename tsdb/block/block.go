// Package block reads and writes immutable blocks: folders with the samples of a range of time, in the format of
// Prometheus, which reads what this package writes and the other way round.
//
// Start with [Open] and [Block.Querier] for reading, and with [NewWriter] for writing. The package neither decides
// when blocks are cut, merged or deleted, nor touches samples that it copies; it shares what is mapped into memory by
// counting queriers. docs/format/ draws the files: block.md, chunks.md, index.md and tombstones.md.
package block

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"github.com/narthex-io/narthex/internal/mmap"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// Names within a block's folder.
const (
	metaFile       = "meta.json"
	indexFile      = "index"
	tombstonesFile = "tombstones"
	chunksDir      = "chunks"
)

// Suffixes of folders that are not blocks, or not any more. Whatever has one at start is left over and can be removed.
const (
	TmpForCreation = ".tmp-for-creation"
	TmpForDeletion = ".tmp-for-deletion"
)

// ErrCorrupt is wrapped by errors about damaged files, which name the file and, where there is one, the offset. Damage
// of the index wraps [index.ErrCorrupt], damage within a chunk chunk.ErrCorrupt.
var ErrCorrupt = errors.New("corrupt block")

// ErrClosed is returned when a closed block is asked for a querier.
var ErrClosed = errors.New("block is closed")

// IsDamage reports whether an error is about damaged bytes of a block, of whichever of its files.
func IsDamage(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, index.ErrCorrupt) || errors.Is(err, chunk.ErrCorrupt)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Block is an open block. It is safe for concurrent use.
type Block struct {
	dir      string
	size     int64
	index    *index.Reader
	segments *segments
	mapped   *mmap.File

	// damaged is told of damage that queries come across; nil tells nobody. skip has them go on without what is damaged.
	damaged func(error)
	skip    bool
	// scratch and slabs lend memory to queries: for making labels, and for series.
	scratch, slabs sync.Pool

	mu         sync.Mutex
	meta       Meta
	tombstones Tombstones
	// users counts the queriers, and one more until the block is closed.
	users  int
	closed bool
}

var _ storage.Queryable = (*Block)(nil)

// Open opens the block in dir. It checks the description, the tables of the index, the tombstones and the headers of
// the chunk segments; series and chunks are checked when they are read. An error names the file that is damaged.
func Open(dir string) (*Block, error) {
	b := &Block{dir: dir, users: 1}
	if err := b.open(); err != nil {
		return nil, fmt.Errorf("open block %s: %w", dir, errors.Join(err, b.release()))
	}
	return b, nil
}

func (b *Block) open() (err error) {
	if b.meta, err = ReadMeta(b.dir); err != nil {
		return err
	}
	if b.tombstones, err = ReadTombstones(b.dir); err != nil {
		return err
	}
	if n := b.meta.Stats.NumTombstones; n > 0 && len(b.tombstones) == 0 {
		// What was deleted must not come back.
		return fmt.Errorf("%w: %s: it has no deletions, or is missing, though %s counts %d", ErrCorrupt, filepath.Join(b.dir, tombstonesFile), metaFile, n)
	}
	if b.segments, err = openSegments(filepath.Join(b.dir, chunksDir)); err != nil {
		return err
	}
	if len(b.segments.files) == 0 && b.meta.Stats.NumChunks > 0 {
		return fmt.Errorf("%w: %s is missing, though %s counts %d chunks", ErrCorrupt, segmentName(b.segments.dir, 1), metaFile, b.meta.Stats.NumChunks)
	}
	name := filepath.Join(b.dir, indexFile)
	if b.mapped, err = mmap.Open(name); err != nil {
		return fmt.Errorf("open index: %w", err)
	}
	if b.index, err = index.NewReader(b.mapped.Bytes()); err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	b.size = b.segments.size() + int64(len(b.mapped.Bytes()))
	for _, name := range []string{metaFile, tombstonesFile} {
		if info, err := os.Stat(filepath.Join(b.dir, name)); err == nil {
			b.size += info.Size()
		}
	}
	return nil
}

// OnDamage sets what is told of damage that queries come across, each time they do: an error that names the file and,
// where there is one, the offset. It must be called before the first query.
func (b *Block) OnDamage(f func(error)) { b.damaged = f }

// SkipDamage has queries leave out series and chunks that are damaged or of an encoding that is not known, of which
// OnDamage's function is told, instead of failing. It must be called before the first query.
func (b *Block) SkipDamage() { b.skip = true }

// skips reports whether a query goes on after an error that was found.
func (b *Block) skips(err error) bool {
	return b.skip && (IsDamage(err) || errors.Is(err, errors.ErrUnsupported))
}

// found passes on an error of a query, after telling of it if it is damage, or is skipped.
func (b *Block) found(err error) error {
	if b.damaged != nil && (IsDamage(err) || b.skips(err)) {
		b.damaged(err)
	}
	return err
}

// release gives back one use; the last one closes the files.
func (b *Block) release() error {
	b.mu.Lock()
	b.users--
	last := b.users == 0
	b.mu.Unlock()
	if !last {
		return nil
	}
	var errs []error
	if b.segments != nil {
		errs = append(errs, b.segments.close())
	}
	if b.mapped != nil {
		errs = append(errs, b.mapped.Close())
	}
	return errors.Join(errs...)
}

// Close lets go of the files once all queriers are closed, and does not wait for them. The block hands out no more.
func (b *Block) Close() error {
	b.mu.Lock()
	was := b.closed
	b.closed = true
	b.mu.Unlock()
	if was {
		return nil
	}
	return b.release()
}

// Dir returns the folder.
func (b *Block) Dir() string { return b.dir }

// Size returns the bytes of all files.
func (b *Block) Size() int64 { return b.size }

// Index returns the index, for those who merge or analyse blocks. It must not be used after Close.
func (b *Block) Index() *index.Reader { return b.index }

// Meta returns the description.
func (b *Block) Meta() Meta {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.meta
}

// Tombstones returns a copy of what is deleted.
func (b *Block) Tombstones() Tombstones {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tombstones.Clone()
}

// Querier returns a querier over the samples in [mint, maxt]. Deletions that come later do not show in it.
func (b *Block) Querier(mint, maxt int64) (storage.Querier, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, fmt.Errorf("query block %s: %w", b.dir, ErrClosed)
	}
	b.users++
	return &querier{block: b, tombstones: b.tombstones, mint: mint, maxt: maxt}, nil
}
