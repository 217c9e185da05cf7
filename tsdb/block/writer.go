package block

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/index"
)

// ErrEmpty is returned by [Writer.Finish] when no series was added: there is no block then.
var ErrEmpty = errors.New("block would be empty")

// WriterOptions describe the block that is to be written.
type WriterOptions struct {
	// Dir is the folder in which the block's folder appears.
	Dir string
	// ULID is the block's name; zero makes a new one.
	ULID ulid.ULID
	// MinTime and MaxTime bound the samples in milliseconds; MaxTime itself is outside.
	MinTime, MaxTime int64
	// Compaction goes into the description. A level of zero means a block of level 1 that is its own source.
	Compaction Compaction
	// Extra are further keys of the description.
	Extra map[string]json.RawMessage
	// SegmentBytes is the size that a chunk segment does not exceed; zero means 512 MiB.
	SegmentBytes int64
}

// Chunk is a chunk on its way into a block.
type Chunk struct {
	Encoding chunk.Encoding
	// Data are the encoded bytes. The writer does not keep them.
	Data []byte
	// MinTime and MaxTime are the times of the first and last sample.
	MinTime, MaxTime int64
}

// Writer makes one block from series in label order. The block's folder appears when it is complete and on the disk,
// or not at all. Call Finish or Abort in the end; after an error only Abort makes sense. It is for one goroutine.
type Writer struct {
	opts  WriterOptions
	meta  Meta
	tmp   string
	index *index.Writer
	// chunks take the samples, spool the series until the index can be written.
	chunks segmentWriter
	spool  *os.File
	metas  []index.ChunkMeta
	done   bool
}

const spoolFile = "index.series.tmp"

// NewWriter makes the temporary folder in which the block grows.
func NewWriter(opts WriterOptions) (*Writer, error) {
	if opts.ULID == (ulid.ULID{}) {
		id, err := ulid.New(ulid.Timestamp(time.Now()), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("name new block: %w", err)
		}
		opts.ULID = id
	}
	if opts.Compaction.Level == 0 {
		opts.Compaction.Level = 1
		opts.Compaction.Sources = []ulid.ULID{opts.ULID}
	}
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = maxSegmentBytes
	}
	w := &Writer{
		opts: opts,
		meta: Meta{ULID: opts.ULID, MinTime: opts.MinTime, MaxTime: opts.MaxTime, Compaction: opts.Compaction, Extra: opts.Extra, Version: metaVersion},
		tmp:  filepath.Join(opts.Dir, opts.ULID.String()+TmpForCreation),
	}
	w.chunks = segmentWriter{dir: filepath.Join(w.tmp, chunksDir), limit: opts.SegmentBytes}
	if err := w.create(); err != nil {
		return nil, fmt.Errorf("create block %s: %w", opts.ULID, errors.Join(err, w.Abort()))
	}
	return w, nil
}

func (w *Writer) create() error {
	if err := os.RemoveAll(w.tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(w.chunks.dir, 0o755); err != nil {
		return err
	}
	spool, err := os.Create(filepath.Join(w.tmp, spoolFile))
	if err != nil {
		return err
	}
	w.spool = spool
	w.index = index.NewWriter(spool)
	return nil
}

// Add adds a series with its chunks, which must not overlap and lie in the block's range, in the order of their
// times. A series without chunks is left out.
func (w *Writer) Add(ls labels.Labels, chunks []Chunk) error {
	if len(chunks) == 0 {
		return nil
	}
	w.metas = w.metas[:0]
	for _, c := range chunks {
		if c.MinTime < w.opts.MinTime || c.MaxTime >= w.opts.MaxTime {
			return fmt.Errorf("add series %s to block %s: chunk from %d to %d lies outside of the range", ls, w.opts.ULID, c.MinTime, c.MaxTime)
		}
		n, err := chunk.Samples(c.Encoding, c.Data)
		if err != nil {
			return fmt.Errorf("add series %s to block %s: %w", ls, w.opts.ULID, err)
		}
		ref, err := w.chunks.add(c.Encoding, c.Data)
		if err != nil {
			return fmt.Errorf("add series %s to block %s: %w", ls, w.opts.ULID, err)
		}
		w.metas = append(w.metas, index.ChunkMeta{Ref: ref, MinTime: c.MinTime, MaxTime: c.MaxTime})
		w.count(c.Encoding, uint64(n))
	}
	if err := w.index.Add(ls, w.metas); err != nil {
		return fmt.Errorf("add series to block %s: %w", w.opts.ULID, err)
	}
	w.meta.Stats.NumSeries++
	return nil
}

func (w *Writer) count(enc chunk.Encoding, samples uint64) {
	s := &w.meta.Stats
	s.NumChunks++
	s.NumSamples += samples
	if enc.IsHistogram() {
		s.NumHistogramSamples += samples
	} else {
		s.NumFloatSamples += samples
	}
}

// Finish completes the block and returns its description. Without series it removes what there is and returns
// [ErrEmpty]; so it does on any other error.
func (w *Writer) Finish() (Meta, error) {
	if w.done {
		return Meta{}, errors.New("block writer is finished")
	}
	if w.meta.Stats.NumSeries == 0 {
		return Meta{}, errors.Join(ErrEmpty, w.Abort())
	}
	if err := w.finish(); err != nil {
		return Meta{}, fmt.Errorf("write block %s: %w", w.opts.ULID, errors.Join(err, w.Abort()))
	}
	w.done = true
	if err := os.Rename(w.tmp, filepath.Join(w.opts.Dir, w.opts.ULID.String())); err != nil {
		_ = os.RemoveAll(w.tmp)
		return Meta{}, fmt.Errorf("publish block %s: %w", w.opts.ULID, err)
	}
	return w.meta, syncDir(w.opts.Dir)
}

func (w *Writer) finish() error {
	if err := w.chunks.finish(); err != nil {
		return err
	}
	if err := w.writeIndex(); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(w.tmp, tombstonesFile), encodeTombstones(nil)); err != nil {
		return err
	}
	if err := WriteMeta(w.tmp, w.meta); err != nil {
		return err
	}
	if err := syncDir(w.chunks.dir); err != nil {
		return err
	}
	return syncDir(w.tmp)
}

func (w *Writer) writeIndex() error {
	f, err := os.Create(filepath.Join(w.tmp, indexFile))
	if err != nil {
		return err
	}
	if err := w.index.Finish(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := closeSynced(f); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	spool := w.spool
	w.spool = nil
	return errors.Join(spool.Close(), os.Remove(spool.Name()))
}

// Abort removes what was written. After Finish it does nothing.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.chunks.abort()
	if w.spool != nil {
		_ = w.spool.Close()
	}
	if err := os.RemoveAll(w.tmp); err != nil {
		return fmt.Errorf("remove unfinished block: %w", err)
	}
	return nil
}
