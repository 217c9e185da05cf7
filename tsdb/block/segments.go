package block

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/narthex-io/narthex/internal/mmap"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

const (
	segmentMagic   = 0x85BD40DD
	segmentVersion = 1
	segmentHeader  = 8
	// maxSegmentBytes is the size that a segment does not exceed.
	maxSegmentBytes = 512 << 20
)

func segmentName(dir string, number int) string {
	return filepath.Join(dir, fmt.Sprintf("%06d", number))
}

// segments are the files with a block's chunks.
type segments struct {
	dir   string
	files []*mmap.File
}

func openSegments(dir string) (*segments, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list chunk segments: %w", err)
	}
	s := &segments{dir: dir}
	for _, e := range entries {
		var number int
		if _, err := fmt.Sscanf(e.Name(), "%d", &number); err != nil || filepath.Ext(e.Name()) != "" {
			continue
		}
		if want := len(s.files) + 1; number != want {
			return nil, errors.Join(fmt.Errorf("%w: segment %s is missing", ErrCorrupt, segmentName(dir, want)), s.close())
		}
		f, err := openSegment(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

func openSegment(name string) (*mmap.File, error) {
	f, err := mmap.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open chunk segment: %w", err)
	}
	b := f.Bytes()
	switch {
	case len(b) < segmentHeader:
		err = fmt.Errorf("%w: %s: %d bytes are less than a header", ErrCorrupt, name, len(b))
	case binary.BigEndian.Uint32(b) != segmentMagic:
		err = fmt.Errorf("%w: %s starts with %#x, not with %#x", ErrCorrupt, name, binary.BigEndian.Uint32(b), uint32(segmentMagic))
	case b[4] != segmentVersion:
		err = fmt.Errorf("%s: chunk segments of version %d are not supported, only %d", name, b[4], segmentVersion)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

func (s *segments) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// size returns the bytes of all segments.
func (s *segments) size() int64 {
	var n int64
	for _, f := range s.files {
		n += int64(len(f.Bytes()))
	}
	return n
}

// chunk returns the encoding and the bytes of a chunk, which belong to the mapping.
func (s *segments) chunk(ref uint64) (chunk.Encoding, []byte, error) {
	number, offset := ref>>32, uint32(ref)
	if number >= uint64(len(s.files)) {
		return 0, nil, fmt.Errorf("%w: %s: it is missing, and a chunk at offset %d of it with it", ErrCorrupt, segmentName(s.dir, int(number)+1), offset)
	}
	enc, data, damage := chunkAt(s.files[number].Bytes(), offset)
	if damage != "" {
		return 0, nil, fmt.Errorf("%w: %s: chunk at offset %d %s", ErrCorrupt, segmentName(s.dir, int(number)+1), offset, damage)
	}
	return enc, data, nil
}

// chunkAt returns the chunk at an offset of a segment, or what is wrong with it.
func chunkAt(b []byte, offset uint32) (enc chunk.Encoding, data []byte, damage string) {
	if offset < segmentHeader || uint64(offset) >= uint64(len(b)) {
		return 0, nil, fmt.Sprintf("lies outside of the %d bytes", len(b))
	}
	size, n := binary.Uvarint(b[offset:])
	rest := b[uint64(offset)+uint64(max(n, 0)):]
	if n <= 0 || size >= uint64(len(rest)) || uint64(len(rest))-size < 1+crc32.Size {
		return 0, nil, "reaches beyond the file"
	}
	if crc32.Checksum(rest[:1+size], castagnoli()) != binary.BigEndian.Uint32(rest[1+size:]) {
		return 0, nil, "has a checksum that does not match"
	}
	return chunk.Encoding(rest[0]), rest[1 : 1+size : 1+size], ""
}

// segmentWriter writes chunks into a folder, one segment after another.
type segmentWriter struct {
	fs     vfs.FS
	dir    string
	limit  int64
	file   vfs.File
	buf    *bufio.Writer
	number int
	pos    int64
}

// add writes a chunk and returns its reference.
func (w *segmentWriter) add(enc chunk.Encoding, data []byte) (uint64, error) {
	size := int64(binary.MaxVarintLen32 + 1 + len(data) + crc32.Size)
	if w.file == nil || w.pos+size > w.limit {
		if err := w.cut(); err != nil {
			return 0, err
		}
	}
	ref := uint64(w.number-1)<<32 | uint64(w.pos)
	var head [binary.MaxVarintLen32 + 1]byte
	n := binary.PutUvarint(head[:], uint64(len(data)))
	head[n] = byte(enc)
	sum := crc32.Update(crc32.Checksum(head[n:n+1], castagnoli()), castagnoli(), data)
	var tail [crc32.Size]byte
	binary.BigEndian.PutUint32(tail[:], sum)
	for _, part := range [][]byte{head[:n+1], data, tail[:]} {
		if _, err := w.buf.Write(part); err != nil {
			return 0, fmt.Errorf("write chunk segment: %w", err)
		}
		w.pos += int64(len(part))
	}
	return ref, nil
}

// cut ends the segment, if there is one, and begins the next.
func (w *segmentWriter) cut() error {
	if err := w.finish(); err != nil {
		return err
	}
	w.number++
	f, err := w.fs.Create(segmentName(w.dir, w.number))
	if err != nil {
		return fmt.Errorf("create chunk segment: %w", err)
	}
	w.file = f
	if w.buf == nil {
		w.buf = bufio.NewWriterSize(nil, 1<<18)
	}
	w.buf.Reset(&vfs.Stream{File: f})
	header := append(binary.BigEndian.AppendUint32(nil, segmentMagic), segmentVersion, 0, 0, 0)
	if _, err := w.buf.Write(header); err != nil {
		return fmt.Errorf("write chunk segment: %w", err)
	}
	w.pos = segmentHeader
	return nil
}

// finish brings the segment to the disk.
func (w *segmentWriter) finish() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	if err := errors.Join(w.buf.Flush(), vfs.CloseSynced(f)); err != nil {
		return fmt.Errorf("write chunk segment: %w", err)
	}
	return nil
}

// abort closes the segment.
func (w *segmentWriter) abort() {
	if w.file != nil {
		_ = w.file.Close()
		w.file = nil
	}
}
