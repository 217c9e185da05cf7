package scrape

import (
	"bufio"
	"errors"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Reasons for which a body is not read to its end.
var (
	errBodySizeLimit = errors.New("body size limit exceeded")
	errBodyMemory    = errors.New("the body takes more than its share of the memory for bodies: set body_size_limit to the size that is expected")
)

// bodyMemory is the memory that the bodies of all scrapes may take at once. Small bodies are free. Of what is left, a
// large one gets a share, so that an endless body, or many of them, leaves room for others.
type bodyMemory struct {
	budget int64
	used   atomic.Int64
}

const (
	// defaultBodyMemory is the largest budget, minBodyMemory the smallest.
	defaultBodyMemory = 1 << 30
	minBodyMemory     = 128 << 20
	// freeBody is the size up to which a body is small.
	freeBody = 8 << 20
	// bodyShare is the part of what is left that one body gets.
	bodyShare = 4
)

func (m *bodyMemory) init(budget int64) {
	if m.budget = defaultBodyMemory; budget > 0 {
		m.budget = min(max(budget, minBodyMemory), defaultBodyMemory)
	}
}

// grow takes more for a body that has held so far; false means that there is no room.
func (m *bodyMemory) grow(held, more int64) bool {
	left := m.budget - m.used.Load() + held
	if held+more > left/bodyShare {
		return false
	}
	m.used.Add(more)
	return true
}

// body is memory for one body; writing more than limit bytes to it fails.
type body struct {
	bytes []byte
	// limit is the number of bytes that is too many; zero means that the body gets its share of the memory.
	limit  int
	memory *bodyMemory
	// held is what has been taken from the memory.
	held int64
	// What follows is used again to undo compression.
	zipped *gzip.Reader
	zstd   *zstd.Decoder
	input  *bufio.Reader
}

func (b *body) begin(memory *bodyMemory, limit int) {
	b.end()
	b.bytes, b.memory, b.limit = b.bytes[:0], memory, limit
}

// end gives back what was taken from the memory.
func (b *body) end() {
	if b.held > 0 {
		b.memory.used.Add(-b.held)
	}
	b.held = 0
}

// room makes room for at least n more bytes.
func (b *body) room(n int) error {
	if len(b.bytes)+n <= cap(b.bytes) {
		return nil
	}
	size := max(2*cap(b.bytes), len(b.bytes)+n, minText)
	if cap(b.bytes) > freeBody {
		size = max(cap(b.bytes)+cap(b.bytes)/2, len(b.bytes)+n)
	}
	if b.limit > 0 {
		size = min(size, max(b.limit, len(b.bytes)+n))
	}
	if more := int64(size) - b.held; size > freeBody {
		if b.limit == 0 && !b.memory.grow(b.held, more) {
			return errBodyMemory
		} else if b.limit > 0 {
			b.memory.used.Add(more)
		}
		b.held += more
	}
	grown := make([]byte, len(b.bytes), size)
	copy(grown, b.bytes)
	b.bytes = grown
	return nil
}

// Write appends to the body.
func (b *body) Write(p []byte) (int, error) {
	if b.limit > 0 && len(b.bytes)+len(p) >= b.limit {
		return 0, errBodySizeLimit
	}
	if err := b.room(len(p)); err != nil {
		return 0, err
	}
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

// readFrom appends all of r, straight into the body's memory.
func (b *body) readFrom(r io.Reader) error {
	for {
		if err := b.room(1); err != nil {
			return err
		}
		n, err := r.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if b.limit > 0 && len(b.bytes) >= b.limit {
			return errBodySizeLimit
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (b *body) unzip(r io.Reader) (io.Reader, error) {
	if b.zipped == nil {
		b.zipped, b.input = new(gzip.Reader), bufio.NewReader(nil)
	}
	b.input.Reset(r)
	return b.zipped, b.zipped.Reset(b.input)
}

// maxWindow bounds the memory that undoing a body's Zstandard compression takes.
const maxWindow = 8 << 20

func (b *body) unzstd(r io.Reader) (_ io.Reader, err error) {
	if b.zstd == nil {
		b.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
	}
	return b.zstd, b.zstd.Reset(r)
}

// release lets go of what is too large to be kept.
func (b *body) release() {
	b.end()
	if cap(b.bytes) > maxKeptBody {
		b.bytes = nil
	}
	if b.zstd != nil {
		_ = b.zstd.Reset(nil) // It holds on to the last body otherwise; there is nothing to fail.
	}
}
