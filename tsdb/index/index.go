// Package index reads and writes the index of a block, and finds series by matchers.
//
// Start with [Writer], which takes series in label order and writes the file; [Reader], which answers from the file's
// bytes, usually a memory mapping; and [PostingsForMatchers], which works on a Reader as on everything else that is a
// [Source], such as the head. The package opens no files. docs/format/index.md draws the format.
//
// Within one index a series is known by a number of 32 bits, its id: ids ascend as label sets do. Sets of series are
// sorted lists of ids; they are combined list by list, never with a dynamic call for each id.
package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unsafe"
)

const (
	magic   = 0xBAAAD700
	version = 2

	headerSize = 5
	tocSize    = 6*8 + crcSize
	crcSize    = 4
	// seriesAlign is the alignment of series entries: an entry's id is its offset divided by it.
	seriesAlign = 16
	// sampleEvery is the distance at which positions in the tables are kept in memory.
	sampleEvery = 32
)

// ErrCorrupt is wrapped by all errors about damaged bytes. The errors name section and offset.
var ErrCorrupt = errors.New("corrupt index")

// ChunkMeta locates a chunk: its file and place, and the times of its first and last sample in milliseconds.
type ChunkMeta struct {
	// Ref is the number of the segment, counted from zero, in the upper and the offset in it in the lower 32 bits.
	Ref              uint64
	MinTime, MaxTime int64
}

// castagnoli is the polynomial of all checksums. MakeTable returns the same table each time.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func corrupt(section string, offset uint64, reason string) error {
	return fmt.Errorf("%w: %s at offset %d: %s", ErrCorrupt, section, offset, reason)
}

// decoder takes values from the front of b. Once there are too few bytes, it stays bad and returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.b, d.bad = nil, true
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) skip(n uint64) {
	if n > uint64(len(d.b)) {
		d.fail()
		return
	}
	d.b = d.b[n:]
}

// str returns a string that shares the memory of the bytes: clone it before it leaves the package.
func (d *decoder) str() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	s := unsafe.String(unsafe.SliceData(d.b), int(n))
	d.b = d.b[n:]
	return s
}

// section returns the content of a section that starts with its length in four bytes and ends with its checksum.
func section(data []byte, name string, offset uint64) ([]byte, error) {
	if offset > uint64(len(data)) || uint64(len(data))-offset < 4 {
		return nil, corrupt(name, offset, "it lies outside of the file")
	}
	rest := data[offset+4:]
	size := uint64(binary.BigEndian.Uint32(data[offset:]))
	if uint64(len(rest)) < size+crcSize {
		return nil, corrupt(name, offset, fmt.Sprintf("its %d bytes reach beyond the file", size))
	}
	body := rest[:size]
	if want := binary.BigEndian.Uint32(rest[size:]); crc32.Checksum(body, castagnoli()) != want {
		return nil, corrupt(name, offset, "the checksum does not match")
	}
	return body, nil
}
