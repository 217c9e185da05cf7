package index

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
)

// Reader answers from the bytes of an index, which must stay as they are for as long as the reader is used. It keeps
// little in memory: each 32nd place of the tables and the label names. It is safe for concurrent use.
type Reader struct {
	data    []byte
	toc     toc
	symbols symbolTable
	table   postingsTable
	// nameRefs are the symbols of the label names, sorted, with the strings.
	nameRefs []nameRef
}

type nameRef struct {
	ref  uint64
	name string
}

// toc is the table of contents at the end of the file: offsets of sections, zero for those that are missing.
type toc struct {
	symbols, series, labelIndices, labelTable, postings, postingsTable uint64
}

// NewReader checks the tables of an index and returns a reader. Series and lists of postings are checked when they are
// read.
func NewReader(data []byte) (*Reader, error) {
	if len(data) < headerSize+tocSize {
		return nil, corrupt("header", 0, fmt.Sprintf("%d bytes are too few for an index", len(data)))
	}
	if m := binary.BigEndian.Uint32(data); m != magic {
		return nil, corrupt("header", 0, fmt.Sprintf("the file starts with %#x, not with %#x", m, uint32(magic)))
	}
	if v := data[4]; v != version {
		return nil, fmt.Errorf("index of version %d is not supported, only %d", v, version)
	}
	r := &Reader{data: data}
	var err error
	if r.toc, err = openTOC(data); err != nil {
		return nil, err
	}
	if r.toc.symbols != 0 {
		if r.symbols, err = openSymbols(data, r.toc.symbols); err != nil {
			return nil, err
		}
	}
	if r.toc.postingsTable != 0 {
		if r.table, err = openTable(data, r.toc.postingsTable); err != nil {
			return nil, err
		}
	}
	for _, n := range r.table.names {
		ref, ok := r.symbols.find(n.name)
		if !ok {
			return nil, corrupt("symbol table", r.toc.symbols, fmt.Sprintf("it lacks the label name %q", n.name))
		}
		r.nameRefs = append(r.nameRefs, nameRef{ref, n.name})
	}
	return r, nil
}

func openTOC(data []byte) (toc, error) {
	at := len(data) - tocSize
	b := data[at:]
	if crc32.Checksum(b[:tocSize-crcSize], castagnoli()) != binary.BigEndian.Uint32(b[tocSize-crcSize:]) {
		return toc{}, corrupt("table of contents", uint64(at), "the checksum does not match; the file may be cut off")
	}
	var offsets [6]uint64
	for i := range offsets {
		offsets[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return toc{offsets[0], offsets[1], offsets[2], offsets[3], offsets[4], offsets[5]}, nil
}

// LabelNames returns all label names, sorted.
func (r *Reader) LabelNames() []string {
	names := make([]string, len(r.table.names))
	for i := range r.table.names {
		names[i] = r.table.names[i].name
	}
	return names
}

// LabelValues returns all values of a name, sorted; a limit other than zero ends the list early.
func (r *Reader) LabelValues(name string, limit int) []string {
	n, ok := r.table.find(name)
	if !ok {
		return nil
	}
	// All values are copied into one string, so that a million of them is not a million allocations.
	var text strings.Builder
	ends := make([]int, 0, n.count)
	if limit == 0 || limit >= n.count {
		text.Grow(int(n.end - n.start))
	}
	r.table.from(n, "", func(value string, _ uint64) bool {
		text.WriteString(value)
		ends = append(ends, text.Len())
		return limit == 0 || len(ends) < limit
	})
	values := make([]string, len(ends))
	start := 0
	for i, end := range ends {
		values[i] = text.String()[start:end]
		start = end
	}
	return values
}

// ValueCount returns the number of values that name has.
func (r *Reader) ValueCount(name string) int {
	if n, ok := r.table.find(name); ok {
		return n.count
	}
	return 0
}

// SeriesCount returns the number of series.
func (r *Reader) SeriesCount() int {
	if at := r.table.all; r.table.hasAll && at+8 <= uint64(len(r.data)) {
		return int(binary.BigEndian.Uint32(r.data[at+4:]))
	}
	return 0
}

// EachPostings calls f with each value of name in order, and its series, until f returns false. The value shares the
// index's memory: clone it to keep it.
func (r *Reader) EachPostings(ctx context.Context, name string, f func(value string, p Postings) bool) error {
	return r.scan(ctx, name, "", nil, func(value string, p stored) bool { return f(value, p) })
}

// scan calls f for the values that start with prefix and match.
func (r *Reader) scan(ctx context.Context, name, prefix string, match func(string) bool, f func(string, stored) bool) error {
	n, ok := r.table.find(name)
	if !ok {
		return nil
	}
	var err error
	seen := 0
	r.table.from(n, prefix, func(value string, list uint64) bool {
		if seen++; seen%checkEvery == 0 {
			if err = ctx.Err(); err != nil {
				return false
			}
		}
		if !strings.HasPrefix(value, prefix) {
			return false
		}
		if match != nil && !match(value) {
			return true
		}
		var p stored
		if p, err = r.list(list); err != nil {
			return false
		}
		return f(value, p)
	})
	return err
}

// Postings returns the series that have one of the values of name.
func (r *Reader) Postings(_ context.Context, name string, values ...string) (Postings, error) {
	n, ok := r.table.find(name)
	if !ok {
		return IDs(nil), nil
	}
	sets := make([]Postings, 0, len(values))
	for _, want := range values {
		var err error
		r.table.from(n, want, func(value string, list uint64) bool {
			if value != want {
				return false
			}
			var p stored
			if p, err = r.list(list); err == nil {
				sets = append(sets, p)
			}
			return false
		})
		if err != nil {
			return nil, err
		}
	}
	return Union(sets...), nil
}

// PostingsMatching returns the series whose value of name starts with prefix and matches.
func (r *Reader) PostingsMatching(ctx context.Context, name, prefix string, match func(value string) bool) (Postings, error) {
	var sets []Postings
	total, most := 0, len(r.data)/seriesAlign
	err := r.scan(ctx, name, prefix, match, func(_ string, p stored) bool {
		sets = append(sets, p)
		total += p.Len()
		return total <= most
	})
	if err != nil {
		return nil, err
	}
	if total > most {
		return nil, corrupt("postings", r.toc.postings, fmt.Sprintf("the values of %q have more series than the file", name))
	}
	return Union(sets...), nil
}

// AllPostings returns all series.
func (r *Reader) AllPostings(context.Context) (Postings, error) {
	if !r.table.hasAll {
		return IDs(nil), nil
	}
	return r.list(r.table.all)
}

// list returns the postings at an offset of the file.
func (r *Reader) list(offset uint64) (stored, error) {
	body, err := section(r.data, "postings", offset)
	if err != nil {
		return nil, err
	}
	if len(body) < 4 || len(body) != 4+4*int(binary.BigEndian.Uint32(body)) {
		return nil, corrupt("postings", offset, fmt.Sprintf("the count does not fit its %d bytes", len(body)))
	}
	return stored(body[4:]), nil
}

// entry returns the bytes of a series.
func (r *Reader) entry(id uint32) ([]byte, error) {
	body, sum, err := r.unchecked(id)
	if err == nil && crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(sum) {
		return nil, corrupt("series", uint64(id)*seriesAlign, "the checksum does not match")
	}
	return body, err
}

// unchecked returns the bytes of a series, and the checksum behind them.
func (r *Reader) unchecked(id uint32) (body, sum []byte, err error) {
	at := uint64(id) * seriesAlign
	if at < headerSize || at >= uint64(len(r.data)) {
		return nil, nil, corrupt("series", at, "it lies outside of the file")
	}
	size, pos := uvarintAt(r.data, int(at))
	if pos == past || size > uint64(len(r.data)-pos) || uint64(len(r.data)-pos)-size < crcSize {
		return nil, nil, corrupt("series", at, "it reaches beyond the file")
	}
	rest := r.data[pos:]
	return rest[:size], rest[size:], nil
}

// Projection is a choice of labels.
type Projection struct {
	wanted []bool
	// none says that no series has any of them.
	none bool
}

// Project returns the choice of some names.
func (r *Reader) Project(names []string) *Projection {
	p := &Projection{wanted: make([]bool, len(r.nameRefs))}
	for i, n := range r.nameRefs {
		p.wanted[i] = slices.Contains(names, n.name)
	}
	p.none = !slices.Contains(p.wanted, true)
	return p
}

// Scratch is memory for making labels. The zero value is ready to use; it belongs to one goroutine, and should go on
// being used with the same reader, whose latest symbols it remembers. It must not be used after the reader's bytes are gone.
type Scratch struct {
	builder labels.ScratchBuilder
	symbols symbols
	sets    knownSets
}

// Labels returns the labels of a series.
func (r *Reader) Labels(id uint32, s *Scratch) (labels.Labels, error) {
	body, err := r.entry(id)
	if err != nil {
		return labels.EmptyLabels(), err
	}
	return r.labelsOf(id, body, nil, s)
}

// Projected returns those of the labels of a series that are chosen; nil chooses all. It is for series whose entry was
// read before, by [Reader.Chunks]: the checksum is not looked at again.
func (r *Reader) Projected(id uint32, p *Projection, s *Scratch) (labels.Labels, error) {
	if p != nil && p.none {
		return labels.EmptyLabels(), nil
	}
	body, _, err := r.unchecked(id)
	if err != nil {
		return labels.EmptyLabels(), err
	}
	return r.labelsOf(id, body, p, s)
}

func (r *Reader) labelsOf(id uint32, body []byte, p *Projection, s *Scratch) (labels.Labels, error) {
	if s.symbols.table != &r.symbols {
		s.symbols.use(&r.symbols)
		s.sets = knownSets{}
	}
	damaged := func() (labels.Labels, error) {
		return labels.EmptyLabels(), corrupt("series", uint64(id)*seriesAlign, "its labels are damaged")
	}
	n, pos := uvarintAt(body, 0)
	refs := s.sets.refs[:0]
	s.builder.Reset()
	for range n {
		var nameRef, valueRef uint64
		nameRef, pos = uvarintAt(body, pos)
		valueRef, pos = uvarintAt(body, pos)
		i, ok := r.nameIndex(nameRef)
		switch {
		case pos == past || !ok || valueRef >= uint64(r.symbols.count):
			return damaged()
		case p == nil:
			s.builder.Add(r.nameRefs[i].name, s.symbols.at(valueRef))
		case p.wanted[i]:
			refs = append(refs, pairRef{uint32(i), uint32(valueRef)})
		}
	}
	s.sets.refs = refs
	switch {
	case pos == past:
		return damaged()
	case p == nil:
		return s.builder.Labels(), nil
	}
	return r.setOf(s), nil
}

// setOf returns the set of the labels that lie in the scratch. A few labels of many series are few sets, of which each
// should be made once; all labels of a series are those of no other.
func (r *Reader) setOf(s *Scratch) labels.Labels {
	known := s.sets.place()
	if slices.Equal(known.refs, s.sets.refs) {
		return known.set
	}
	for _, pair := range s.sets.refs {
		s.builder.Add(r.nameRefs[pair.name].name, s.symbols.at(uint64(pair.value)))
	}
	known.refs, known.set = append(known.refs[:0], s.sets.refs...), s.builder.Labels()
	return known.set
}

// nameIndex returns the place of a symbol among those of the label names.
func (r *Reader) nameIndex(ref uint64) (int, bool) {
	low, high := 0, len(r.nameRefs)
	for low < high {
		if mid := int(uint(low+high) / 2); r.nameRefs[mid].ref < ref {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(r.nameRefs) && r.nameRefs[low].ref == ref
}

// LabelValue returns the value of one label of a series, "" if it lacks the label. The string shares the index's
// memory.
func (r *Reader) LabelValue(id uint32, name string) (string, error) {
	i := slices.IndexFunc(r.nameRefs, func(n nameRef) bool { return n.name == name })
	if i < 0 {
		return "", nil
	}
	body, err := r.entry(id)
	if err != nil {
		return "", err
	}
	want := r.nameRefs[i].ref
	d := decoder{b: body}
	for range d.uvarint() {
		nameRef, valueRef := d.uvarint(), d.uvarint()
		if d.bad {
			break
		}
		if nameRef == want {
			if value, ok := r.symbols.at(valueRef); ok {
				return value, nil
			}
			d.fail()
			break
		}
	}
	if d.bad {
		return "", corrupt("series", uint64(id)*seriesAlign, "its labels are damaged")
	}
	return "", nil
}

// LabelNamesOf returns the names of the labels of the given series, sorted.
func (r *Reader) LabelNamesOf(ctx context.Context, ids []uint32) ([]string, error) {
	found := make([]bool, len(r.nameRefs))
	for i, id := range ids {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		body, err := r.entry(id)
		if err != nil {
			return nil, err
		}
		d := decoder{b: body}
		for n := d.uvarint(); n > 0 && !d.bad; n-- {
			name, ok := r.nameIndex(d.uvarint())
			d.uvarint()
			if !ok {
				d.fail()
				break
			}
			found[name] = true
		}
		if d.bad {
			return nil, corrupt("series", uint64(id)*seriesAlign, "its labels are damaged")
		}
	}
	var names []string
	for i, n := range r.nameRefs {
		if found[i] {
			names = append(names, n.name)
		}
	}
	return names, nil
}

// Chunks appends those chunks of a series that overlap [mint, maxt], in the order of their times.
func (r *Reader) Chunks(id uint32, mint, maxt int64, dst []ChunkMeta) ([]ChunkMeta, error) {
	body, err := r.entry(id)
	if err != nil {
		return dst, err
	}
	n, pos := uvarintAt(body, 0)
	if n > uint64(len(body)) {
		pos = past
	}
	if pos = skipVarints(body, pos, 2*n); pos == past {
		return dst, corrupt("series", uint64(id)*seriesAlign, "its labels are damaged")
	}
	var c ChunkMeta
	var length uint64
	n, pos = uvarintAt(body, pos)
	for i := range n {
		if i == 0 {
			c.MinTime, pos = varintAt(body, pos)
			length, pos = uvarintAt(body, pos)
			c.MaxTime = c.MinTime + int64(length)
			c.Ref, pos = uvarintAt(body, pos)
		} else {
			var gap uint64
			var step int64
			gap, pos = uvarintAt(body, pos)
			length, pos = uvarintAt(body, pos)
			step, pos = varintAt(body, pos)
			c.MinTime = c.MaxTime + int64(gap)
			c.MaxTime = c.MinTime + int64(length)
			c.Ref += uint64(step)
		}
		if pos == past {
			return dst, corrupt("series", uint64(id)*seriesAlign, fmt.Sprintf("it ends within chunk %d of %d", i, n))
		}
		if c.MinTime > maxt {
			break
		}
		if c.MaxTime >= mint {
			dst = append(dst, c)
		}
	}
	if pos == past {
		return dst, corrupt("series", uint64(id)*seriesAlign, "it ends before its chunks")
	}
	return dst, nil
}

// SymbolTableSize returns the bytes of memory that the table of symbols takes, besides what is mapped.
func (r *Reader) SymbolTableSize() int { return r.symbols.memory() }
