package head

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
)

// slab holds the bytes of the chunks that are being filled, in cells of equal size that are chained from the last one
// backwards. A chunk grows without being moved and wastes half a cell; cells hold no pointers and cost no allocation
// each, and whatever one chunk gives back fits the next one.
type slab struct {
	mu sync.Mutex
	// free is the first of the unused cells, which are chained like those of a chunk.
	free cell
	next uint32
	// blocks is replaced when it grows, so that cells are found without a lock.
	blocks atomic.Pointer[[]*cellBlock]
}

// cell is the number of a cell plus one; zero is none.
type cell uint32

const (
	cellBytes     = 32
	linkBytes     = 4
	cellData      = cellBytes - linkBytes
	cellsPerBlock = 2048
)

type cellBlock [cellsPerBlock * cellBytes]byte

// at returns the memory of a cell: the cell before it, then data.
func (s *slab) at(c cell) []byte {
	i := uint32(c - 1)
	at := i % cellsPerBlock * cellBytes
	return (*s.blocks.Load())[i/cellsPerBlock][at : at+cellBytes : at+cellBytes]
}

func previous(b []byte) cell { return cell(binary.LittleEndian.Uint32(b)) }

func link(b []byte, c cell) { binary.LittleEndian.PutUint32(b, uint32(c)) }

// alloc returns a cell that continues a chain, and its memory.
func (s *slab) alloc(tail cell) (cell, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.free
	if c == 0 {
		if s.next%cellsPerBlock == 0 {
			s.grow()
		}
		s.next++
		c = cell(s.next)
	}
	b := s.at(c)
	if s.free != 0 {
		s.free = previous(b)
	}
	link(b, tail)
	return c, b
}

func (s *slab) grow() {
	var blocks []*cellBlock
	if old := s.blocks.Load(); old != nil {
		blocks = *old
	}
	blocks = append(slices.Clip(blocks), new(cellBlock))
	s.blocks.Store(&blocks)
}

// release gives back a chain.
func (s *slab) release(tail cell) {
	if tail == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := tail
	for {
		b := s.at(first)
		if previous(b) == 0 {
			link(b, s.free)
			s.free = tail
			return
		}
		first = previous(b)
	}
}

// extend appends data to a chain that holds n bytes and returns its new end.
func (s *slab) extend(tail cell, n int, data []byte) cell {
	used := cellData
	var b []byte
	if tail != 0 {
		used = (n-1)%cellData + 1
		b = s.at(tail)
	}
	for len(data) > 0 {
		if used == cellData {
			tail, b = s.alloc(tail)
			used = 0
		}
		k := copy(b[linkBytes+used:], data)
		used += k
		data = data[k:]
	}
	return tail
}

// appendTo appends the n bytes of a chain to dst.
func (s *slab) appendTo(dst []byte, tail cell, n int) []byte {
	start := len(dst)
	if cap(dst)-start < n {
		dst = append(make([]byte, 0, start+n), dst...)
	}
	dst = dst[:start+n]
	for end := n; end > 0; {
		begin := (end - 1) / cellData * cellData
		b := s.at(tail)
		copy(dst[start+begin:start+end], b[linkBytes:])
		tail, end = previous(b), begin
	}
	return dst
}
