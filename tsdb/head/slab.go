package head

import (
	"sync"
	"sync/atomic"

	"github.com/narthex-io/narthex/tsdb/chunk"
)

// slabs hold the chunks that are being filled, in blocks of equal cells, so that they neither hold pointers nor cost an
// allocation each. A chunk moves to a larger class when it outgrows its cell.
type slabs struct {
	classes [len(cellSizes)]slab
}

const blockBytes = 64 << 10

// cellSizes are the classes. The last one holds a chunk of any number of bytes at which it is closed.
var cellSizes = [...]int{48, 64, 80, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024, 1024 + 64} //nolint:gochecknoglobals // constant table

// cell names a piece of memory: its class in the low four bits, its number above them. Zero is none.
type cell uint32

type slab struct {
	mu   sync.Mutex
	free []uint32
	next uint32
	// blocks is replaced when it grows, so that cells are found without a lock.
	blocks atomic.Pointer[[][]byte]
}

// bytes returns the memory of a cell, of length zero. The caller owns what it allocated until it is freed.
func (s *slabs) bytes(c cell) []byte {
	class, i := int(c&15)-1, int(c>>4)
	size := cellSizes[class]
	perBlock := blockBytes / size
	block := (*s.classes[class].blocks.Load())[i/perBlock]
	at := i % perBlock * size
	return block[at : at : at+size]
}

// alloc returns a cell with room for size bytes.
func (s *slabs) alloc(size int) cell {
	class := 0
	for cellSizes[class] < size {
		class++
	}
	l := &s.classes[class]
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.free) - 1; last >= 0 {
		i := l.free[last]
		l.free = l.free[:last]
		return cell(i<<4) | cell(class+1)
	}
	perBlock := uint32(blockBytes / cellSizes[class])
	if l.next%perBlock == 0 {
		var blocks [][]byte
		if old := l.blocks.Load(); old != nil {
			blocks = *old
		}
		blocks = append(blocks[:len(blocks):len(blocks)], make([]byte, blockBytes))
		l.blocks.Store(&blocks)
	}
	i := l.next
	l.next++
	return cell(i<<4) | cell(class+1)
}

// release gives a cell back.
func (s *slabs) release(c cell) {
	if c == 0 {
		return
	}
	l := &s.classes[int(c&15)-1]
	l.mu.Lock()
	l.free = append(l.free, uint32(c>>4))
	l.mu.Unlock()
}

// room returns the chunk of length n in c, with room for one more sample, moving it to a larger cell if needed.
func (s *slabs) room(c cell, n int) (cell, []byte) {
	if c == 0 {
		c = s.alloc(n + chunk.MaxXORSampleBytes)
		return c, s.bytes(c)
	}
	b := s.bytes(c)[:n]
	if cap(b)-n >= chunk.MaxXORSampleBytes {
		return c, b
	}
	larger := s.alloc(n + chunk.MaxXORSampleBytes)
	moved := append(s.bytes(larger), b...)
	s.release(c)
	return larger, moved
}
