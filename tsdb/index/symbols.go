package index

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/narthex-io/narthex/model/labels"
)

// symbolTable is the sorted list of all strings, which the rest of the index refers to by position.
type symbolTable struct {
	// body is the section without its length, count and checksum; offset is its place in the file.
	body   []byte
	offset uint64
	count  int
	// samples are the places in body of each 32nd symbol.
	samples []uint32
}

func openSymbols(data []byte, offset uint64) (symbolTable, error) {
	body, err := section(data, "symbol table", offset)
	if err != nil {
		return symbolTable{}, err
	}
	if len(body) < 4 {
		return symbolTable{}, corrupt("symbol table", offset, "it has no count")
	}
	t := symbolTable{body: body[4:], offset: offset + 8, count: int(binary.BigEndian.Uint32(body))}
	if t.count > len(t.body) {
		return symbolTable{}, corrupt("symbol table", offset, fmt.Sprintf("%d symbols do not fit into it", t.count))
	}
	t.samples = make([]uint32, 0, t.count/sampleEvery+1)
	d := decoder{b: t.body}
	for i := range t.count {
		if i%sampleEvery == 0 {
			t.samples = append(t.samples, uint32(len(t.body)-len(d.b)))
		}
		d.skip(d.uvarint())
		if d.bad {
			return symbolTable{}, corrupt("symbol table", offset, fmt.Sprintf("it ends within symbol %d of %d", i, t.count))
		}
	}
	return t, nil
}

// memory returns the bytes that the table takes besides what is mapped.
func (t *symbolTable) memory() int { return 4 * cap(t.samples) }

// at returns symbol number i, sharing the table's memory.
func (t *symbolTable) at(i uint64) (string, bool) {
	if i >= uint64(t.count) {
		return "", false
	}
	s, _ := t.walk(int(t.samples[i/sampleEvery]), int(i%sampleEvery))
	return s, true
}

// walk returns the symbol so many behind that at pos, and where the one after it begins.
func (t *symbolTable) walk(pos, steps int) (s string, next int) {
	for range steps {
		// Fast path: most strings are short. All lengths were checked when the table was opened.
		if size := t.body[pos]; size < 0x80 {
			pos += 1 + int(size)
			continue
		}
		size, n := binary.Uvarint(t.body[pos:])
		pos += n + int(size)
	}
	d := decoder{b: t.body[pos:]}
	s = d.str()
	return s, len(t.body) - len(d.b)
}

// knownSymbols is the number of symbols that are remembered: a power of two.
const knownSymbols = 256

// symbols looks up symbols of a table and remembers some, since the series that follow each other share most of theirs,
// and those that they do not share follow each other, too.
type symbols struct {
	table *symbolTable
	known [knownSymbols]knownSymbol
	// next is the number of the symbol behind the latest that was looked up, and nextPos its place.
	next    uint64
	nextPos int
}

type knownSymbol struct {
	// ref is the number of the symbol, plus one.
	ref  uint64
	text string
}

// use forgets what is remembered of another table.
func (s *symbols) use(t *symbolTable) {
	if s.table != t {
		*s = symbols{table: t}
	}
}

// at returns symbol number i, of which there must be more.
func (s *symbols) at(i uint64) string {
	k := &s.known[i%knownSymbols]
	if k.ref == i+1 {
		return k.text
	}
	t := s.table
	pos, steps := int(t.samples[i/sampleEvery]), int(i%sampleEvery)
	if s.next != 0 && i >= s.next && i-s.next < uint64(steps) {
		pos, steps = s.nextPos, int(i-s.next)
	}
	text, next := t.walk(pos, steps)
	s.next, s.nextPos = i+1, next
	k.ref, k.text = i+1, text
	return text
}

// pairRef is a label: the place of its name among those of the index, and the number of its value's symbol.
type pairRef struct{ name, value uint32 }

// knownSetCount is the number of label sets that are remembered: a power of two.
const knownSetCount = 128

// knownSets remember label sets, so that series with the same ones share their memory.
type knownSets struct {
	// refs are the labels that are looked at.
	refs  []pairRef
	known [knownSetCount]knownSet
}

type knownSet struct {
	refs []pairRef
	set  labels.Labels
}

// place returns where the set of refs is if it is known, and is to be put if it is not.
func (s *knownSets) place() *knownSet {
	hash := uint64(len(s.refs))
	for _, r := range s.refs {
		hash = (hash ^ uint64(r.name)<<32 ^ uint64(r.value)) * 0x9e3779b97f4a7c15
	}
	return &s.known[hash>>32%knownSetCount]
}

// find returns the position of a symbol.
func (t *symbolTable) find(s string) (uint64, bool) {
	block := sort.Search(len(t.samples), func(k int) bool {
		d := decoder{b: t.body[t.samples[k]:]}
		return d.str() > s
	}) - 1
	if block < 0 {
		return 0, false
	}
	d := decoder{b: t.body[t.samples[block]:]}
	for i := block * sampleEvery; i < min(t.count, (block+1)*sampleEvery); i++ {
		if d.str() == s {
			return uint64(i), true
		}
	}
	return 0, false
}
