package scrape

import (
	"bufio"
	"errors"
	"io"
	"sync"
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
	// pieces are those of large bodies that are free.
	pieces sync.Pool
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

// grow takes more for a body that has held so far; false means that there is no room for it.
func (m *bodyMemory) grow(held, more int64) bool {
	left := m.budget - m.used.Load() + held
	if held+more > left/bodyShare {
		return false
	}
	m.used.Add(more)
	return true
}

// body is memory for one body. It is one piece once the body is complete.
type body struct {
	bytes []byte
	// overflow are the pieces after bytes of a large body that is being read, so that a body that turns out to be too
	// large has cost no more than its share: pieces are used again.
	overflow []*[pieceSize]byte
	// size is how much has been read.
	size int
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

// minBody is the least memory for a body whose size is not known.
const minBody = 1 << 10

// pieceSize is a divisor of freeBody.
const pieceSize = 1 << 20

// begin starts a body. expected is its likely size: that of the target's last one.
func (b *body) begin(memory *bodyMemory, limit, expected int) {
	b.end()
	b.bytes, b.size, b.memory, b.limit = b.bytes[:0], 0, memory, limit
	expected += expected / bodySlack
	if expected > cap(b.bytes) && (expected <= freeBody || limit == 0 && memory.grow(0, int64(expected))) {
		if expected > freeBody {
			b.held = int64(expected)
		}
		b.bytes = make([]byte, 0, expected)
	}
}

// bodySlack is the part of a body by which the next one may be larger without another piece of memory.
const bodySlack = 16

// end gives back what was taken from the memory.
func (b *body) end() {
	if b.held > 0 {
		b.memory.used.Add(-b.held)
	}
	for _, piece := range b.overflow {
		b.memory.pieces.Put(piece)
	}
	clear(b.overflow)
	b.held, b.overflow = 0, b.overflow[:0]
}

// room returns memory for the next bytes.
func (b *body) room() ([]byte, error) {
	if b.size < cap(b.bytes) {
		return b.bytes[b.size:cap(b.bytes)], nil
	}
	if cap(b.bytes) < freeBody {
		grown := make([]byte, b.size, min(max(2*cap(b.bytes), minBody), freeBody))
		copy(grown, b.bytes[:b.size])
		b.bytes = grown
		return b.bytes[b.size:cap(b.bytes)], nil
	}
	over := b.size - cap(b.bytes)
	if over == len(b.overflow)*pieceSize {
		if b.limit == 0 && !b.memory.grow(b.held, pieceSize) {
			return nil, errBodyMemory
		}
		if b.limit > 0 {
			b.memory.used.Add(pieceSize)
		}
		b.held += pieceSize
		piece, ok := b.memory.pieces.Get().(*[pieceSize]byte)
		if !ok {
			piece = new([pieceSize]byte)
		}
		b.overflow = append(b.overflow, piece)
	}
	return b.overflow[len(b.overflow)-1][over%pieceSize:], nil
}

// took notes that n bytes were put into the room.
func (b *body) took(n int) error {
	b.size += n
	b.bytes = b.bytes[:min(b.size, cap(b.bytes))]
	if b.limit > 0 && b.size >= b.limit {
		return errBodySizeLimit
	}
	return nil
}

// complete makes the body one piece.
func (b *body) complete() {
	if len(b.overflow) == 0 {
		return
	}
	whole := make([]byte, 0, b.size)
	whole = append(whole, b.bytes...)
	for _, piece := range b.overflow {
		whole = append(whole, piece[:min(pieceSize, b.size-len(whole))]...)
		b.memory.pieces.Put(piece)
	}
	clear(b.overflow)
	b.bytes, b.overflow = whole, b.overflow[:0]
}

// Write appends to the body.
func (b *body) Write(p []byte) (n int, err error) {
	for n < len(p) {
		room, err := b.room()
		if err != nil {
			return n, err
		}
		k := copy(room, p[n:])
		n += k
		if err := b.took(k); err != nil {
			return n, err
		}
	}
	return n, nil
}

// readFrom appends all of r, straight into the body's memory.
func (b *body) readFrom(r io.Reader) error {
	for {
		room, err := b.room()
		if err != nil {
			return err
		}
		n, err := r.Read(room)
		if tooMany := b.took(n); tooMany != nil {
			return tooMany
		}
		if errors.Is(err, io.EOF) {
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
