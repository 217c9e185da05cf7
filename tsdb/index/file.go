package index

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// file writes values, counts its position and keeps the checksum of what was written since begin. The first error
// stays.
type file struct {
	w   *bufio.Writer
	pos uint64
	crc uint32
	buf [8]byte
	// run gathers many small values, so that they are written and summed at once.
	run []byte
	err error
}

func (f *file) bytes(b ...byte) {
	if f.err == nil {
		_, f.err = f.w.Write(b)
	}
	f.pos += uint64(len(b))
	f.crc = crc32.Update(f.crc, castagnoli(), b)
}

func (f *file) be32(v uint32) {
	f.bytes(binary.BigEndian.AppendUint32(f.buf[:0], v)...)
}

func (f *file) be64(v uint64) {
	f.bytes(binary.BigEndian.AppendUint64(f.buf[:0], v)...)
}

func (f *file) uvarint(v uint64) {
	if v < 0x80 {
		f.buf[0] = byte(v)
		f.bytes(f.buf[:1]...)
		return
	}
	var b [binary.MaxVarintLen64]byte
	f.bytes(b[:binary.PutUvarint(b[:], v)]...)
}

func (f *file) str(s string) {
	f.uvarint(uint64(len(s)))
	f.run = append(f.run[:0], s...)
	f.bytes(f.run...)
}

// pad writes zeros up to a multiple of align.
func (f *file) pad(align uint64) {
	var zeros [seriesAlign]byte
	if n := f.pos % align; n != 0 {
		f.bytes(zeros[:align-n]...)
	}
}

// begin starts a new checksum, and checksum writes it.
func (f *file) begin() { f.crc = 0 }

func (f *file) checksum() { f.be32(f.crc) }

// section starts a section of so many bytes.
func (f *file) section(name string, size uint64) error {
	if size > math.MaxUint32 {
		return fmt.Errorf("the %s takes %d bytes, more than the 4 GiB that the format allows", name, size)
	}
	f.be32(uint32(size))
	f.begin()
	return f.err
}

// postings writes a list of ids.
func (f *file) postings(ids []uint32) error {
	if err := f.section("list of postings", 4+4*uint64(len(ids))); err != nil {
		return err
	}
	f.be32(uint32(len(ids)))
	for part := range slices.Chunk(ids, 4096) {
		f.run = f.run[:0]
		for _, id := range part {
			f.run = binary.BigEndian.AppendUint32(f.run, id)
		}
		f.bytes(f.run...)
	}
	f.checksum()
	return f.err
}

func uvarintSize(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
