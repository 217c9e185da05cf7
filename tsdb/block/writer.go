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
	"github.com/narthex-io/narthex/tsdb/vfs"
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
	// FS is what the block is written through; the machine's if nil.
	FS vfs.FS
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
	spool  vfs.File
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
	if opts.FS == nil {
		opts.FS = vfs.OS{}
	}
	w := &Writer{
		opts: opts,
		meta: Meta{ULID: opts.ULID, MinTime: opts.MinTime, MaxTime: opts.MaxTime, Compaction: opts.Compaction, Extra: opts.Extra, Version: metaVersion},
		tmp:  filepath.Join(opts.Dir, opts.ULID.String()+TmpForCreation),
	}
	w.chunks = segmentWriter{fs: opts.FS, dir: filepath.Join(w.tmp, chunksDir), limit: opts.SegmentBytes}
	if err := w.create(); err != nil {
		return nil, fmt.Errorf("create block %s: %w", opts.ULID, errors.Join(err, w.Abort()))
	}
	return w, nil
}

func (w *Writer) create() error {
	fs := w.opts.FS
	if err := fs.RemoveAll(w.tmp); err != nil {
		return err
	}
	if err := fs.MkdirAll(w.chunks.dir); err != nil {
		return err
	}
	spool, err := fs.Create(filepath.Join(w.tmp, spoolFile))
	if err != nil {
		return err
	}
	w.spool = spool
	w.index = index.NewWriter(&vfs.Stream{File: spool})
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
	if err := w.publish(); err != nil {
		return Meta{}, fmt.Errorf("publish block %s: %w", w.opts.ULID, errors.Join(err, w.Abort()))
	}
	w.done = true
	return w.meta, nil
}

// publish gives the folder its name, durably. On an error the name is not taken.
func (w *Writer) publish() error {
	dir := filepath.Join(w.opts.Dir, w.opts.ULID.String())
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s is there already", dir)
	}
	err := w.opts.FS.Rename(w.tmp, dir)
	if err == nil {
		return nil
	}
	if _, serr := os.Lstat(w.tmp); errors.Is(serr, os.ErrNotExist) {
		// It has its name, but nobody knows for how long: the caller goes on without it.
		err = errors.Join(err, w.opts.FS.RemoveAll(dir))
	}
	return err
}

func (w *Writer) finish() error {
	if err := w.chunks.finish(); err != nil {
		return err
	}
	if err := w.writeIndex(); err != nil {
		return err
	}
	fs := w.opts.FS
	if err := vfs.WriteFile(fs, filepath.Join(w.tmp, tombstonesFile), encodeTombstones(nil)); err != nil {
		return err
	}
	if err := WriteMeta(fs, w.tmp, w.meta); err != nil {
		return err
	}
	if err := fs.SyncDir(w.chunks.dir); err != nil {
		return err
	}
	return fs.SyncDir(w.tmp)
}

func (w *Writer) writeIndex() error {
	fs := w.opts.FS
	f, err := fs.Create(filepath.Join(w.tmp, indexFile))
	if err != nil {
		return err
	}
	if err := w.index.Finish(&vfs.Stream{File: f}); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := vfs.CloseSynced(f); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	spool := w.spool
	w.spool = nil
	return errors.Join(spool.Close(), fs.Remove(filepath.Join(w.tmp, spoolFile)))
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
	if err := w.opts.FS.RemoveAll(w.tmp); err != nil {
		return fmt.Errorf("remove unfinished block: %w", err)
	}
	return nil
}
