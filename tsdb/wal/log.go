package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultSegmentSize is the size at which a new segment begins, in bytes.
const DefaultSegmentSize = 128 << 20

// maxIdleBuffer is the memory in bytes that the log keeps between batches.
const maxIdleBuffer = 8 << 20

// ErrClosed is returned by calls on a closed log.
var ErrClosed = errors.New("write-ahead log is closed")

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // constant table

// Options say where and how a [Log] writes. Only Dir is required.
type Options struct {
	// Dir is the log's folder. It is made when missing.
	Dir string
	// SegmentSize is in bytes, a multiple of 32 KiB; zero means [DefaultSegmentSize]. A batch that is larger than
	// that gets a larger segment.
	SegmentSize int64
	Compression Compression
	// FS is [OS] if nil.
	FS FS
	// Registerer receives the metrics; nil discards them. Their names begin with prometheus_tsdb_wal, or, for the log of
	// samples that come out of order, with prometheus_tsdb_out_of_order_wbl.
	Registerer prometheus.Registerer
	OutOfOrder bool
}

// Log writes a log. It is safe for use by several goroutines.
//
// An acknowledged batch is in the kernel's hands: it survives the death of the process at any moment. Segments are
// flushed to the disk when they are full and when the log is closed; a crash of the machine can cost what was written
// since.
type Log struct {
	fs          FS
	dir         string
	segmentSize int64
	metrics     *metrics
	saved       prometheus.Counter // bytes that compression saved; nil without

	// first is the first segment that this log writes; checkpointed is one above the last that its checkpoints cover.
	first        int
	checkpointed atomic.Int64

	mu    sync.Mutex
	comp  *compressor
	file  File
	index int
	size  int64 // bytes of acknowledged batches in file
	// ends says of full segments with bytes of a failed batch that could not be removed where the acknowledged ones end.
	ends   map[int]int64
	torn   bool // bytes of a failed batch may follow them
	failed bool // they can't be removed: go on in a new segment
	closed bool
	pages  []byte

	// flushing are the full segments that are being flushed to the disk, beside the appending; flushErrs, under its
	// own lock, is what failed.
	flushing  sync.WaitGroup
	flushMu   sync.Mutex
	flushErrs []error
}

// Open begins a new segment behind those that exist. They are not read; see [FindChain] and [NewReader].
func Open(o Options) (*Log, error) {
	if o.FS == nil {
		o.FS = OS{}
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.SegmentSize < pageSize || o.SegmentSize%pageSize != 0 {
		return nil, fmt.Errorf("open log: segment size %d is not a multiple of %d", o.SegmentSize, pageSize)
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	comp, err := newCompressor(o.Compression)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	next, err := nextIndex(o.FS, o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{fs: o.FS, dir: o.Dir, segmentSize: o.SegmentSize, comp: comp, first: next, index: next - 1}
	l.metrics = newMetrics(l, o.Registerer, o.OutOfOrder)
	if comp.kind != None {
		l.saved = l.metrics.savedBytes.WithLabelValues(comp.kind.String())
	}
	l.metrics.segmentCurrent.Set(float64(max(l.index, 0)))
	return l, nil
}

// nextIndex is the first one that neither a segment nor a checkpoint uses.
func nextIndex(fs FS, dir string) (int, error) {
	segs, err := ListSegments(fs, dir)
	if err != nil {
		return 0, err
	}
	_, next, _, err := LastCheckpoint(fs, dir)
	if err != nil {
		return 0, err
	}
	if len(segs) > 0 {
		next = max(next, segs[len(segs)-1].Index)
	}
	return next + 1, nil
}

// Dir returns the log's folder.
func (l *Log) Dir() string { return l.dir }

// Index returns the number of the segment that is being written.
func (l *Log) Index() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.index
}

// Append writes a batch of records. If it fails, nothing of the batch is in the log, unless the file system refuses
// even to cut the file back; then a restart may find records of it. Later batches are not affected either way.
func (l *Log) Append(recs ...[]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if err := l.append(recs); err != nil {
		l.metrics.writesFailed.Inc()
		return fmt.Errorf("write to log: %w", err)
	}
	return nil
}

func (l *Log) append(recs [][]byte) error {
	if l.torn {
		l.mend()
	}
	if l.file == nil || l.failed {
		if err := l.cut(); err != nil {
			return err
		}
	}
	l.encode(recs)
	if l.size > 0 && l.size+int64(len(l.pages)) > l.segmentSize {
		if err := l.cut(); err != nil {
			return err
		}
		l.encode(recs)
	}
	if _, err := l.file.WriteAt(l.pages, l.size); err != nil {
		l.torn = true
		l.mend()
		return err
	}
	before := l.size
	l.size += int64(len(l.pages))
	if cap(l.pages) > maxIdleBuffer {
		l.pages = nil // One huge batch does not keep its memory.
	}
	l.metrics.pageFlushes.Inc()
	l.metrics.completedPages.Add(float64(l.size/pageSize - before/pageSize))
	return nil
}

// mend removes what a failed write left behind the acknowledged batches.
func (l *Log) mend() {
	if err := l.file.Truncate(l.size); err != nil {
		l.failed = true
		return
	}
	l.torn, l.failed = false, false
}

// encode lays out the records as fragments, from the current end of the segment on, in l.pages.
func (l *Log) encode(recs [][]byte) {
	b := l.pages[:0]
	start := int(l.size % pageSize)
	for _, rec := range recs {
		enc, flag := l.comp.encode(rec)
		if l.saved != nil {
			l.saved.Add(float64(len(rec) - len(enc)))
		}
		for first := true; first || len(enc) > 0; first = false {
			left := pageSize - (start+len(b))%pageSize
			if left < headerSize {
				b = append(b, make([]byte, left)...)
				left = pageSize
			}
			part := enc[:min(len(enc), left-headerSize)]
			enc = enc[len(part):]
			b = append(b, kindOf(first, len(enc) == 0)|flag)
			b = binary.BigEndian.AppendUint16(b, uint16(len(part)))
			b = binary.BigEndian.AppendUint32(b, crc32.Checksum(part, castagnoli))
			b = append(b, part...)
			l.metrics.partWrites.Inc()
			l.metrics.partBytes.Add(float64(headerSize + len(part)))
		}
	}
	// No page ends with room that is too small for a header.
	if left := pageSize - (start+len(b))%pageSize; left < headerSize {
		b = append(b, make([]byte, left)...)
	}
	l.pages = b
}

func kindOf(first, last bool) byte {
	switch {
	case first && last:
		return kindFull
	case first:
		return kindFirst
	case last:
		return kindLast
	}
	return kindMiddle
}

// cut begins the next segment. On an error the current one stays.
func (l *Log) cut() error {
	seg := Segment{Dir: l.dir, Index: l.index + 1}
	file, err := l.fs.Create(seg.Path())
	if err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return errors.Join(err, file.Close())
	}
	if l.failed {
		if l.ends == nil {
			l.ends = map[int]int64{}
		}
		l.ends[l.index] = l.size
	}
	if full := l.file; full != nil {
		// The batch at hand need not wait for the disk: what it appends to is another file.
		l.flushing.Go(func() { l.flush(full) })
	}
	l.file, l.index, l.size, l.torn, l.failed = file, seg.Index, 0, false, false
	l.metrics.segmentCurrent.Set(float64(seg.Index))
	return nil
}

// flush makes a full segment durable and closes it. An error costs durability against a crash of the machine alone.
func (l *Log) flush(f File) {
	if err := errors.Join(l.sync(f), f.Close()); err != nil {
		l.flushMu.Lock()
		l.flushErrs = append(l.flushErrs, err)
		l.flushMu.Unlock()
	}
}

func (l *Log) sync(f File) error {
	start := time.Now()
	err := f.Sync()
	l.metrics.fsync.Observe(time.Since(start).Seconds())
	return err
}

// NextSegment ends the current segment, so that it can be part of a checkpoint. An empty one goes on.
func (l *Log) NextSegment() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if l.file != nil && l.size == 0 && !l.torn {
		return nil
	}
	if err := l.cut(); err != nil {
		return fmt.Errorf("begin segment: %w", err)
	}
	return nil
}

// Truncate deletes the segments before index.
func (l *Log) Truncate(index int) error {
	l.metrics.truncations.Inc()
	if err := l.truncate(index); err != nil {
		l.metrics.truncationsFailed.Inc()
		return fmt.Errorf("truncate log: %w", err)
	}
	return nil
}

func (l *Log) truncate(index int) error {
	segs, err := ListSegments(l.fs, l.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range segs {
		if s.Index >= index {
			break
		}
		errs = append(errs, l.fs.Remove(s.Path())) // One that stays, such as a folder with files, must not keep the others.
	}
	return errors.Join(errs...)
}

// Size returns the bytes that the log takes on disk, checkpoints included.
func (l *Log) Size() (int64, error) {
	c, err := FindChain(l.fs, l.dir)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range c.Segments {
		f, err := l.fs.Open(s.Path())
		if err != nil {
			continue // Deleted since it was listed.
		}
		n, err := f.Size()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return 0, fmt.Errorf("size of log: %w", err)
		}
		sum += n
	}
	return sum, nil
}

// Close flushes the log to the disk and ends it. The error is also about segments that could not be flushed before.
// Calls after the first do nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.metrics.unregister()
	if l.file != nil {
		if l.torn {
			l.mend()
		}
		l.flush(l.file)
	}
	l.flushing.Wait()
	if err := errors.Join(l.flushErrs...); err != nil {
		return fmt.Errorf("close log %s: %w", filepath.Base(l.dir), err)
	}
	return nil
}
