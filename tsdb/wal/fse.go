package wal

import (
	"encoding/binary"
	"math/bits"
)

// fseTable encodes symbols by the probabilities that it was made for, as RFC 8878 says in 4.1 (finite state entropy).
type fseTable struct {
	log uint
	// next are the states, by symbol and in the order in which they are reached.
	next [maxStates]uint16
	// change says, for a symbol, how many bits its state gives off, and where its next states are.
	change [maxSymbols]fseChange
	// header describes the probabilities to a decoder.
	header []byte
}

// Bounds of what the lengths and distances of repetitions need; powers of two.
const maxStates, maxSymbols = 512, 64

type fseChange struct {
	bits  uint32
	state int32
}

// newFSETable makes a table of 1<<log states, of which symbol i gets counts[i]; their sum is all of them.
func newFSETable(log uint, counts []uint16) *fseTable {
	size := 1 << log
	t := &fseTable{log: log, header: fseHeader(log, counts)}
	place := make([]int, len(counts)) // of the next state of a symbol
	total := 0
	for s, n := range counts {
		place[s] = total
		if n > 0 {
			most := log // bits that a state gives off
			if n > 1 {
				most = log - uint(bits.Len16(n-1)-1)
			}
			t.change[s] = fseChange{bits: uint32(most<<16) - uint32(n)<<most, state: int32(total) - int32(n)}
		}
		total += int(n)
	}
	at, step := 0, size>>1+size>>3+3
	symbols := make([]uint8, size)
	for s, n := range counts {
		for range n {
			symbols[at] = uint8(s)
			at = (at + step) & (size - 1)
		}
	}
	for state, s := range symbols {
		t.next[place[s]] = uint16(size + state)
		place[s]++
	}
	return t
}

// fseHeader writes the probabilities in the form of RFC 8878, 4.1.1.
func fseHeader(log uint, counts []uint16) []byte {
	var b bitWriter
	b.add(uint64(log-5), 4)
	left, threshold, width := 1<<log+1, 1<<log, log+1
	for s := 0; left > 1; {
		n := int(counts[s]) + 1
		surplus := 2*threshold - 1 - left
		left -= int(counts[s])
		if n >= threshold {
			n += surplus
		}
		short := uint(0)
		if n < surplus {
			short = 1
		}
		b.add(uint64(n), width-short)
		for left < threshold && threshold > 1 {
			width--
			threshold >>= 1
		}
		s++
		if n != 1 {
			b.flush()
			continue
		}
		zeros := 0
		for ; counts[s] == 0; s++ {
			zeros++
		}
		for ; zeros >= 3; zeros -= 3 {
			b.add(3, 2)
			b.flush()
		}
		b.add(uint64(zeros), 2)
		b.flush()
	}
	return b.end()
}

// start returns the state in which a decoder ends with a symbol.
func (t *fseTable) start(symbol uint8) uint32 {
	c := t.change[symbol]
	n := (c.bits + 1<<15) >> 16
	return uint32(t.next[int32((n<<16-c.bits)>>n)+c.state])
}

// before returns the state before a symbol, and the n bits that tell it from others with the same state behind the symbol.
func (t *fseTable) before(state uint32, symbol uint8) (next uint32, v uint64, n uint) {
	c := &t.change[symbol%maxSymbols]
	n = uint((state+c.bits)>>16) & 15
	return uint32(t.next[uint32(int32(state>>n)+c.state)%maxStates]), uint64(state) & (1<<n - 1), n
}

// bitWriter puts bits behind each other, the lowest first. At most 56 bits may be added between two flushes.
type bitWriter struct {
	out  []byte
	bits uint64
	n    uint
}

// add appends the n bits of v, which has no others.
func (b *bitWriter) add(v uint64, n uint) {
	b.bits |= v << b.n
	b.n += n
}

// flush moves whole bytes out.
func (b *bitWriter) flush() {
	whole := b.n / 8
	b.out = binary.LittleEndian.AppendUint64(b.out, b.bits)
	b.out = b.out[:len(b.out)-8+int(whole)]
	b.bits >>= whole * 8
	b.n -= whole * 8
}

// end returns all bytes; the last one is filled with zeros.
func (b *bitWriter) end() []byte {
	b.flush()
	if b.n > 0 {
		b.out = append(b.out, byte(b.bits))
	}
	b.bits, b.n = 0, 0
	return b.out
}
