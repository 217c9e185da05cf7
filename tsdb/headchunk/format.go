package headchunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"

	"github.com/narthex-io/narthex/tsdb/chunk"
)

const (
	magic      = 0x0130BC91
	version    = 1
	fileHeader = 8
	// fixedBytes are those in front of a chunk's length: series, first and last time, encoding.
	fixedBytes = 8 + 8 + 8 + 1
	// minBytes is the size of a chunk without data.
	minBytes = fixedBytes + 1 + crc32.Size
	// lateFlag marks, in the byte of the encoding, chunks of samples that came out of order.
	lateFlag = 0x80
)

// Ref is the place of a chunk: the number of its file above the offset in it, 32 bits each. Zero is none.
type Ref uint64

// File returns the number of the file in which the chunk lies.
func (r Ref) File() uint32 { return uint32(r >> 32) }

// Offset returns where in the file it begins, in bytes.
func (r Ref) Offset() uint32 { return uint32(r) }

func makeRef(file, offset uint32) Ref { return Ref(file)<<32 | Ref(offset) }

// Chunk is a chunk with what the file says about it.
type Chunk struct {
	// Series is the reference that the write-ahead log uses for the series.
	Series uint64
	// MinT and MaxT are the times of the first and the last sample, in milliseconds.
	MinT, MaxT int64
	Encoding   chunk.Encoding
	// Late tells that the samples came out of order.
	Late bool
	Data []byte
}

// ErrCorrupt is wrapped by errors about bytes that are no chunk.
var ErrCorrupt = errors.New("corrupt head chunk")

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func fileName(dir string, number uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%06d", number))
}

// fileNumber is the inverse of the base of fileName.
func fileNumber(name string) (uint32, bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	return uint32(n), err == nil && n > 0 && len(name) >= 6
}

func appendHeader(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, magic)
	return append(dst, version, 0, 0, 0)
}

func appendChunk(dst []byte, c *Chunk) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, c.Series)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.MinT))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.MaxT))
	enc := byte(c.Encoding)
	if c.Late {
		enc |= lateFlag
	}
	dst = binary.AppendUvarint(append(dst, enc), uint64(len(c.Data)))
	dst = append(dst, c.Data...)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// decodeChunk reads the chunk at the beginning of b, and its size. A chunk whose checksum is wrong comes with the size
// that it claims to have. short tells that b ends before the chunk does.
func decodeChunk(b []byte) (c Chunk, size int, short bool, err error) {
	if len(b) < minBytes {
		return c, 0, true, fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(b))
	}
	c.Series = binary.BigEndian.Uint64(b)
	c.MinT, c.MaxT = int64(binary.BigEndian.Uint64(b[8:])), int64(binary.BigEndian.Uint64(b[16:]))
	c.Encoding, c.Late = chunk.Encoding(b[24]&^lateFlag), b[24]&lateFlag != 0
	n, k := binary.Uvarint(b[fixedBytes:])
	if k < 0 || n > maxFileBytes {
		return c, 0, false, fmt.Errorf("%w: a length that is none", ErrCorrupt)
	}
	size = fixedBytes + k + int(n) + crc32.Size
	if k == 0 || size > len(b) {
		return c, 0, true, fmt.Errorf("%w: %d bytes where %d should be", ErrCorrupt, len(b), size)
	}
	end := size - crc32.Size
	c.Data = b[fixedBytes+k : end : end]
	if got, want := crc32.Checksum(b[:end], castagnoli()), binary.BigEndian.Uint32(b[end:]); got != want {
		return c, size, false, fmt.Errorf("%w: checksum is %08x, should be %08x", ErrCorrupt, got, want)
	}
	if c.MinT > c.MaxT || c.Series == 0 {
		return c, size, false, fmt.Errorf("%w: series %d from %d to %d", ErrCorrupt, c.Series, c.MinT, c.MaxT)
	}
	return c, size, false, nil
}
