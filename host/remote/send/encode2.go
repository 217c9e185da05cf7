package send

import (
	"encoding/binary"
	"math"
)

// encoder2 makes messages of 2.0, in which texts stand once, in front, and series refer to them.
type encoder2 struct {
	// places say where in the current request a symbol is. They are a hash table, of which used entries are of this round, that is as
	// large as requests need: series are many, and so are shards.
	places  []place
	used    int
	round   uint32
	count   uint32
	texts   []byte
	message []byte // the series
	refs    []byte
	pairs   []byte
	scratch []byte
	// names are the names of the labels of exemplars in the request.
	names map[string]uint32
}

type place struct {
	symbol *symbol
	at     uint32
	round  uint32
}

func (e *encoder2) encode(items []item) []byte {
	const seriesTag = 5<<3 | bytesField
	e.begin()
	dst := e.message[:0]
	for i := 0; i < len(items); {
		n := 1
		for i+n < len(items) && items[i+n].follows(&items[i]) {
			n++
		}
		body := e.series(items[i : i+n])
		i += n
		dst = append(dst, seriesTag)
		dst = binary.AppendUvarint(dst, uint64(len(body)))
		dst = append(dst, body...)
	}
	e.message = dst
	e.texts = append(e.texts, dst...)
	return e.texts
}

// begin starts a request, whose first symbol is the empty text.
func (e *encoder2) begin() {
	if e.round++; e.round == 0 { // After four billion requests, the marks of the first would count again.
		clear(e.places)
		e.round = 1
	}
	clear(e.names)
	e.texts, e.count, e.used = e.texts[:0], 0, 0
	e.text("")
}

// text adds a symbol.
func (e *encoder2) text(s string) uint32 {
	e.texts = appendText(e.texts, 4, s)
	e.count++
	return e.count - 1
}

// ref returns where a symbol is.
func (e *encoder2) ref(s *symbol) uint64 {
	if s.text == "" {
		return 0
	}
	if 2*e.used >= len(e.places) {
		e.grow()
	}
	p := e.place(s)
	if p.round != e.round {
		*p = place{symbol: s, at: e.text(s.text), round: e.round}
		e.used++
	}
	return uint64(p.at)
}

// place returns the entry of a symbol, or the free one for it.
func (e *encoder2) place(s *symbol) *place {
	mask := uint32(len(e.places) - 1)
	for i := s.id & mask; ; i = (i + 1) & mask { // Symbols of neighbours have numbers that follow each other.
		if p := &e.places[i]; p.round != e.round || p.symbol == s {
			return p
		}
	}
}

// grow doubles the table.
func (e *encoder2) grow() {
	const smallest = 256
	before := e.places
	e.places = make([]place, max(2*len(before), smallest))
	for i := range before {
		if p := &before[i]; p.round == e.round {
			*e.place(p.symbol) = *p
		}
	}
}

// series makes the message of a series with its items.
func (e *encoder2) series(items []item) []byte {
	const metadataTag = 5<<3 | bytesField
	s := items[0].series
	e.refs = e.refs[:0]
	for _, one := range s.symbols {
		e.refs = appendVarint(e.refs, e.ref(one))
	}
	dst := appendBytes(e.scratch[:0], 1<<3|bytesField, e.refs)
	for i := range items {
		dst = e.point(dst, &items[i])
	}
	if a := s.about.Load(); a != nil {
		e.refs = appendNumber(e.refs[:0], 1<<3|varintField, a.typ)
		e.refs = appendNumber(e.refs, 3<<3|varintField, e.ref(a.help))
		e.refs = appendNumber(e.refs, 4<<3|varintField, e.ref(a.unit))
		dst = appendBytes(dst, metadataTag, e.refs)
	}
	e.scratch = dst
	return dst
}

// point appends the field of a series with one item.
func (e *encoder2) point(dst []byte, it *item) []byte {
	const sampleTag, histogramTag, exemplarTag = 2<<3 | bytesField, 3<<3 | bytesField, 4<<3 | bytesField
	switch it.kind() {
	case floats:
		n := 10 + sizeOfVarint(uint64(it.t))
		if it.st != 0 {
			n += 1 + sizeOfVarint(uint64(it.st))
		}
		dst = append(dst, sampleTag, byte(n))
		dst = appendPoint(dst, 1, it.t, it.v)
		return appendStart(dst, 3<<3|varintField, it.st)
	case histograms:
		e.refs = appendNative(e.refs[:0], it, it.st)
		return appendBytes(dst, histogramTag, e.refs)
	default:
		e.refs = e.exemplar(e.refs[:0], it)
		return appendBytes(dst, exemplarTag, e.refs)
	}
}

// exemplar appends the message of an exemplar. Names of its labels are often the same, values never.
func (e *encoder2) exemplar(dst []byte, it *item) []byte {
	refs := e.pairs[:0]
	for name, value := range it.more.labels.All() {
		at, known := e.names[name]
		if !known {
			if e.names == nil {
				e.names = map[string]uint32{}
			}
			at = e.text(name)
			e.names[name] = at
		}
		refs = appendVarint(appendVarint(refs, uint64(at)), uint64(e.text(value)))
	}
	e.pairs = refs
	if len(refs) > 0 {
		dst = appendBytes(dst, 1<<3|bytesField, refs)
	}
	dst = append(dst, 2<<3|doubleField)
	dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(it.v))
	return binary.AppendUvarint(append(dst, 3<<3|varintField), uint64(it.t))
}

func appendStart(dst []byte, tag byte, st int64) []byte {
	if st == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag), uint64(st))
}

// appendNumber appends a field with a number, unless that is zero, which is what counts without it.
func appendNumber(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return appendVarint(append(dst, tag), v)
}

func appendBytes(dst []byte, tag byte, b []byte) []byte {
	dst = appendVarint(append(dst, tag), uint64(len(b)))
	return append(dst, b...)
}

// appendVarint is binary.AppendUvarint with a fast path for what references and lengths are (BenchmarkEncode).
func appendVarint(dst []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(dst, byte(v))
	case v < 1<<14:
		return append(dst, byte(v)|0x80, byte(v>>7))
	}
	return binary.AppendUvarint(dst, v)
}
