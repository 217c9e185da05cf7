package wasm

import (
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// memory allocates a guest's linear memory up to a limit, and remembers when it refused.
type memory struct {
	max     uint64
	current atomic.Uint64
	over    atomic.Bool
}

// Allocate implements experimental.MemoryAllocator. The address space for all that the guest may have is reserved at
// once, outside Go's heap: growing never copies, only touched pages cost memory, and the garbage collector neither
// sees them nor waits to give them back.
func (m *memory) Allocate(_, maxBytes uint64) experimental.LinearMemory {
	return &linear{memory: m, reserved: reserve(min(m.max, maxBytes))}
}

func (m *memory) size() uint64  { return m.current.Load() }
func (m *memory) refused() bool { return m.over.Load() }

// linear is one linear memory; a command has exactly one. The guest's thread alone uses it.
type linear struct {
	memory   *memory
	reserved []byte
}

// Reallocate implements experimental.LinearMemory; nil makes memory.grow return -1.
func (l *linear) Reallocate(size uint64) []byte {
	if size > uint64(len(l.reserved)) {
		l.memory.over.Store(true)
		return nil
	}
	l.memory.current.Store(size)
	return l.reserved[:size:size]
}

// Free implements experimental.LinearMemory.
func (l *linear) Free() {
	unreserve(l.reserved)
	l.reserved = nil
	l.memory.current.Store(0)
}
