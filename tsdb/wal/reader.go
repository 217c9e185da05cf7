package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"syscall"
)

// Damage is a part of the log that could not be read.
type Damage struct {
	Segment Segment
	// Offset is where the damage begins, in bytes from the start of the file, and Bytes how much is left out there.
	Offset, Bytes int64
	Err           error
}

// Error names file, offset and reason.
func (d *Damage) Error() string {
	return fmt.Sprintf("%s at offset %d: %v", d.Segment.Path(), d.Offset, d.Err)
}

// Unwrap returns the reason.
func (d *Damage) Unwrap() error { return d.Err }

// Reader reads the records of segments, one after the other. What is damaged is left out and reported; reading goes on
// with the next record that begins on a later page, so that parts of two records are never joined. Where the machine
// fails to read a file, there may be no damage at all: reading ends with [Reader.Err].
type Reader struct {
	fs       FS
	segs     []Segment
	onDamage func(*Damage)
	dec      decompressor

	next    int // index in segs of the segment to open next
	file    File
	size    int64
	page    []byte
	buf     []byte
	pageOff int64 // offset of page in the file
	at      int   // position in page

	partial     []byte // fragments of the record that is being put together
	inRecord    bool
	recordStart int64 // where it begins
	flags       byte
	padding     int64 // where padding began that must not be followed by anything; -1 if there is none
	blank       bool  // it covers a whole page, which no writer leaves
	end         int64 // end of the last whole record in the segment
	torn        bool

	rec []byte
	err error
}

// NewReader returns a reader over segments. onDamage is called, if not nil, for each damage, from within
// [Reader.Next].
func NewReader(fs FS, segs []Segment, onDamage func(*Damage)) *Reader {
	if onDamage == nil {
		onDamage = func(*Damage) {}
	}
	return &Reader{fs: fs, segs: segs, onDamage: onDamage, buf: make([]byte, pageSize)}
}

// Next goes to the next record and reports whether there is one.
func (r *Reader) Next() bool {
	for {
		if r.err != nil {
			return false
		}
		if r.file == nil {
			if r.next >= len(r.segs) {
				return false
			}
			r.open()
			continue
		}
		if r.at >= len(r.page) {
			if !r.nextPage() {
				r.closeSegment()
			}
			continue
		}
		if r.fragment() {
			return true
		}
	}
}

// Err returns why the machine failed to read a file. What comes behind it was not read.
func (r *Reader) Err() error { return r.err }

// Record returns the current record, which is valid until the next call of Next.
func (r *Reader) Record() []byte { return r.rec }

// Segment returns the segment of the current record, and Offset where in it the record begins.
func (r *Reader) Segment() Segment { return r.segs[max(r.next-1, 0)] }

// Offset returns where in the segment the current record begins.
func (r *Reader) Offset() int64 { return r.recordStart }

// Report counts the current record as damaged: it was read whole, but its content makes no sense.
func (r *Reader) Report(err error) { r.damage(r.recordStart, r.position(), err) }

// TornTail reports whether the last segment ends within a record, as it does when a process dies while it writes, and
// where the last whole record ends. It is valid once Next has returned false. Such a tail is no damage: it was never
// acknowledged.
func (r *Reader) TornTail() (seg Segment, size int64, torn bool) {
	if len(r.segs) == 0 {
		return Segment{}, 0, false
	}
	return r.segs[len(r.segs)-1], r.end, r.torn
}

// Close releases the reader. It may be called at any time.
func (r *Reader) Close() error {
	r.dec.close()
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// damage reports what lies from offset to end.
func (r *Reader) damage(offset, end int64, err error) {
	r.onDamage(&Damage{Segment: r.Segment(), Offset: offset, Bytes: max(end-offset, 0), Err: err})
}

// position returns how far the segment was read.
func (r *Reader) position() int64 { return r.pageOff + int64(r.at) }

// pageEnd returns where the current page ends.
func (r *Reader) pageEnd() int64 { return r.pageOff + int64(len(r.page)) }

// fail ends reading.
func (r *Reader) fail(offset int64, err error) {
	r.err = fmt.Errorf("read %s at offset %d: %w", r.Segment().Path(), offset, err)
}

func (r *Reader) open() {
	seg := r.segs[r.next]
	r.next++
	file, err := r.fs.Open(seg.Path())
	if errors.Is(err, os.ErrNotExist) {
		r.damage(0, 0, err)
		return
	}
	if err != nil {
		r.fail(0, err)
		return
	}
	size, err := file.Size()
	if err != nil {
		r.fail(0, errors.Join(err, file.Close()))
		return
	}
	r.file, r.size, r.page, r.pageOff, r.at = file, size, nil, -pageSize, 0
	r.inRecord, r.padding, r.blank, r.end, r.torn = false, -1, false, 0, false
}

func (r *Reader) closeSegment() {
	r.endPadding(r.blank)
	if r.inRecord {
		if r.next == len(r.segs) {
			r.torn = true
		} else {
			r.damage(r.recordStart, r.size, errors.New("the segment ends within a record"))
		}
		r.inRecord = false
	}
	_ = r.file.Close() // Opened for reading alone.
	r.file = nil
}

// readAttempts is how often a page is read before the machine's failure to do it counts.
const readAttempts = 3

// nextPage loads the next page and reports whether there was one.
func (r *Reader) nextPage() bool {
	r.pageOff += pageSize
	if r.pageOff >= r.size {
		return false
	}
	n := int(min(pageSize, r.size-r.pageOff))
	var got int
	var err error
	for range readAttempts {
		if got, err = r.file.ReadAt(r.buf[:n], r.pageOff); got == n || errors.Is(err, io.EOF) {
			r.page, r.at = r.buf[:got], 0
			return got > 0
		}
	}
	if errors.Is(err, syscall.EISDIR) { // A folder in its place never had records.
		r.damage(0, 0, err)
		return false
	}
	r.fail(r.pageOff, err)
	return true
}

// fragment reads one fragment and reports whether it completed a record.
func (r *Reader) fragment() bool {
	offset := r.pageOff + int64(r.at)
	kind := r.page[r.at] & kindMask
	if kind == kindPadding {
		r.pad(offset)
		return false
	}
	r.endPadding(r.padding >= 0)
	part, err := r.part()
	if err != nil {
		r.breakOff(offset, err)
		return false
	}
	flags := r.page[r.at] &^ kindMask
	r.at += headerSize + len(part)
	return r.join(offset, kind, flags, part)
}

// part returns the content of the fragment at the current position.
func (r *Reader) part() ([]byte, error) {
	p := r.page[r.at:]
	if len(p) < headerSize {
		return nil, r.short(fmt.Errorf("%d bytes are no header", len(p)))
	}
	n := int(binary.BigEndian.Uint16(p[1:]))
	if n > pageSize-r.at-headerSize {
		return nil, fmt.Errorf("a fragment of %d bytes does not fit its page", n)
	}
	if n > len(p)-headerSize {
		return nil, r.short(fmt.Errorf("a fragment of %d bytes has %d", n, len(p)-headerSize))
	}
	part := p[headerSize : headerSize+n]
	if got, want := crc32.Checksum(part, castagnoli), binary.BigEndian.Uint32(p[3:]); got != want {
		return nil, fmt.Errorf("checksum is %08x, should be %08x", got, want)
	}
	return part, nil
}

// errShort marks a fragment that the end of the file cuts off.
type errShort struct{ error }

func (r *Reader) short(err error) error {
	if len(r.page) < pageSize && r.next == len(r.segs) {
		return errShort{err}
	}
	return err
}

// breakOff gives up the failed fragment, if what follows it shows that its length can be trusted, and else the page; in any
// case the record of which it may have been a part.
func (r *Reader) breakOff(offset int64, err error) {
	end := len(r.page)
	if errors.As(err, &errShort{}) {
		r.torn, r.inRecord = true, false
	} else {
		r.dropRecord()
		end = r.nextWhole()
		r.damage(offset, r.pageOff+int64(end), err)
	}
	r.at = end
}

// nextWhole returns where the fragment behind the current one begins, if that one is whole, or else where the page ends.
func (r *Reader) nextWhole() int {
	here, end := r.at, len(r.page)
	if end-here < headerSize {
		return end
	}
	next := here + headerSize + int(binary.BigEndian.Uint16(r.page[here+1:]))
	if next > end-headerSize || r.page[next]&kindMask == kindPadding {
		return end
	}
	r.at = next
	_, err := r.part()
	r.at = here
	if err != nil {
		return end
	}
	return next
}

// dropRecord reports the record that is being put together as incomplete.
func (r *Reader) dropRecord() {
	if r.inRecord {
		r.damage(r.recordStart, r.position(), errors.New("record is not continued"))
		r.inRecord = false
	}
}

// pad skips the rest of the page.
func (r *Reader) pad(offset int64) {
	r.dropRecord()
	rest := r.page[r.at:]
	r.at = len(r.page)
	for _, c := range rest {
		if c != 0 {
			r.damage(offset, r.pageEnd(), errors.New("padding that is not zero"))
			return
		}
	}
	if len(rest) >= headerSize && r.padding < 0 {
		// Right at the end of a segment and wrong before it: remember it until something follows.
		r.padding = offset
	}
	r.blank = r.blank || len(rest) >= headerSize && offset%pageSize == 0
}

// endPadding forgets the padding, and reports it where it can be none.
func (r *Reader) endPadding(wrong bool) {
	if wrong {
		r.damage(r.padding, r.position(), errors.New("zeros where records should be"))
	}
	r.padding, r.blank = -1, false
}

// join adds a fragment to the record and reports whether that is complete.
func (r *Reader) join(offset int64, kind, flags byte, part []byte) bool {
	switch kind {
	case kindFull, kindFirst:
		r.dropRecord()
		r.recordStart, r.flags = offset, flags
		r.inRecord = true
		r.partial = r.partial[:0]
	case kindMiddle, kindLast:
		if !r.inRecord {
			r.damage(offset, r.position(), errors.New("fragment continues no record"))
			return false
		}
		if flags != r.flags {
			r.dropRecord()
			return false
		}
	default:
		r.dropRecord()
		r.damage(offset, r.pageEnd(), fmt.Errorf("fragment of unknown kind %d", kind))
		r.at = len(r.page)
		return false
	}
	if kind == kindFirst || kind == kindMiddle {
		r.partial = append(r.partial, part...)
		return false
	}
	if kind == kindLast {
		r.partial = append(r.partial, part...)
		part = r.partial
	}
	r.inRecord = false
	r.end = r.pageOff + int64(r.at)
	rec, err := r.dec.decode(flags, part)
	if err != nil {
		r.damage(r.recordStart, r.position(), err)
		return false
	}
	r.rec = rec
	return true
}
