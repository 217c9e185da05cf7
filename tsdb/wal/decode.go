package wal

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"unsafe"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// errShortRecord is wrapped by what the decoders return for bytes that are not a record.
var errShortRecord = errors.New("record ends early or holds an impossible number")

// decoder takes values from the front of b. Once there are too few bytes, it stays bad and returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func newDecoder(rec []byte, types ...Type) (*decoder, error) {
	if t := TypeOf(rec); !slices.Contains(types, t) {
		return nil, wrongType(rec, types[0].String())
	}
	return &decoder{b: rec[1:]}, nil
}

func (d *decoder) more() bool { return len(d.b) > 0 }

func (d *decoder) err() error {
	if d.bad {
		return errShortRecord
	}
	return nil
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) float() float64 { return math.Float64frombits(d.uint64()) }

func (d *decoder) varint() int64 {
	// Fast path: up to two bytes, as references and times of a scrape have (BenchmarkDecode).
	if b := d.b; len(b) > 1 && b[1] < 0x80 {
		v, n := uint64(b[0]), 1
		if b[0] >= 0x80 {
			v, n = v&0x7f|uint64(b[1])<<7, 2
		}
		d.b = b[n:]
		return int64(v>>1) ^ -int64(v&1)
	}
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the number of things that follow, each of which takes size bytes or more.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

// str returns a string that shares the record's memory.
func (d *decoder) str() string {
	n := d.count(1)
	s := unsafe.String(unsafe.SliceData(d.b), n)
	d.b = d.b[n:]
	return s
}

func (d *decoder) labels(b *labels.ScratchBuilder) labels.Labels {
	b.Reset()
	prev, sorted := "", true
	for range d.count(2) {
		name, value := d.str(), d.str()
		sorted = sorted && name > prev
		prev = name
		b.Add(name, value)
	}
	if !sorted {
		b.Sort()
		if _, dup := b.Duplicate(); dup {
			d.fail()
			return labels.Labels{}
		}
	}
	return b.Labels()
}

// DecodeSeries appends the entries of a record to dst, as the functions beside it do. On an error dst comes back as it
// was: a record counts as a whole. What is returned shares no memory with the record.
func DecodeSeries(rec []byte, dst []Series) ([]Series, error) {
	d, err := newDecoder(rec, TypeSeries)
	if err != nil {
		return dst, err
	}
	n := len(dst)
	var b labels.ScratchBuilder
	for d.more() {
		ref := d.uint64()
		dst = append(dst, Series{Ref: ref, Labels: d.labels(&b)})
	}
	return whole(d, dst, n)
}

// whole cuts dst back to n entries if the decoder failed.
func whole[T any](d *decoder, dst []T, n int) ([]T, error) {
	if d.bad {
		clear(dst[n:])
		return dst[:n], d.err()
	}
	return dst, nil
}

// DecodeSamples decodes floats of both versions.
func DecodeSamples(rec []byte, dst []Sample) ([]Sample, error) {
	d, err := newDecoder(rec, TypeSamples, TypeSamplesV2)
	if err != nil {
		return dst, err
	}
	n := len(dst)
	dst = slices.Grow(dst, len(d.b)/11)
	if TypeOf(rec) == TypeSamplesV2 {
		var st startTimes
		for d.more() {
			// Fast path: a reference close to the one before, the first one's time, no start time (BenchmarkDecode).
			if b := d.b; st.started && len(b) >= 11 && b[0] < 0x80 && b[1] == 0 && b[2] == stNone {
				st.ref += uint64(int64(b[0]>>1) ^ -int64(b[0]&1))
				st.prevST = 0
				dst = append(dst, Sample{Ref: st.ref, T: st.firstT, V: math.Float64frombits(binary.BigEndian.Uint64(b[3:]))})
				d.b = b[11:]
				continue
			}
			var s Sample
			s.Ref, s.T, s.ST = st.next(d)
			s.V = d.float()
			dst = append(dst, s)
		}
		return whole(d, dst, n)
	}
	ref, t := d.base()
	for d.more() {
		s := Sample{Ref: ref + uint64(d.varint()), T: t + d.varint()}
		s.V = d.float()
		dst = append(dst, s)
	}
	return whole(d, dst, n)
}

// base reads what entries of the first versions refer to; a record of no entries has none.
func (d *decoder) base() (ref uint64, t int64) {
	if !d.more() {
		return 0, 0
	}
	return d.uint64(), int64(d.uint64())
}

func (s *startTimes) next(d *decoder) (ref uint64, t, st int64) {
	if !s.started {
		ref, t, st = uint64(d.varint()), d.varint(), d.varint()
		*s = startTimes{started: true, ref: ref, firstT: t, firstST: st, prevST: st}
		return ref, t, st
	}
	ref, t = s.ref+uint64(d.varint()), s.firstT+d.varint()
	switch d.byte() {
	case stNone:
	case stSame:
		st = s.prevST
	case stExplicit:
		st = s.firstST + d.varint()
	default:
		d.fail()
	}
	s.ref, s.prevST = ref, st
	return ref, t, st
}

// DecodeTombstones decodes deletions.
func DecodeTombstones(rec []byte, dst []Tombstone) ([]Tombstone, error) {
	d, err := newDecoder(rec, TypeTombstones)
	if err != nil {
		return dst, err
	}
	n := len(dst)
	for d.more() {
		dst = append(dst, Tombstone{Ref: d.uint64(), MinT: d.varint(), MaxT: d.varint()})
	}
	return whole(d, dst, n)
}

// DecodeExemplars decodes exemplars.
func DecodeExemplars(rec []byte, dst []Exemplar) ([]Exemplar, error) {
	d, err := newDecoder(rec, TypeExemplars)
	if err != nil {
		return dst, err
	}
	n := len(dst)
	var b labels.ScratchBuilder
	ref, t := d.base()
	for d.more() {
		e := Exemplar{Ref: ref + uint64(d.varint()), T: t + d.varint(), V: d.float()}
		e.Labels = d.labels(&b)
		dst = append(dst, e)
	}
	return whole(d, dst, n)
}

// DecodeMetadata decodes metadata. Fields with names that are not known are left out.
func DecodeMetadata(rec []byte, dst []Metadata) ([]Metadata, error) {
	d, err := newDecoder(rec, TypeMetadata)
	if err != nil {
		return dst, err
	}
	n := len(dst)
	for d.more() {
		m := Metadata{Ref: d.uvarint(), Metadata: sample.Metadata{Type: sample.TypeUnknown}}
		if t := int(d.byte()); t < len(metricTypes) {
			m.Type = metricTypes[t]
		}
		for range d.count(2) {
			name, value := d.str(), d.str()
			switch name {
			case "UNIT":
				m.Unit = string([]byte(value))
			case "HELP":
				m.Help = string([]byte(value))
			}
		}
		dst = append(dst, m)
	}
	return whole(d, dst, n)
}

// DecodeMarkers decodes markers.
func DecodeMarkers(rec []byte, dst []Marker) ([]Marker, error) {
	d, err := newDecoder(rec, TypeMarkers)
	if err != nil {
		return dst, err
	}
	n := len(dst)
	for d.more() {
		dst = append(dst, Marker{Ref: d.uint64(), Chunk: d.uint64()})
	}
	return whole(d, dst, n)
}

// IsHistograms reports whether [DecodeHistograms] reads records of this type.
func (t Type) IsHistograms() bool {
	return TypeHistograms <= t && t <= TypeCustomFloatHistograms || t == TypeHistogramsV2 || t == TypeFloatHistogramsV2
}

// DecodeHistograms decodes native histograms of all kinds and versions.
func DecodeHistograms(rec []byte, dst []Histogram) ([]Histogram, error) {
	t := TypeOf(rec)
	if !t.IsHistograms() {
		return dst, wrongType(rec, TypeHistograms.String())
	}
	d := &decoder{b: rec[1:]}
	n := len(dst)
	v2 := t == TypeHistogramsV2 || t == TypeFloatHistogramsV2
	float := t == TypeFloatHistograms || t == TypeCustomFloatHistograms || t == TypeFloatHistogramsV2
	var st startTimes
	var ref uint64
	var base int64
	if !v2 {
		ref, base = d.base()
	}
	for d.more() {
		var h Histogram
		if v2 {
			h.Ref, h.T, h.ST = st.next(d)
		} else {
			h.Ref, h.T = ref+uint64(d.varint()), base+d.varint()
		}
		if float {
			h.Float = d.floatHistogram()
		} else {
			h.Int = d.histogram()
		}
		dst = append(dst, h)
	}
	return whole(d, dst, n)
}

func (d *decoder) histogram() *histogram.Histogram {
	h := &histogram.Histogram{
		CounterResetHint: histogram.CounterResetHint(d.byte()),
		Schema:           int32(d.varint()),
		ZeroThreshold:    d.float(),
		ZeroCount:        d.uvarint(),
		Count:            d.uvarint(),
		Sum:              d.float(),
		PositiveSpans:    d.spans(),
		NegativeSpans:    d.spans(),
		PositiveBuckets:  d.deltas(),
		NegativeBuckets:  d.deltas(),
	}
	if h.UsesCustomBuckets() {
		h.CustomValues = d.floats()
	}
	return h
}

func (d *decoder) floatHistogram() *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{
		CounterResetHint: histogram.CounterResetHint(d.byte()),
		Schema:           int32(d.varint()),
		ZeroThreshold:    d.float(),
		ZeroCount:        d.float(),
		Count:            d.float(),
		Sum:              d.float(),
		PositiveSpans:    d.spans(),
		NegativeSpans:    d.spans(),
		PositiveBuckets:  d.floats(),
		NegativeBuckets:  d.floats(),
	}
	if h.UsesCustomBuckets() {
		h.CustomValues = d.floats()
	}
	return h
}

func (d *decoder) spans() []histogram.Span {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	spans := make([]histogram.Span, n)
	for i := range spans {
		spans[i] = histogram.Span{Offset: int32(d.varint()), Length: uint32(d.uvarint())}
	}
	return spans
}

func (d *decoder) deltas() []int64 {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	vs := make([]int64, n)
	for i := range vs {
		vs[i] = d.varint()
	}
	return vs
}

func (d *decoder) floats() []float64 {
	n := d.count(8)
	if n == 0 {
		return nil
	}
	vs := make([]float64, n)
	for i := range vs {
		vs[i] = d.float()
	}
	return vs
}
