package chunk

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
)

// Flags in the top two bits of a histogram chunk's flags.
const (
	flagMask    byte = 0b11 << 6
	flagUnknown byte = 0
	flagNoReset byte = 0b01 << 6
	flagReset   byte = 0b10 << 6
	flagGauge   byte = 0b11 << 6

	histogramHeader = 3
)

// layout is what all histograms of a chunk have in common.
type layout struct {
	schema        int32
	zeroThreshold float64
	pos, neg      []histogram.Span
	custom        []float64
	// positive and buckets are the numbers of buckets: those on the positive side, and all.
	positive, buckets int
}

// samplesReader reads the samples of one kind of histogram chunk.
type samplesReader interface {
	// init makes room for so many buckets.
	init(buckets int)
	// next reads sample number i; it stops before the buckets of a stale marker.
	next(r *bitReader, i int)
	// time is the time of the latest sample, sum the sum of its observations.
	time() int64
	sum() float64
	// fill sets the counts of h, whose buckets are of the right length.
	fill(h *histogram.FloatHistogram)
	// numbers appends the counts as a [HistogramWriter] holds them.
	numbers(dst []uint64, positive int) []uint64
}

func (d *Decoder) histograms(enc Encoding, data []byte, mint, maxt int64, dst *Columns, s samplesReader) error {
	h, err := d.open(enc, data, s)
	if err != nil {
		return err
	}
	arena := dst.Lent
	if arena == nil {
		arena = &histogram.Arena{}
	}
	for i := range h.n {
		if h.next(s, i); h.r.overrun() {
			return endsEarly(enc, i, h.n)
		}
		if s.time() > maxt {
			return nil
		}
		if s.time() >= mint {
			dst.add(s.time(), h.st.st, 0, h.layout.histogram(s, resetHint(h.flags, i), arena))
		}
	}
	return nil
}

// histogramChunk is a chunk whose samples follow in r.
type histogramChunk struct {
	r      bitReader
	n      int
	flags  byte
	st     stReader
	layout layout
}

// next reads sample number i with its start timestamp.
func (h *histogramChunk) next(s samplesReader, i int) {
	prev := s.time()
	s.next(&h.r, i)
	h.st.next(&h.r, i, prev, s.time())
}

// openHistograms reads what comes before the samples and gets s ready for them.
func openHistograms(enc Encoding, data []byte, s samplesReader) (*histogramChunk, error) {
	return new(Decoder).open(enc, data, s)
}

// open is openHistograms; the chunk lies in the decoder.
func (d *Decoder) open(enc Encoding, data []byte, s samplesReader) (*histogramChunk, error) {
	h := &d.chunk
	*h = histogramChunk{}
	n, err := Samples(enc, data)
	if err != nil || n == 0 {
		return h, err
	}
	if len(data) < histogramHeader {
		return h, endsEarly(enc, 0, n)
	}
	*h = histogramChunk{n: n, flags: data[2], r: bitReader{data: data, pos: histogramHeader}}
	if enc == EncHistogramST || enc == EncFloatHistogramST {
		h.flags, h.st = data[0], newSTReader(data[2])
	}
	if h.layout, err = d.readLayout(&h.r); err != nil {
		return h, fmt.Errorf("%s chunk: %w", enc, err)
	}
	d.layout = h.layout
	s.init(h.layout.buckets)
	return h, nil
}

// histogram makes the value of the latest sample in memory of an arena.
func (l *layout) histogram(s samplesReader, hint histogram.CounterResetHint, m *histogram.Arena) *histogram.FloatHistogram {
	h := m.Histogram()
	if sample.IsStale(s.sum()) {
		h.Sum = s.sum()
		return h
	}
	*h = histogram.FloatHistogram{
		CounterResetHint: hint,
		Schema:           l.schema,
		ZeroThreshold:    l.zeroThreshold,
		Sum:              s.sum(),
		PositiveSpans:    l.pos,
		NegativeSpans:    l.neg,
		CustomValues:     l.custom,
	}
	if l.buckets > 0 {
		counts := m.Floats(l.buckets)[:l.buckets]
		if l.positive > 0 {
			h.PositiveBuckets = counts[:l.positive:l.positive]
		}
		if l.positive < l.buckets {
			h.NegativeBuckets = counts[l.positive:]
		}
	}
	s.fill(h)
	return h
}

// resetHint tells what the chunk's flags say about sample number i. Whatever they say about the first one holds only
// next to a chunk that may be gone, or have got a new neighbour since: it counts as unknown.
func resetHint(flags byte, i int) histogram.CounterResetHint {
	switch {
	case flags&flagMask == flagGauge:
		return histogram.GaugeType
	case i > 0:
		return histogram.NotCounterReset
	}
	return histogram.UnknownCounterReset
}

func (d *Decoder) readLayout(r *bitReader) (layout, error) {
	l := layout{zeroThreshold: readZeroThreshold(r)}
	schema := r.varbitInt()
	if !r.overrun() && schema != int64(histogram.CustomBucketsSchema) &&
		(schema < int64(histogram.ExponentialSchemaMin) || schema > int64(histogram.ExponentialSchemaMax)) {
		return layout{}, fmt.Errorf("histogram schema %d: %w", schema, errors.ErrUnsupported)
	}
	l.schema = int32(schema)
	var neg int
	var okPos, okNeg bool
	l.pos, l.positive, okPos = d.readSpans(r, d.layout.pos)
	l.neg, neg, okNeg = d.readSpans(r, d.layout.neg)
	l.buckets = l.positive + neg
	if l.schema == histogram.CustomBucketsSchema {
		l.custom = d.readCustomValues(r, d.layout.custom)
	}
	if r.overrun() || !okPos || !okNeg || l.buckets > r.left() {
		return layout{}, fmt.Errorf("%w: it ends within the layout of its buckets", ErrCorrupt)
	}
	return l, nil
}

// readZeroThreshold reads a power of two as one byte, everything else as nine.
func readZeroThreshold(r *bitReader) float64 {
	switch c := r.take(8); c {
	case 0:
		return 0
	case 255:
		return math.Float64frombits(r.take64(64))
	default:
		return math.Ldexp(0.5, int(c)-243)
	}
}

// readSpans returns the spans and the number of their buckets. It is not ok if there are more of either than bits are
// left, each taking one or more. Spans outlive the chunk: they are those of before if they are the same, else new.
func (d *Decoder) readSpans(r *bitReader, before []histogram.Span) (spans []histogram.Span, buckets int, ok bool) {
	n := r.varbitUint()
	if r.overrun() || n > uint64(r.left()) {
		return nil, 0, false
	}
	read := d.spans[:0]
	limit := uint64(r.left())
	for range n {
		length, offset := r.varbitUint(), r.varbitInt()
		if length > limit || r.overrun() {
			return nil, 0, false
		}
		buckets += int(length)
		read = append(read, histogram.Span{Offset: int32(offset), Length: uint32(length)})
	}
	d.spans = read
	if spans = before; !slices.Equal(read, before) {
		spans = append([]histogram.Span(nil), read...)
	}
	return spans, buckets, buckets <= int(limit)
}

// readCustomValues reads bounds, those with few decimals as thousandths. They are kept as spans are.
func (d *Decoder) readCustomValues(r *bitReader, before []float64) []float64 {
	n := r.varbitUint()
	if n > uint64(max(0, r.left())) {
		r.n = -1
		return nil
	}
	values := d.bounds[:0]
	for range n {
		if thousandths := r.varbitUint(); thousandths > 0 {
			values = append(values, float64(thousandths-1)/1000)
		} else {
			values = append(values, math.Float64frombits(r.take64(64)))
		}
	}
	d.bounds = values
	if before != nil && slices.Equal(values, before) {
		return before
	}
	return append([]float64{}, values...)
}

// zeros returns n zero values, in the same memory if it suffices.
func zeros[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	clear(s[:n])
	return s[:n]
}

// histogramTime reads the timestamps of all histogram chunks.
type histogramTime struct{ t, delta int64 }

func (h *histogramTime) time() int64 { return h.t }

func (h *histogramTime) nextTime(r *bitReader, i int) {
	switch i {
	case 0:
		h.t = r.varbitInt()
		return
	case 1:
		h.delta = int64(r.varbitUint())
	default:
		h.delta += r.varbitInt()
	}
	h.t += h.delta
}

// intReader reads integer histograms: all counts but the first are changes of changes.
type intReader struct {
	histogramTime
	count, zero, countDelta, zeroDelta int64
	s                                  xorValue
	// counts are as exposed, each the difference to the bucket before it.
	counts, deltas []int64
}

func (d *intReader) init(buckets int) {
	*d = intReader{counts: zeros(d.counts, buckets), deltas: zeros(d.deltas, buckets)}
}

func (d *intReader) sum() float64 { return d.s.float() }

func (d *intReader) next(r *bitReader, i int) {
	d.nextTime(r, i)
	if i == 0 {
		d.count, d.zero = int64(r.varbitUint()), int64(r.varbitUint())
		d.s.bits = r.take64(64)
		for k := range d.counts {
			d.counts[k] = r.varbitInt()
		}
		return
	}
	d.countDelta += r.varbitInt()
	d.zeroDelta += r.varbitInt()
	d.count += d.countDelta
	d.zero += d.zeroDelta
	d.s.read(r)
	if sample.IsStale(d.sum()) {
		return
	}
	addVarbitInts(r, d.deltas)
	for k, delta := range d.deltas {
		d.counts[k] += delta
	}
}

func (d *intReader) fill(h *histogram.FloatHistogram) {
	h.Count, h.ZeroCount = float64(uint64(d.count)), float64(uint64(d.zero))
	addUp(h.PositiveBuckets, d.counts)
	addUp(h.NegativeBuckets, d.counts[len(h.PositiveBuckets):])
}

func (d *intReader) numbers(dst []uint64, positive int) []uint64 {
	dst = append(dst, uint64(d.count), uint64(d.zero))
	var n int64
	for i, delta := range d.counts {
		if i == positive {
			n = 0
		}
		n += delta
		dst = append(dst, uint64(n))
	}
	return dst
}

func addUp(dst []float64, deltas []int64) {
	var n int64
	for i := range dst {
		n += deltas[i]
		dst[i] = float64(n)
	}
}

// floatReader reads float histograms: each number is written as a float of an XOR chunk.
type floatReader struct {
	histogramTime
	// totals are count, count of the zero bucket, and sum.
	totals [3]xorValue
	counts []xorValue
}

func (d *floatReader) init(buckets int) { *d = floatReader{counts: zeros(d.counts, buckets)} }

func (d *floatReader) sum() float64 { return d.totals[2].float() }

func (d *floatReader) next(r *bitReader, i int) {
	d.nextTime(r, i)
	if i == 0 {
		for k := range d.totals {
			d.totals[k].bits = r.take64(64)
		}
		for k := range d.counts {
			d.counts[k].bits = r.take64(64)
		}
		return
	}
	readXORs(r, d.totals[:])
	if sample.IsStale(d.sum()) {
		return
	}
	readXORs(r, d.counts)
}

func (d *floatReader) fill(h *histogram.FloatHistogram) {
	h.Count, h.ZeroCount = d.totals[0].float(), d.totals[1].float()
	for i := range h.PositiveBuckets {
		h.PositiveBuckets[i] = d.counts[i].float()
	}
	for i := range h.NegativeBuckets {
		h.NegativeBuckets[i] = d.counts[len(h.PositiveBuckets)+i].float()
	}
}

func (d *floatReader) numbers(dst []uint64, _ int) []uint64 {
	dst = append(dst, d.totals[0].bits, d.totals[1].bits)
	for i := range d.counts {
		dst = append(dst, d.counts[i].bits)
	}
	return dst
}
