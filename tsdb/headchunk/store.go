package headchunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/narthex-io/narthex/internal/mmap"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// maxFileBytes is the size that a file does not exceed.
const maxFileBytes = 128 << 20

// Options say where the files are. Only Dir is required.
type Options struct {
	// Dir is the folder. It is made when the first chunk is written.
	Dir string
	// FS is the machine's file system if nil. Files of others are not mapped but read.
	FS vfs.FS
}

// Store is the files. It is safe for use by several goroutines.
type Store struct {
	fs  vfs.FS
	dir string

	// writing serializes what changes the set of files; it is taken before mu.
	writing sync.Mutex
	buf     []byte
	// torn tells that bytes of a failed write may lie behind the chunks of the file that is being written.
	torn bool
	// retired are the files that were deleted last. They stay mapped until the next ones are deleted.
	retired []*file

	// mu guards the set of files and their sizes.
	mu sync.RWMutex
	// files are in the order of their numbers; those of earlier runs are not written to.
	files []*file
	// current is the one that is being written, nil if the next chunk begins one.
	current *file
	// last is the number of the newest file that there was: one that is gone may still be read by its number.
	last uint32
}

// file is one file.
type file struct {
	number uint32
	size   int64
	handle vfs.File
	// mapped is the content, with room to grow; nil if it has to be read.
	mapped *mmap.File
}

// Open opens the files of earlier runs. They are not read yet: call [Store.Each].
func Open(o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	s := &Store{fs: o.FS, dir: o.Dir}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("open head chunks: %w", err)
	}
	for _, name := range names {
		number, ok := fileNumber(name)
		if !ok {
			continue
		}
		f, err := s.openFile(number)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open head chunks: %w", err), s.Close())
		}
		s.files = append(s.files, f)
	}
	slices.SortFunc(s.files, func(a, b *file) int { return int(int64(a.number) - int64(b.number)) })
	return s, nil
}

func (s *Store) openFile(number uint32) (*file, error) {
	handle, err := s.fs.Open(fileName(s.dir, number))
	if err != nil {
		return nil, err
	}
	f := &file{number: number, handle: handle}
	if f.size, err = handle.Size(); err != nil {
		return nil, errors.Join(err, handle.Close())
	}
	f.mapInto(f.size)
	return f, nil
}

// mapInto maps size bytes of the file if the system can do that.
func (f *file) mapInto(size int64) {
	if h, ok := f.handle.(interface{ Fd() uintptr }); ok && size > 0 {
		if m, err := mmap.Window(h.Fd(), int(size)); err == nil {
			f.mapped = m
		}
	}
}

func (f *file) close() error {
	var err error
	if f.mapped != nil {
		err = f.mapped.Close()
	}
	return errors.Join(err, f.handle.Close())
}

// read returns size bytes from an offset on, fewer where the file ends.
func (f *file) read(offset, size int64) ([]byte, error) {
	size = min(size, f.size-offset)
	if size <= 0 {
		return nil, nil
	}
	if f.mapped != nil {
		return f.mapped.Bytes()[offset : offset+size : offset+size], nil
	}
	b := make([]byte, size)
	if n, err := f.handle.ReadAt(b, offset); n < len(b) {
		return nil, err
	}
	return b, nil
}

// Append writes chunks behind those that are there, and returns their places in refs, which must have room for them all.
// It reports how many were written; on an error, the others were not.
func (s *Store) Append(chunks []Chunk, refs []Ref) (written int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for written < len(chunks) {
		n, err := s.appendSome(chunks[written:], refs[written:])
		written += n
		if err != nil {
			return written, fmt.Errorf("write head chunks: %w", err)
		}
	}
	return written, nil
}

// appendSome writes as many chunks as the current file takes.
func (s *Store) appendSome(chunks []Chunk, refs []Ref) (int, error) {
	f, err := s.writable(len(chunks[0].Data))
	if err != nil {
		return 0, err
	}
	b, n := s.buf[:0], 0
	for ; n < len(chunks); n++ {
		offset := f.size + int64(len(b))
		if n > 0 && offset+int64(maxChunkBytes(len(chunks[n].Data))) > maxFileBytes {
			break
		}
		refs[n] = makeRef(f.number, uint32(offset))
		b = appendChunk(b, &chunks[n])
	}
	s.buf = b[:0]
	if cap(s.buf) > maxIdleBuffer {
		s.buf = nil
	}
	if _, err := f.handle.WriteAt(b, f.size); err != nil {
		s.torn = f.handle.Truncate(f.size) != nil
		return 0, err
	}
	s.mu.Lock()
	f.size += int64(len(b))
	s.mu.Unlock()
	return n, nil
}

// maxIdleBuffer is the memory in bytes that is kept between calls.
const maxIdleBuffer = 1 << 20

// maxChunkBytes is what a chunk with so many bytes of data takes at most.
func maxChunkBytes(data int) int { return minBytes + binary.MaxVarintLen64 + data }

// writable returns the file for the next chunk, a new one if it does not fit into the current one.
func (s *Store) writable(data int) (*file, error) {
	if f := s.current; f != nil && !s.torn && f.size+int64(maxChunkBytes(data)) <= maxFileBytes {
		return f, nil
	}
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return nil, err
	}
	s.mu.RLock()
	number := s.last + 1
	if n := len(s.files); n > 0 {
		number = max(number, s.files[n-1].number+1)
	}
	s.mu.RUnlock()
	name := fileName(s.dir, number)
	handle, err := s.fs.Create(name)
	if err != nil {
		return nil, err
	}
	f := &file{number: number, handle: handle, size: fileHeader}
	if _, err = handle.WriteAt(appendHeader(nil), 0); err != nil {
		return nil, errors.Join(err, handle.Close(), s.fs.Remove(name))
	}
	f.mapInto(maxFileBytes)
	s.mu.Lock()
	s.files, s.current, s.last = append(slices.Clip(s.files), f), f, number
	s.mu.Unlock()
	s.torn = false
	return f, nil
}

// Chunk returns a chunk. Its data are valid until the file is gone, see [Store.Truncate].
func (s *Store) Chunk(ref Ref) (c Chunk, err error) {
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	s.mu.RLock()
	defer s.mu.RUnlock()
	f := s.find(ref.File())
	if f == nil {
		return Chunk{}, fmt.Errorf("%w: %s is gone", ErrCorrupt, fileName(s.dir, ref.File()))
	}
	size := f.size - int64(ref.Offset())
	if f.mapped == nil {
		size = min(size, typicalBytes)
	}
	b, err := f.read(int64(ref.Offset()), size)
	if err == nil {
		var short bool
		if c, _, short, err = decodeChunk(b); short && f.mapped == nil {
			if b, err = f.read(int64(ref.Offset()), f.size); err == nil {
				c, _, _, err = decodeChunk(b)
			}
		}
	}
	if err != nil {
		return Chunk{}, fmt.Errorf("%s at offset %d: %w", fileName(s.dir, ref.File()), ref.Offset(), err)
	}
	return c, nil
}

// typicalBytes are read at once where files can't be mapped.
const typicalBytes = 4 << 10

// find returns a file, nil if there is none. The caller holds mu.
func (s *Store) find(number uint32) *file {
	i, found := slices.BinarySearchFunc(s.files, number, func(f *file, number uint32) int { return int(int64(f.number) - int64(number)) })
	if !found {
		return nil
	}
	return s.files[i]
}

// worthEnding is the size in bytes from which on a file is ended when others are deleted, so that it can be, the next time.
const worthEnding = 1 << 20

// Truncate deletes the files before the given number. Chunks in them must not be asked for any more; data that were
// returned are valid until the next call. Chunks that are written later go to a new file, unless there are few yet.
func (s *Store) Truncate(number uint32) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for _, f := range s.retired {
		if err := f.close(); err != nil {
			return fmt.Errorf("close head chunks: %w", err)
		}
	}
	s.retired = nil
	for {
		s.mu.Lock()
		if len(s.files) == 0 || s.files[0].number >= number {
			if s.current != nil && s.current.size >= worthEnding {
				s.current = nil
			}
			s.mu.Unlock()
			return nil
		}
		f := s.files[0]
		// From the first on, one by one, so that no gap is left whatever fails.
		if err := s.fs.Remove(fileName(s.dir, f.number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.mu.Unlock()
			return fmt.Errorf("delete head chunks: %w", err)
		}
		s.files = slices.Clone(s.files[1:])
		if s.current == f {
			s.current = nil
		}
		s.mu.Unlock()
		s.retired = append(s.retired, f)
	}
}

// Size returns the bytes of all files.
func (s *Store) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var sum int64
	for _, f := range s.files {
		sum += f.size
	}
	return sum
}

// Close ends the use of the files. Data of chunks must not be used any more.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range slices.Concat(s.files, s.retired) {
		errs = append(errs, f.close())
	}
	s.files, s.retired, s.current = nil, nil, nil
	return errors.Join(errs...)
}
