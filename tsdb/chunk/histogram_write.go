package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
)

// TargetHistogramBytes is the size at which a chunk of histograms is best closed, once it has MinHistograms samples: a
// single histogram can be larger than the target.
const (
	TargetHistogramBytes = 1024
	MinHistograms        = 10
	// maxHistogramsST is the number of samples that the header can count besides the flags.
	maxHistogramsST = 1<<14 - 1
)

// Native is a native histogram of one of the two kinds; the other is nil.
type Native struct {
	Int   *histogram.Histogram
	Float *histogram.FloatHistogram
}

// IsStale reports whether the histogram is a stale marker.
func (n Native) IsStale() bool {
	if n.Int != nil {
		return sample.IsStale(n.Int.Sum)
	}
	return sample.IsStale(n.Float.Sum)
}

// HistogramWriter fills one chunk with histograms of one kind, all of which get the same buckets: when one brings new
// buckets, the chunk is written anew with them. Begin one with [BeginHistograms]. It is for one goroutine.
type HistogramWriter struct {
	enc  Encoding
	data []byte
	// free is the number of unused bits in the last byte.
	free     uint8
	n        int
	layout   layout
	t, delta int64
	starts   STState
	sum      float64
	window   uint64
	// last are the numbers of the latest sample: count, zero count, and buckets, all absolute. Integers are held as
	// they are, floats as their bits. state is what the encoding remembers of each: of integers how much they
	// changed, of floats the window of significant bits.
	last, state []uint64
	// spare are for the numbers of the next sample.
	spare []uint64
}

// BeginHistograms begins a chunk with a first sample. The header tells whether the counter was reset since prev, the
// chunk before it of the same series, which is nil if there is none or if other samples came in between.
func BeginHistograms(prev *HistogramWriter, t int64, h Native) *HistogramWriter {
	return beginHistograms(prev, EncHistogram, EncFloatHistogram, t, 0, h)
}

// BeginHistogramsST is BeginHistograms for a chunk that keeps start timestamps; zero is none.
func BeginHistogramsST(prev *HistogramWriter, t, st int64, h Native) *HistogramWriter {
	return beginHistograms(prev, EncHistogramST, EncFloatHistogramST, t, st, h)
}

func beginHistograms(prev *HistogramWriter, integer, float Encoding, t, st int64, h Native) *HistogramWriter {
	w := &HistogramWriter{enc: integer}
	if h.Float != nil {
		w.enc = float
	}
	f := flatten(h, nil)
	_, flags := w.fits(&f)
	if prev != nil && prev.float() == w.float() {
		_, flags = prev.fits(&f)
	}
	w.begin(flags, f.layout)
	w.put(t, st, f.sum, f.numbers)
	return w
}

// float tells that the histograms are of floats.
func (w *HistogramWriter) float() bool {
	return w.enc == EncFloatHistogram || w.enc == EncFloatHistogramST
}

// keepsST tells that the chunk has room for start timestamps.
func (w *HistogramWriter) keepsST() bool {
	return w.enc == EncHistogramST || w.enc == EncFloatHistogramST
}

// flags returns what the header tells about resets.
func (w *HistogramWriter) flags() byte { return resetFlags(w.enc, w.data) }

// resetFlags returns what the header of a chunk that is long enough tells about resets.
func resetFlags(enc Encoding, data []byte) byte {
	if enc == EncHistogramST || enc == EncFloatHistogramST {
		return data[0] & flagMask
	}
	return data[2]
}

// Encoding returns the encoding of the chunk.
func (w *HistogramWriter) Encoding() Encoding { return w.enc }

// Samples returns the number of samples.
func (w *HistogramWriter) Samples() int { return w.n }

// LastT returns the time of the latest sample.
func (w *HistogramWriter) LastT() int64 { return w.t }

// Bytes returns the chunk, which is complete after each sample. The next Append may write to it.
func (w *HistogramWriter) Bytes() []byte { return w.data }

// Full reports whether the next sample is better put into a new chunk.
func (w *HistogramWriter) Full() bool {
	return len(w.data) >= TargetHistogramBytes && w.n >= MinHistograms || w.n >= maxHistogramsST
}

// Append appends a sample, whose time must come after the latest, and reports whether the chunk can hold it. It can't if
// the kind, the schema, the zero threshold or the custom bounds differ, if the counter was reset, if one of the two is
// a gauge and the other is not, and after a stale marker, unless it is one more.
func (w *HistogramWriter) Append(t int64, h Native) bool { return w.AppendST(t, 0, h) }

// AppendST is Append with a start timestamp, which a chunk that does not keep any can't hold; zero is none.
func (w *HistogramWriter) AppendST(t, st int64, h Native) bool {
	if (h.Float != nil) != w.float() || st != 0 && !w.keepsST() {
		return false
	}
	f := flatten(h, w.spare)
	w.spare = f.numbers
	if ok, _ := w.fits(&f); !ok {
		return false
	}
	if !f.stale() {
		w.adapt(&f)
	}
	w.put(t, st, f.sum, f.numbers)
	w.spare = w.spare[:0]
	return true
}

// flat is a histogram of either kind.
type flat struct {
	layout
	hint histogram.CounterResetHint
	sum  float64
	// numbers are as in the writer; a stale marker has no buckets.
	numbers []uint64
}

func (f *flat) stale() bool { return sample.IsStale(f.sum) }

// flatten brings a histogram into the form that the writer works with, in memory that it may use.
func flatten(h Native, numbers []uint64) flat {
	f := flat{numbers: numbers[:0]}
	if h.IsStale() {
		f.sum, f.numbers = sample.StaleNaN(), append(f.numbers, 0, 0)
		if h.Int != nil {
			f.hint = h.Int.CounterResetHint
		} else {
			f.hint = h.Float.CounterResetHint
		}
		return f
	}
	if i := h.Int; i != nil {
		f.layout = newLayout(i.Schema, i.ZeroThreshold, i.PositiveSpans, i.NegativeSpans, i.CustomValues)
		f.hint, f.sum = i.CounterResetHint, i.Sum
		f.numbers = append(f.numbers, i.Count, i.ZeroCount)
		for _, deltas := range [...][]int64{i.PositiveBuckets, i.NegativeBuckets} {
			var n int64
			for _, d := range deltas {
				n += d
				f.numbers = append(f.numbers, uint64(n))
			}
		}
		return f
	}
	i := h.Float
	f.layout = newLayout(i.Schema, i.ZeroThreshold, i.PositiveSpans, i.NegativeSpans, i.CustomValues)
	f.hint, f.sum = i.CounterResetHint, i.Sum
	f.numbers = append(f.numbers, math.Float64bits(i.Count), math.Float64bits(i.ZeroCount))
	for _, counts := range [...][]float64{i.PositiveBuckets, i.NegativeBuckets} {
		for _, n := range counts {
			f.numbers = append(f.numbers, math.Float64bits(n))
		}
	}
	return f
}

func newLayout(schema int32, zeroThreshold float64, pos, neg []histogram.Span, custom []float64) layout {
	l := layout{schema: schema, zeroThreshold: zeroThreshold, pos: pos, neg: neg, positive: histogram.CountBuckets(pos)}
	if schema == histogram.CustomBucketsSchema {
		l.custom = custom
	}
	l.buckets = l.positive + histogram.CountBuckets(neg)
	return l
}

// fits reports whether the chunk can take a sample, and what the flags of a new chunk that begins with the sample
// would be. A chunk without samples fits nothing.
func (w *HistogramWriter) fits(f *flat) (ok bool, flags byte) {
	stale := sample.IsStale(w.sum)
	switch gauge := w.n > 0 && w.flags()&flagMask == flagGauge; {
	case f.hint == histogram.GaugeType:
		ok = gauge && (f.stale() || !stale && f.sameBounds(&w.layout) && f.schema == w.layout.schema && f.zeroThreshold == w.layout.zeroThreshold)
		return ok, flagGauge
	case f.hint == histogram.CounterReset:
		return false, flagReset
	case w.n == 0, gauge:
		return false, flagUnknown
	case f.stale():
		return true, flagNoReset
	case stale:
		return false, flagUnknown
	case w.less(f.numbers[0], w.last[0]):
		return false, flagReset
	case f.schema != w.layout.schema, f.zeroThreshold != w.layout.zeroThreshold:
		return false, flagUnknown
	case !f.sameBounds(&w.layout), w.less(f.numbers[1], w.last[1]), w.anyLower(f):
		return false, flagReset
	}
	return true, flagNoReset
}

func (l *layout) sameBounds(o *layout) bool { return slices.Equal(l.custom, o.custom) }

// less compares two numbers of the chunk's kind.
func (w *HistogramWriter) less(a, b uint64) bool {
	if w.float() {
		return math.Float64frombits(a) < math.Float64frombits(b)
	}
	return a < b
}

// anyLower reports whether a bucket has a lower count than before, one that is missing counting as zero.
func (w *HistogramWriter) anyLower(f *flat) bool {
	lower := func(was, is []histogram.Span, before, now []uint64) bool {
		if slices.Equal(was, is) { // Fast path: nearly always so.
			for i, n := range now {
				if w.less(n, before[i]) {
					return true
				}
			}
			return false
		}
		for p := range histogram.Pair(was, is) {
			if p.A >= 0 && (p.B < 0 && w.less(0, before[p.A]) || p.B >= 0 && w.less(now[p.B], before[p.A])) {
				return true
			}
		}
		return false
	}
	before, now := w.last[2:], f.numbers[2:]
	return lower(w.layout.pos, f.pos, before[:w.layout.positive], now[:f.positive]) ||
		lower(w.layout.neg, f.neg, before[w.layout.positive:], now[f.positive:])
}

// adapt makes the buckets of the chunk and of the sample the same: the chunk gets those that are new in the sample, the
// sample empty ones for those that it lacks.
func (w *HistogramWriter) adapt(f *flat) {
	if slices.Equal(w.layout.pos, f.pos) && slices.Equal(w.layout.neg, f.neg) {
		return
	}
	pos, newPos := widened(w.layout.pos, f.pos)
	neg, newNeg := widened(w.layout.neg, f.neg)
	if !newPos && !newNeg {
		pos, neg = w.layout.pos, w.layout.neg
	}
	f.spread(pos, neg)
	if newPos || newNeg {
		w.recode(f.layout)
	}
}

// widened returns the spans for both layouts, the newer one as it is where it has all buckets, and reports whether the
// older one lacks any.
func widened(was, is []histogram.Span) (both []histogram.Span, grown bool) {
	missing := false
	for p := range histogram.Pair(was, is) {
		grown = grown || p.A < 0
		missing = missing || p.B < 0
	}
	if missing {
		return histogram.MergeSpans(was, is), grown
	}
	return is, grown
}

// spread moves the counts to the buckets of other spans, which have all of the present ones.
func (f *flat) spread(pos, neg []histogram.Span) {
	numbers := append(make([]uint64, 0, 2+f.buckets), f.numbers[:2]...)
	counts := f.numbers[2:]
	numbers = histogram.Spread(numbers, pos, f.pos, counts[:f.positive])
	numbers = histogram.Spread(numbers, neg, f.neg, counts[f.positive:])
	f.layout = newLayout(f.schema, f.zeroThreshold, pos, neg, f.custom)
	f.numbers = numbers
}

// recode writes the chunk anew with more buckets.
func (w *HistogramWriter) recode(l layout) {
	old := *w
	var s samplesReader = &intReader{}
	if old.float() {
		s = &floatReader{}
	}
	h, err := openHistograms(old.enc, old.data, s)
	if err != nil {
		panic("chunk: a chunk of our own cannot be read: " + err.Error()) // The writer wrote it.
	}
	*w = HistogramWriter{enc: old.enc, spare: old.spare}
	w.begin(old.flags(), l)
	for i := range old.n {
		h.next(s, i)
		f := flat{layout: old.layout, sum: s.sum(), numbers: s.numbers(nil, old.layout.positive)}
		f.spread(l.pos, l.neg)
		w.put(s.time(), h.st.st, f.sum, f.numbers)
	}
}

// begin writes header and layout of an empty chunk. The spans and bounds are copied.
func (w *HistogramWriter) begin(flags byte, l layout) {
	l.pos, l.neg, l.custom = slices.Clone(l.pos), slices.Clone(l.neg), slices.Clone(l.custom)
	w.layout = l
	w.last, w.state = make([]uint64, 2+l.buckets), make([]uint64, 2+l.buckets)
	w.window = noWindow
	if w.float() {
		for i := range w.state {
			w.state[i] = noWindow
		}
	}
	if w.keepsST() {
		w.data = append(w.data, flags&flagMask, 0, 0)
	} else {
		w.data = append(w.data, 0, 0, flags)
	}
	w.putZeroThreshold(l.zeroThreshold)
	w.putInt(int64(l.schema))
	for _, spans := range [...][]histogram.Span{l.pos, l.neg} {
		w.putUint(uint64(len(spans)))
		for _, s := range spans {
			w.putUint(uint64(s.Length))
			w.putInt(int64(s.Offset))
		}
	}
	if l.schema == histogram.CustomBucketsSchema {
		w.putUint(uint64(len(l.custom)))
		for _, bound := range l.custom {
			w.putBound(bound)
		}
	}
}

// put writes a sample whose numbers are those of the layout's buckets, or none in a stale marker.
func (w *HistogramWriter) put(t, st int64, sum float64, numbers []uint64) {
	if w.n == 0 {
		w.putInt(t)
		w.putFirst(sum, numbers)
	} else {
		delta := t - w.t
		w.putInt(delta - w.delta)
		w.delta = delta
		w.putNext(sum, numbers)
	}
	if w.keepsST() {
		w.data, w.free = w.starts.append(w.data, w.free, w.n, w.t, t, st)
		w.data[2] = w.starts.Header()
	}
	w.t, w.sum = t, sum
	copy(w.last, numbers)
	w.n++
	count := uint16(w.n)
	if w.keepsST() {
		count |= uint16(w.data[0]&flagMask) << 8
	}
	binary.BigEndian.PutUint16(w.data, count)
}

func (w *HistogramWriter) putFirst(sum float64, numbers []uint64) {
	if w.float() {
		w.putBits(numbers[0], 64)
		w.putBits(numbers[1], 64)
	} else {
		w.putUint(numbers[0])
		w.putUint(numbers[1])
	}
	w.putBits(math.Float64bits(sum), 64)
	for i := 2; i < len(numbers); i++ {
		if w.float() {
			w.putBits(numbers[i], 64)
		} else {
			w.putInt(w.step(numbers, i))
		}
	}
}

func (w *HistogramWriter) putNext(sum float64, numbers []uint64) {
	for i := range numbers[:2] {
		w.putNumber(numbers, i, sample.IsStale(sum))
	}
	w.putXOR(math.Float64bits(sum)^math.Float64bits(w.sum), &w.window)
	for i := 2; i < len(numbers); i++ {
		w.putNumber(numbers, i, false)
	}
}

// putNumber writes how a number differs from the one before it; with same, an integer as if it continued.
func (w *HistogramWriter) putNumber(numbers []uint64, i int, same bool) {
	switch {
	case w.float():
		w.putXOR(numbers[i]^w.last[i], &w.state[i])
	case same:
		w.putInt(0)
	default:
		delta := w.step(numbers, i) - w.step(w.last, i)
		w.putInt(delta - int64(w.state[i]))
		w.state[i] = uint64(delta)
	}
}

// step returns an integer as it is written: a bucket as the difference to the bucket before it on its side.
func (w *HistogramWriter) step(numbers []uint64, i int) int64 {
	if i <= 2 || i == 2+w.layout.positive {
		return int64(numbers[i])
	}
	return int64(numbers[i] - numbers[i-1])
}

func (w *HistogramWriter) putBits(u uint64, n uint8) {
	w.data, w.free = appendBits(w.data, w.free, u, n)
}

// putXOR writes a difference of floats. The window holds leading zeros in the low byte, trailing ones in the next.
func (w *HistogramWriter) putXOR(diff uint64, window *uint64) {
	var lead, trail uint8
	w.data, w.free, lead, trail = appendXOR(w.data, w.free, diff, uint8(*window), uint8(*window>>8))
	*window = uint64(lead) | uint64(trail)<<8
}

// putUint and putInt write the variable encoding of histograms.
func (w *HistogramWriter) putUint(v uint64) {
	for ones := range 8 {
		if size := varbitSize(ones); bits.Len64(v) <= size {
			w.putVarbit(ones, v, size)
			return
		}
	}
	w.putVarbit(8, v, 64)
}

func (w *HistogramWriter) putInt(v int64) { w.data, w.free = appendVarbitInt(w.data, w.free, v) }

func (w *HistogramWriter) putVarbit(ones int, v uint64, size int) {
	w.data, w.free = appendVarbit(w.data, w.free, ones, v, size)
}

// putZeroThreshold writes a power of two, if it is not too large or small, as one byte, everything else as nine.
func (w *HistogramWriter) putZeroThreshold(v float64) {
	fraction, exponent := math.Frexp(v)
	switch {
	case v == 0:
		w.putBits(0, 8)
	case fraction == 0.5 && -242 <= exponent && exponent <= 11:
		w.putBits(uint64(exponent+243), 8)
	default:
		w.putBits(255, 8)
		w.putBits(math.Float64bits(v), 64)
	}
}

// maxThousandths is the largest bound, in thousandths, that is written as an integer.
const maxThousandths = 33554430

// putBound writes a bound with few decimals as thousandths.
func (w *HistogramWriter) putBound(v float64) {
	if thousandths := v * 1000; thousandths >= 0 && thousandths <= maxThousandths {
		if n := uint64(math.Round(thousandths)); float64(n)/1000 == v {
			w.putUint(n + 1)
			return
		}
	}
	w.putBits(0, 1)
	w.putBits(math.Float64bits(v), 64)
}
