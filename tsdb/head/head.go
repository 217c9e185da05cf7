package head

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/headchunk"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// ErrClosed is returned by calls on a closed head.
var ErrClosed = errors.New("storage is closed")

// Options say where the log is and how samples are laid out.
type Options struct {
	// WAL is the log. Its metrics are registered with Registerer.
	WAL wal.Options
	// LateWAL is the log of samples that come out of order. It is made when there is a window, or when it holds any.
	LateWAL wal.Options
	// SamplesV2 has floats written in records that Prometheus reads from 3.11 on, see [wal.AppendSamplesV2].
	SamplesV2 bool
	// OutOfOrderWindow is how many milliseconds a sample may come behind the newest; zero takes none out of order.
	// [Head.SetOutOfOrderWindow] changes it later.
	OutOfOrderWindow int64
	// ChunkDir is where complete chunks are moved to by [Head.MapChunks]; they stay in memory if it is empty. MapQueue
	// is how many of them may be there before [Head.MapDue] says so, zero for [DefaultMapQueue].
	ChunkDir string
	MapQueue int
	// ChunkRange is the range in milliseconds whose multiples no chunk crosses: the range of the blocks that will be
	// cut.
	ChunkRange int64
	// XOR2 writes floats in the encoding XOR2, which older programs can't read; [Head.SetXOR2] changes it later.
	XOR2 bool
	// HistogramST writes histograms in the encodings that have room for start timestamps; KeepST keeps start timestamps, in
	// these encodings.
	HistogramST, KeepST bool
	// MinValidTime is the time before which all samples are in blocks: those in the log are dropped.
	// math.MinInt64 means that there are no blocks.
	MinValidTime int64
	// ReadOnly reads the log and writes nothing: neither can be appended nor maintained.
	ReadOnly bool
	// MaxExemplars is the number of exemplars that are kept, zero for none. [Head.SetMaxExemplars] changes it later.
	MaxExemplars int
	// OnCommit is called, if not nil, after each batch, while no other can be committed: it must be quick.
	OnCommit func(Committed)
	// OnSegment is called, if not nil, before each segment that is read at the start.
	OnSegment  func(first, last, current int)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Head holds recent samples. It implements [storage.Appendable] and [storage.Queryable] and is safe for use by several
// goroutines.
type Head struct {
	chunkRange int64
	logger     *slog.Logger
	metrics    *metrics
	log        *wal.Log
	// lateLog, under commit, is the log of what comes out of order; nil as long as nothing ever did.
	lateLog     *wal.Log
	lateOptions wal.Options
	onCommit    func(Committed)
	// appendSamples makes a record of floats.
	appendSamples func(dst []byte, samples []wal.Sample) []byte

	// disk holds the complete chunks that are not in memory any more, if any ever are; lateFile is the first of its
	// files that has chunks of what came out of order, zero if none does, which Prometheus wrote.
	disk     *headchunk.Store
	lateFile uint32
	// begun counts the chunks begun since the last were moved; from mapQueue on mapDue says that it is time.
	begun    atomic.Int64
	mapQueue int64
	mapDue   chan struct{}
	// cutDue says that the head became wide; toldWide is true from then on to the next truncation.
	cutDue   chan struct{}
	toldWide atomic.Bool

	xor2                atomic.Bool
	histogramST, keepST bool

	index     seriesIndex
	slab      slab
	snapshots snapshots
	lastRef   atomic.Uint64
	appenders sync.Pool

	// minTime and maxTime bound the samples; minTime is above maxTime while there are none.
	minTime, maxTime atomic.Int64
	// lateMin and lateMax bound what came out of order; lateMin is above lateMax while there is nothing. window is the
	// out-of-order window.
	lateMin, lateMax, window atomic.Int64
	// minValid is the time before which no sample is taken in.
	minValid atomic.Int64
	// chunks is the number of chunks, openAppenders that of batches under way.
	chunks, openAppenders atomic.Int64
	// contended counts the samples that were staged for a series of which another batch had staged samples.
	contended atomic.Uint64
	closed    atomic.Bool

	commit sync.Mutex
	// buf and recs are the memory for the records of a batch; commit guards them.
	buf     []byte
	recs    [][]byte
	samples []wal.Sample
	// owed are deletions that are not in the log yet; commit guards them.
	owed   []wal.Tombstone
	bounds logBounds

	// truncating serializes truncations.
	truncating sync.Mutex
	// reported are the places of damage that were reported. Opening writes it, then who holds truncating.
	reported map[string]bool

	// extra is what only few series have.
	extra     extras
	exemplars exemplarRing
}

// extras are kept beside the pages because most series have none.
type extras struct {
	mu       sync.RWMutex
	metadata map[uint32]sample.Metadata
	// deleted are ranges of time, as the log tells.
	deleted map[uint32][]interval
	// deletions is the number of the last deletion.
	deletions uint64
	// aliases are further references that the log uses for series.
	aliases map[uint64]uint32
	// evicted are references that the log uses for series that were moved to blocks as a whole, with the times of their
	// last samples.
	evicted map[uint64]int64
}

// interval is a range of time, closed at both ends.
type interval struct {
	minT, maxT int64
	// deletion is the number of the deletion that an interval is of, zero if that was before the start.
	deletion uint64
}

var (
	_ storage.Appendable = (*Head)(nil)
	_ storage.Queryable  = (*Head)(nil)

	_ storage.ExemplarQueryable = (*Head)(nil)
)

// Open reads the log and begins a new segment of it. What is damaged in the log is reported and left out. ctx
// interrupts reading.
func Open(ctx context.Context, o Options) (*Head, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.WAL.FS == nil {
		o.WAL.FS = wal.OS{}
	}
	if o.ChunkRange <= 0 {
		return nil, fmt.Errorf("open head: chunk range %d is not positive", o.ChunkRange)
	}
	if o.LateWAL.FS == nil {
		o.LateWAL.FS = o.WAL.FS
	}
	o.LateWAL.OutOfOrder, o.LateWAL.Registerer = true, o.Registerer
	h := &Head{chunkRange: o.ChunkRange, logger: o.Logger, lateOptions: o.LateWAL, onCommit: o.OnCommit, reported: map[string]bool{}}
	h.mapQueue, h.mapDue = int64(cmp.Or(o.MapQueue, DefaultMapQueue)), make(chan struct{}, 1)
	h.cutDue = make(chan struct{}, 1)
	h.appendSamples = wal.AppendSamples
	if o.SamplesV2 {
		h.appendSamples = wal.AppendSamplesV2
	}
	h.xor2.Store(o.XOR2)
	h.histogramST, h.keepST = o.HistogramST || o.KeepST, o.KeepST
	h.index.pairs = newPairs()
	h.snapshots.open = map[uint64]uint64{}
	h.snapshots.closed = make(chan struct{})
	h.extra.metadata, h.extra.deleted, h.extra.aliases = map[uint32]sample.Metadata{}, map[uint32][]interval{}, map[uint64]uint32{}
	h.extra.evicted = map[uint64]int64{}
	h.bounds = logBounds{newest: math.MinInt64, evicted: -1}
	h.minTime.Store(math.MaxInt64)
	h.maxTime.Store(math.MinInt64)
	h.minValid.Store(o.MinValidTime)
	h.exemplars.series, h.exemplars.size = map[uint32]*exemplarSeries{}, max(o.MaxExemplars, 0)
	h.forgetLateBounds()
	h.metrics = newMetrics(h)
	if o.ReadOnly {
		o.WAL.FS, o.LateWAL.FS = wal.ReadOnly{FS: o.WAL.FS}, wal.ReadOnly{FS: o.LateWAL.FS}
	}
	if o.ChunkDir != "" {
		disk, err := headchunk.Open(headchunk.Options{Dir: o.ChunkDir, FS: o.WAL.FS})
		if err != nil {
			return nil, fmt.Errorf("open head: %w", err)
		}
		h.disk = disk
	}
	if err := h.open(ctx, &o); err != nil {
		if h.disk != nil {
			err = errors.Join(err, h.disk.Close())
		}
		return nil, fmt.Errorf("open head: %w", err)
	}
	h.metrics.register(o.Registerer)
	return h, nil
}

// open reads the log and opens it.
func (h *Head) open(ctx context.Context, o *Options) error {
	start := time.Now()
	h.window.Store(max(o.OutOfOrderWindow, 0)) // By which deletions are kept or not.
	if err := h.replay(ctx, o); err != nil {
		return err
	}
	h.metrics.replayDuration.Set(time.Since(start).Seconds())
	if o.ReadOnly {
		return nil
	}
	o.WAL.Registerer = o.Registerer
	log, err := wal.Open(o.WAL)
	if err != nil {
		return err
	}
	h.log = log
	if err := h.openLate(o.OutOfOrderWindow); err != nil {
		return errors.Join(err, log.Close())
	}
	return nil
}

// openLate opens the log of samples that come out of order, if it is needed.
func (h *Head) openLate(window int64) error {
	if err := h.SetOutOfOrderWindow(window); err != nil || h.lateLog != nil || h.lateMin.Load() > h.lateMax.Load() {
		return err
	}
	return h.openLateLog()
}

// openLateLog opens the log of samples that come out of order. Its folder is never without a segment: tools of Prometheus
// that read a directory stumble over that.
func (h *Head) openLateLog() error {
	log, err := wal.Open(h.lateOptions)
	if err != nil {
		return fmt.Errorf("open out-of-order log: %w", err)
	}
	if log.Index() < 0 {
		_ = log.NextSegment() // If it fails, appending tries again.
	}
	h.lateLog = log
	return nil
}

// Stats are numbers about what is in memory.
type Stats struct {
	Series, Chunks int
	// MinTime and MaxTime bound the samples; Samples is false if there are none.
	MinTime, MaxTime int64
	Samples          bool
	// LateMinTime and LateMaxTime bound the samples that came out of order; Late is false if there are none.
	LateMinTime, LateMaxTime int64
	Late                     bool
}

// Stats returns the current numbers.
func (h *Head) Stats() Stats {
	h.index.mu.RLock()
	series := h.index.series
	h.index.mu.RUnlock()
	s := Stats{Series: series, Chunks: int(h.chunks.Load()), MinTime: h.minTime.Load(), MaxTime: h.maxTime.Load()}
	s.Samples = s.MinTime <= s.MaxTime
	s.LateMinTime, s.LateMaxTime = h.lateMin.Load(), h.lateMax.Load()
	s.Late = s.LateMinTime <= s.LateMaxTime
	return s
}

// LogSize returns the bytes that the logs take on the disk.
func (h *Head) LogSize() (int64, error) {
	n, err := h.log.Size()
	h.commit.Lock()
	late := h.lateLog
	h.commit.Unlock()
	if err != nil || late == nil {
		return n, err
	}
	m, err := late.Size()
	return n + m, err
}

// ChunkFilesSize returns the bytes of the files with complete chunks.
func (h *Head) ChunkFilesSize() int64 {
	if h.disk == nil {
		return 0
	}
	return h.disk.Size()
}

// Close flushes the log and ends appending; it waits for maintenance that is under way. Queriers that are open stay
// valid. Calls after the first do nothing.
func (h *Head) Close() error {
	if h.closed.Swap(true) {
		return nil
	}
	h.truncating.Lock()
	defer h.truncating.Unlock()
	h.commit.Lock() // A commit that is under way is completed.
	defer h.commit.Unlock()
	h.metrics.unregister()
	var err error
	if h.log != nil {
		err = h.log.Close()
	}
	if h.lateLog != nil {
		err = errors.Join(err, h.lateLog.Close())
	}
	return errors.Join(err, h.closeDisk())
}

// lowestValid returns the time before which samples are out of bounds: what blocks hold, and what is half a chunk range
// or more behind the newest sample.
func (h *Head) lowestValid() int64 {
	low := h.minValid.Load()
	if newest := h.maxTime.Load(); newest > math.MinInt64+h.chunkRange {
		low = max(low, newest-h.chunkRange/2)
	}
	return low
}

// Wide reports whether the samples span more than one and a half times the range of a block, so that one can be cut.
func (h *Head) Wide() bool {
	minTime, maxTime := h.minTime.Load(), h.maxTime.Load()
	return minTime <= maxTime && maxTime-minTime > h.chunkRange/2*3
}

// CutDue receives something when the head became [Head.Wide], and then again when it is after a truncation.
func (h *Head) CutDue() <-chan struct{} { return h.cutDue }

// noteWidth says so if the head became wide.
func (h *Head) noteWidth() {
	if h.toldWide.Load() || !h.Wide() || h.toldWide.Swap(true) {
		return
	}
	select {
	case h.cutDue <- struct{}{}:
	default: // It was said before.
	}
}

// extend makes the bounds cover [minT, maxT].
func (h *Head) extend(minT, maxT int64) {
	if minT < h.minTime.Load() {
		h.minTime.Store(minT)
	}
	if maxT > h.maxTime.Load() {
		h.maxTime.Store(maxT)
	}
}
