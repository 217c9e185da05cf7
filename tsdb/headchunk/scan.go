package headchunk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

// Damage is a part of a file that could not be read.
type Damage struct {
	// File is the path of the file, Offset where in it the damage begins, Bytes its length as far as it is known: up to
	// the next chunk that could be read, else up to the end of the file.
	File          string
	Offset, Bytes int64
	Err           error
}

// Error names file, offset and reason.
func (d *Damage) Error() string { return fmt.Sprintf("%s at offset %d: %v", d.File, d.Offset, d.Err) }

// Unwrap returns the reason.
func (d *Damage) Unwrap() error { return d.Err }

// Each calls f with all chunks of earlier runs, in the order in which they were written, and damaged with what can't be
// read. Both may keep no data. What a process that died left of its last chunk is cut off, it is no damage. A file that
// the machine fails to read is an error.
func (s *Store) Each(f func(Ref, Chunk), damaged func(*Damage)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	files := s.files
	if s.current != nil {
		files = files[:len(files)-1]
	}
	for i, x := range files {
		end, err := s.scan(x, i == len(s.files)-1, f, damaged)
		if err != nil {
			return fmt.Errorf("read head chunks: %s: %w", fileName(s.dir, x.number), err)
		}
		if end < x.size {
			s.cutOff(x, end)
		}
	}
	s.dropEmpty()
	return nil
}

// scan reads a file and returns where its content ends.
func (s *Store) scan(x *file, last bool, f func(Ref, Chunk), damaged func(*Damage)) (end int64, err error) {
	defer recoverFault(debug.SetPanicOnFault(true), &err)
	b, err := x.read(0, x.size)
	if err != nil {
		return 0, err
	}
	report := func(offset, size int64, err error) {
		damaged(&Damage{File: fileName(s.dir, x.number), Offset: offset, Bytes: size, Err: err})
	}
	if len(b) < fileHeader && (last || len(b) == 0) {
		return 0, nil
	}
	if len(b) < fileHeader || binary.BigEndian.Uint32(b) != magic || b[4] != version {
		if !last || !zeros(b) {
			report(0, x.size, fmt.Errorf("%w: the file does not begin as one of head chunks", ErrCorrupt))
			return x.size, nil
		}
		return 0, nil
	}
	at := fileHeader
	for at < len(b) {
		if len(b)-at < fixedBytes && zeros(b[at:]) || len(b)-at >= fixedBytes && zeros(b[at:at+fixedBytes-1]) && zeros(b[at:]) {
			break // Prometheus makes files larger than they need to be.
		}
		c, size, short, err := decodeChunk(b[at:])
		if err == nil {
			f(makeRef(x.number, uint32(at)), c)
			at += size
			continue
		}
		next := resume(b, at, size)
		if short && last && next == len(b) {
			return int64(at), nil
		}
		report(int64(at), int64(next-at), err)
		at = next
	}
	return x.size, nil
}

// plausibleBytes is what no chunk exceeds that is looked for behind damage.
const plausibleBytes = 1 << 20

// resume returns where reading can go on behind a damaged chunk: where it claims to end if something follows there that is
// right, else at the next place where a chunk is.
func resume(b []byte, at, size int) int {
	if size > 0 {
		if _, _, _, err := decodeChunk(b[at+size:]); err == nil || at+size == len(b) {
			return at + size
		}
	}
	for next := at + 1; next+minBytes <= len(b); next++ {
		// References and encodings are small numbers: most places are ruled out without a checksum.
		if b[next] != 0 || b[next+24]&^lateFlag > 15 || b[next+24]&^lateFlag == 0 {
			continue
		}
		if n, _ := binary.Uvarint(b[next+fixedBytes:]); n > plausibleBytes {
			continue
		}
		if _, _, _, err := decodeChunk(b[next:]); err == nil {
			return next
		}
	}
	return len(b)
}

// recoverFault makes an error of what the machine answers with when it can't read a page of a mapped file. It is
// deferred with the setting that was there before.
func recoverFault(before bool, err *error) {
	debug.SetPanicOnFault(before)
	switch r := recover().(type) {
	case nil:
	case interface{ Addr() uintptr }: // What the runtime panics with then.
		*err = errors.New("input/output error in a mapped file")
	default:
		panic(r)
	}
}

// zeros reports whether all bytes are zero.
func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// cutOff shortens a file. If that fails, the next start finds the same.
func (s *Store) cutOff(x *file, end int64) {
	if err := s.fs.Truncate(fileName(s.dir, x.number), end); err != nil && !errors.Is(err, os.ErrNotExist) {
		return
	}
	s.mu.Lock()
	x.size = end
	s.mu.Unlock()
}

// dropEmpty deletes the last file if it has no header: Prometheus would refuse the folder.
func (s *Store) dropEmpty() {
	n := len(s.files)
	if n == 0 || s.files[n-1] == s.current || s.files[n-1].size >= fileHeader {
		return
	}
	x := s.files[n-1]
	if s.fs.Remove(fileName(s.dir, x.number)) != nil {
		return
	}
	s.mu.Lock()
	s.files = s.files[: n-1 : n-1]
	s.mu.Unlock()
	_ = x.close() // Opened for reading alone.
}
