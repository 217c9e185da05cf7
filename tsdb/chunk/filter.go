package chunk

import (
	"math"

	"github.com/narthex-io/narthex/model/sample"
)

// Filtered is a chunk that was made from a part of another one's samples.
type Filtered struct {
	// Data is empty if no sample was kept.
	Data []byte
	// MinT and MaxT are the times of the first and the last sample.
	MinT, MaxT int64
	Samples    int
}

// Filter writes a chunk anew with the samples whose times are wanted, in the same encoding. Nothing else changes; only whether a counter was reset before the first
// sample becomes unknown, unless that is the one that it was.
func Filter(enc Encoding, data []byte, wanted func(t int64) bool) (Filtered, error) {
	switch enc {
	case EncXOR:
		return filterXOR(data, wanted)
	case EncXOR2:
		return filterXOR2(data, wanted)
	case EncHistogram, EncHistogramST:
		return filterHistograms(enc, data, wanted, &intReader{})
	case EncFloatHistogram, EncFloatHistogramST:
		return filterHistograms(enc, data, wanted, &floatReader{})
	}
	return Filtered{}, &UnsupportedError{Encoding: enc}
}

func (f *Filtered) add(t int64, data []byte) {
	if f.Samples == 0 {
		f.MinT = t
	}
	f.MaxT, f.Data = t, data
	f.Samples++
}

func filterXOR(data []byte, wanted func(t int64) bool) (Filtered, error) {
	ts, vs, err := DecodeXOR(data, math.MinInt64, math.MaxInt64, nil, nil)
	if err != nil {
		return Filtered{}, err
	}
	var f Filtered
	var s XORState
	for i, t := range ts {
		if wanted(t) {
			f.add(t, s.Append(f.Data, t, vs[i]))
		}
	}
	return f, nil
}

func filterXOR2(data []byte, wanted func(t int64) bool) (Filtered, error) {
	var cols Columns
	if err := decodeXOR2(data, math.MinInt64, math.MaxInt64, &cols); err != nil {
		return Filtered{}, err
	}
	var f Filtered
	var w XOR2Writer
	for i, t := range cols.T {
		if wanted(t) {
			w.Append(t, cols.start(i), cols.F[i])
			f.add(t, w.data)
		}
	}
	return f, nil
}

func filterHistograms(enc Encoding, data []byte, wanted func(t int64) bool, s samplesReader) (Filtered, error) {
	h, err := openHistograms(enc, data, s)
	if err != nil {
		return Filtered{}, err
	}
	var f Filtered
	w := HistogramWriter{enc: enc}
	for i := range h.n {
		if h.next(s, i); h.r.overrun() {
			return Filtered{}, endsEarly(enc, i, h.n)
		}
		if !wanted(s.time()) {
			continue
		}
		if w.n == 0 {
			flags := h.flags & flagMask
			if i > 0 && flags != flagGauge {
				flags = flagUnknown
			}
			l := h.layout
			if sample.IsStale(s.sum()) {
				l = layout{} // Only further ones can follow it, and none has buckets.
			}
			w.begin(flags, l)
		}
		w.put(s.time(), h.st.st, s.sum(), numbersOf(s, &h.layout))
		f.add(s.time(), w.data)
	}
	return f, nil
}

// numbersOf returns the counts of the latest sample, without buckets in a stale marker.
func numbersOf(s samplesReader, l *layout) []uint64 {
	f := flat{sum: s.sum(), numbers: s.numbers(nil, l.positive)}
	if f.stale() {
		clear(f.numbers[:2])
		return f.numbers[:2]
	}
	return f.numbers
}
