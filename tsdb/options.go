package tsdb

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/tsdb/vfs"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// Compression names how records of the write-ahead log are compressed.
type Compression string

// The compressions that Prometheus knows too. They go with records that all versions of Prometheus 2 and 3 read;
// CompressionDefault is zstd with the records of Prometheus 3.11, which together are less than half as large.
const (
	CompressionDefault Compression = ""
	CompressionNone    Compression = "none"
	CompressionSnappy  Compression = "snappy"
	CompressionZstd    Compression = "zstd"
)

func (c Compression) wal() wal.Compression {
	switch c {
	case CompressionNone:
		return wal.None
	case CompressionSnappy:
		return wal.Snappy
	case CompressionZstd:
		return wal.Zstd
	}
	return wal.ZstdLight
}

// Defaults of [Options], equal to Prometheus's.
const (
	DefaultMinBlockDuration = 2 * time.Hour
	DefaultMaxBlockDuration = 31 * 24 * time.Hour
	DefaultRetentionTime    = 15 * 24 * time.Hour
	DefaultWALSegmentSize   = 128 << 20
)

// Options say where and how a [DB] keeps its samples. Only Dir is required.
type Options struct {
	// Dir is the data directory. It is made when missing.
	Dir string
	// MinBlockDuration is the range of a block that is cut from the head; zero means the default.
	MinBlockDuration time.Duration
	// MaxBlockDuration is the largest range that merging may lead to; zero means a tenth of the retention, at most
	// [DefaultMaxBlockDuration] and at least MinBlockDuration. Overlapping blocks are merged whatever their range.
	MaxBlockDuration time.Duration
	// KeepOverlaps leaves merging blocks that overlap to somebody else.
	KeepOverlaps bool
	// DelayCompactFile, if not empty, names a JSON file with the blocks that somebody uploaded, such as Thanos's
	// thanos.shipper.json: blocks cut from the head are not merged before they are in it.
	DelayCompactFile string
	// ChunkSegmentBytes bounds a file of chunks in a block, at most 4 GiB; zero means 512 MiB.
	ChunkSegmentBytes int64
	// Retention says which blocks are deleted. [DB.SetRetention] changes it later.
	Retention Retention
	// MaintenanceInterval is how often [DB.Run] looks whether something is to be done; zero means a minute.
	MaintenanceInterval time.Duration
	// CutDelayPercent, if not zero, lets the head wait before a block is cut, for a random time of up to so many percent
	// of MinBlockDuration, so that many servers don't do so at once.
	CutDelayPercent int
	// DiskSize returns the size in bytes of the file system that a folder lies on; nil asks the machine.
	DiskSize func(dir string) (int64, error)
	// MaxExemplars is the number of exemplars that are kept in memory and in the log, zero for none.
	// [DB.SetMaxExemplars] changes it later.
	MaxExemplars int
	// OutOfOrderWindow is how far a sample may come behind the newest one and still be taken; zero takes none out of
	// order. [DB.SetOutOfOrderWindow] changes it later.
	OutOfOrderWindow time.Duration
	// XOR2 writes chunks of floats in the encoding XOR2, which older programs can't read; [DB.SetXOR2] changes it
	// later.
	XOR2 bool
	// HistogramST writes chunks of histograms in the encodings that have room for start timestamps, and StartTimestamps
	// keeps these, in the log and in chunks of both kinds of encodings. Programs that don't know the encodings can't read
	// them.
	HistogramST, StartTimestamps bool
	// StaleSeriesThreshold is the share of series that ended, between 0 and 1, from which on these are moved from memory to
	// blocks before their time; zero and less, and more than 1, mean never. [DB.SetStaleSeriesThreshold] changes it later.
	StaleSeriesThreshold float64
	// WALCompression is how records of the log are compressed. WALSegmentSize is in bytes, a multiple of 32 KiB; zero means the default.
	WALCompression Compression
	WALSegmentSize int
	// HeadChunksQueue is the number of complete chunks of the head that may be in memory before they are written to
	// files; once a minute they are in any case. Zero means [head.DefaultMapQueue].
	HeadChunksQueue int
	// SkipDamage has queries of a [ReadOnly] leave out the series and chunks that are damaged, which is logged, instead of
	// failing.
	SkipDamage bool
	// NoLockfile leaves out the lock that keeps a second process out of the directory.
	NoLockfile bool
	// OnCommit, if not nil, is called after each batch, while no other can be committed: it must be quick.
	OnCommit func(Committed)
	// Replay, if not nil, is kept up to date while Open reads the write-ahead log.
	Replay *ReplayProgress
	// Logger and Registerer receive log lines and metrics; nil discards them.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// FS is what log and blocks are written through; the machine's file system if nil.
	FS vfs.FS
}

// Retention bounds what is kept. Zero fields set no bound.
type Retention struct {
	// Time is the age, counted from the end of the newest block, at which a block is deleted.
	Time time.Duration
	// SizeBytes bounds blocks, write-ahead log and head chunks together; the oldest blocks are deleted first.
	SizeBytes int64
	// Percentage, between 0 and 100, is SizeBytes as a share of the file system that the data directory lies on. It
	// prevails over SizeBytes, unless nobody can tell how large the file system is.
	Percentage float64
}

// ReplayProgress tells how far reading the write-ahead log has come. It can be read while [Open] runs.
type ReplayProgress struct {
	first, last, current atomic.Int64
	started, done        atomic.Bool
}

// Get returns the first and the last segment that are to be read, and the one that is being read.
func (p *ReplayProgress) Get() (first, last, current int) {
	return int(p.first.Load()), int(p.last.Load()), int(p.current.Load())
}

func (p *ReplayProgress) set(first, last, current int) {
	p.first.Store(int64(first))
	p.last.Store(int64(last))
	p.current.Store(int64(current))
	p.started.Store(true)
}

// segments returns how many segments there are to read, and how many of them were read.
func (p *ReplayProgress) segments() (all, read int64) {
	if !p.started.Load() {
		return 0, 0
	}
	first := p.first.Load()
	all = p.last.Load() - first + 1
	if p.done.Load() {
		return all, all
	}
	return all, max(p.current.Load()-first, 0)
}

const (
	walPageSize = 32 << 10
	// maxChunkSegment is where the offsets of chunks end.
	maxChunkSegment = 1<<32 - 1
)

// validated returns a copy with the defaults filled in, or all that is wrong.
func (o Options) validated() (Options, error) {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("no data directory given"))
	}
	if o.MinBlockDuration == 0 {
		o.MinBlockDuration = DefaultMinBlockDuration
	}
	if o.MinBlockDuration < time.Second {
		errs = append(errs, fmt.Errorf("min block duration %v is below one second", o.MinBlockDuration))
	}
	if o.MaxBlockDuration != 0 && o.MaxBlockDuration < o.MinBlockDuration {
		errs = append(errs, fmt.Errorf("max block duration %v is below the min block duration %v", o.MaxBlockDuration, o.MinBlockDuration))
	}
	switch o.WALCompression {
	case CompressionDefault, CompressionNone, CompressionSnappy, CompressionZstd:
	default:
		errs = append(errs, fmt.Errorf("unknown WAL compression %q", o.WALCompression))
	}
	if o.WALSegmentSize == 0 {
		o.WALSegmentSize = DefaultWALSegmentSize
	}
	if o.WALSegmentSize < walPageSize || o.WALSegmentSize%walPageSize != 0 {
		errs = append(errs, fmt.Errorf("WAL segment size %d is not a multiple of %d", o.WALSegmentSize, walPageSize))
	}
	if o.ChunkSegmentBytes < 0 || o.ChunkSegmentBytes > maxChunkSegment {
		errs = append(errs, fmt.Errorf("chunk segment size %d is not between 0 and %d", o.ChunkSegmentBytes, int64(maxChunkSegment)))
	}
	if o.OutOfOrderWindow < 0 {
		errs = append(errs, fmt.Errorf("out-of-order window %v is negative", o.OutOfOrderWindow))
	}
	if o.HeadChunksQueue < 0 {
		errs = append(errs, fmt.Errorf("head chunks queue %d is negative", o.HeadChunksQueue))
	}
	if o.MaxExemplars < 0 {
		errs = append(errs, fmt.Errorf("max exemplars %d is negative", o.MaxExemplars))
	}
	if o.Retention.Time < 0 || o.Retention.SizeBytes < 0 {
		errs = append(errs, errors.New("retention is negative"))
	}
	if p := o.Retention.Percentage; !(p >= 0 && p <= 100) { // Not a number is refused, too.
		errs = append(errs, fmt.Errorf("retention percentage %v is not between 0 and 100", p))
	}
	if o.CutDelayPercent < 0 || o.CutDelayPercent > 100 {
		errs = append(errs, fmt.Errorf("cut delay of %d percent is not between 0 and 100", o.CutDelayPercent))
	}
	if o.MaintenanceInterval < 0 {
		errs = append(errs, fmt.Errorf("maintenance interval %v is negative", o.MaintenanceInterval))
	}
	if o.MaintenanceInterval == 0 {
		o.MaintenanceInterval = defaultMaintenanceInterval
	}
	if o.DiskSize == nil {
		o.DiskSize = diskSize
	}
	if o.Replay == nil {
		o.Replay = &ReplayProgress{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	return o, errors.Join(errs...)
}
