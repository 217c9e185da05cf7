package wal

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Compression is how records are compressed.
type Compression uint8

// The known compressions.
const (
	None Compression = iota
	Snappy
	Zstd
	// ZstdLight is zstd that only looks for repetitions, and in large records of samples only where they are: such get 2 %
	// larger, and compressing them takes a third of the time (docs/RATIONALE.md).
	ZstdLight
)

// String returns the name as it is used in metrics.
func (c Compression) String() string { return [...]string{"none", "snappy", "zstd", "zstd"}[c] }

// maxRecord bounds a decompressed record, so that a damaged one can't ask for any amount of memory.
const maxRecord = 1 << 30

// compressor compresses records and reuses its memory.
type compressor struct {
	kind Compression
	buf  []byte
	zstd *zstd.Encoder
	rows *rowEncoder // of ZstdLight
}

func newCompressor(kind Compression) (*compressor, error) {
	c := &compressor{kind: kind}
	if kind == Zstd || kind == ZstdLight {
		// Fragments have checksums of their own.
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true), zstd.WithNoEntropyCompression(kind == ZstdLight))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		c.zstd = enc
	}
	if kind == ZstdLight {
		c.rows = newRowEncoder()
	}
	return c, nil
}

// encode returns the record as it is to be written, which is valid until the next call, and the header's flag. A
// record that does not get smaller stays as it is.
func (c *compressor) encode(rec []byte) ([]byte, byte) {
	var flag byte
	switch c.kind {
	case Snappy:
		if n := s2.MaxEncodedLen(len(rec)); n > cap(c.buf) {
			c.buf = make([]byte, n)
		}
		c.buf, flag = s2.EncodeSnappy(c.buf[:cap(c.buf)], rec), flagSnappy
	case Zstd, ZstdLight:
		flag = flagZstd
		if c.rows != nil {
			var done bool
			if c.buf, done = c.rows.encode(c.buf[:0], rec); done {
				break
			}
		}
		c.buf = c.zstd.EncodeAll(rec, c.buf[:0])
	default:
		return rec, 0
	}
	if len(c.buf) >= len(rec) {
		return rec, 0
	}
	return c.buf, flag
}

// decompressor is the other direction.
type decompressor struct {
	buf  []byte
	zstd *zstd.Decoder
}

func (d *decompressor) decode(flags byte, data []byte) ([]byte, error) {
	switch {
	case flags&flagSnappy != 0 && flags&flagZstd != 0:
		return nil, errors.New("record is marked as compressed twice")
	case flags&flagSnappy != 0:
		return d.snappy(data)
	case flags&flagZstd != 0:
		return d.unzstd(data)
	}
	return data, nil
}

func (d *decompressor) snappy(data []byte) ([]byte, error) {
	n, err := snappy.DecodedLen(data)
	// A byte of snappy makes at most 64 bytes or so.
	if err != nil || n > maxRecord || n > 100*len(data)+64 {
		return nil, errors.New("snappy: bad length")
	}
	if n > cap(d.buf) {
		d.buf = make([]byte, n)
	}
	out, err := snappy.Decode(d.buf[:n], data)
	if err != nil {
		return nil, fmt.Errorf("snappy: %w", err)
	}
	return out, nil
}

func (d *decompressor) unzstd(data []byte) ([]byte, error) {
	if d.zstd == nil {
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRecord))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		d.zstd = dec
	}
	out, err := d.zstd.DecodeAll(data, d.buf[:0])
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	d.buf = out[:0]
	return out, nil
}

func (d *decompressor) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}
