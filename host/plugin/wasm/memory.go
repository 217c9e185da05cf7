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

// Allocate implements experimental.MemoryAllocator.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return &linear{memory: m} }

func (m *memory) size() uint64  { return m.current.Load() }
func (m *memory) refused() bool { return m.over.Load() }

// linear is one linear memory; a command has exactly one.
type linear struct {
	memory *memory
	bytes  []byte
}

// Reallocate implements experimental.LinearMemory; nil makes memory.grow return -1.
func (l *linear) Reallocate(size uint64) []byte {
	if size > l.memory.max {
		l.memory.over.Store(true)
		return nil
	}
	l.memory.current.Store(size)
	if size > uint64(cap(l.bytes)) {
		// Growing by a quarter keeps copies rare without doubling what an instance costs.
		grown := make([]byte, size, min(max(size, uint64(cap(l.bytes))*5/4), l.memory.max))
		copy(grown, l.bytes)
		l.bytes = grown
	}
	l.bytes = l.bytes[:size]
	return l.bytes
}

// Free implements experimental.LinearMemory.
func (l *linear) Free() {
	l.bytes = nil
	l.memory.current.Store(0)
}
