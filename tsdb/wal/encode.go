package wal

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// Markers in front of a start timestamp.
const (
	stNone     byte = 0
	stSame     byte = 1
	stExplicit byte = 2
)

// AppendSeries appends a record to dst, as the functions beside it do. Records of no entries are not written: dst comes
// back as it is.
func AppendSeries(dst []byte, series []Series) []byte {
	if len(series) == 0 {
		return dst
	}
	dst = append(dst, byte(TypeSeries))
	for i := range series {
		dst = binary.BigEndian.AppendUint64(dst, series[i].Ref)
		dst = appendLabels(dst, series[i].Labels)
	}
	return dst
}

// AppendSamples appends a record of floats. Start timestamps need a type of record that Prometheus before 3.11 does
// not know; it is used only when there are any.
func AppendSamples(dst []byte, samples []Sample) []byte {
	if len(samples) == 0 {
		return dst
	}
	if slices.ContainsFunc(samples, func(s Sample) bool { return s.ST != 0 }) {
		return AppendSamplesV2(dst, samples)
	}
	first := samples[0]
	dst = appendBase(append(dst, byte(TypeSamples)), first.Ref, first.T)
	for i := range samples {
		s := &samples[i]
		dst = binary.AppendVarint(dst, int64(s.Ref-first.Ref))
		dst = binary.AppendVarint(dst, s.T-first.T)
		dst = appendFloat(dst, s.V)
	}
	return dst
}

// AppendSamplesV2 appends a record of floats, with start timestamps or without, in the form that Prometheus reads from
// 3.11 on. References refer to the one before, so that entries of consecutive series look alike and compress well.
func AppendSamplesV2(dst []byte, samples []Sample) []byte {
	if len(samples) == 0 {
		return dst
	}
	dst = append(slices.Grow(dst, 4*binary.MaxVarintLen64+11*len(samples)), byte(TypeSamplesV2))
	var st startTimes
	for i := range samples {
		s := &samples[i]
		const room = 1 + binary.MaxVarintLen64 + 1 + 8
		if d := s.Ref - st.ref; i > 0 && d < 1<<6 && s.ST == 0 && cap(dst)-len(dst) >= room {
			// Fast path: the next series of a scrape, or the next sample of a series (BenchmarkEncode).
			n, head := len(dst), 3
			b := (*[room]byte)(dst[n : n+room])
			if b[0], b[1], b[2] = byte(d<<1), 0, stNone; s.T != st.firstT {
				head = 1 + binary.PutVarint(b[1:], s.T-st.firstT) + 1
				b[head-1] = stNone
			}
			binary.BigEndian.PutUint64(b[head:], math.Float64bits(s.V))
			dst = dst[:n+head+8]
			st.ref, st.prevST = s.Ref, 0
			continue
		}
		dst = st.append(dst, s.Ref, s.T, s.ST)
		dst = appendFloat(dst, s.V)
	}
	return dst
}

// startTimes writes and reads reference, time and start time of the entries of a second version record.
type startTimes struct {
	started         bool
	ref             uint64
	firstT, firstST int64
	prevST          int64
}

func (s *startTimes) append(dst []byte, ref uint64, t, st int64) []byte {
	if !s.started {
		dst = binary.AppendVarint(dst, int64(ref))
		dst = binary.AppendVarint(dst, t)
		dst = binary.AppendVarint(dst, st)
		*s = startTimes{started: true, ref: ref, firstT: t, firstST: st, prevST: st}
		return dst
	}
	dst = binary.AppendVarint(dst, int64(ref-s.ref))
	dst = binary.AppendVarint(dst, t-s.firstT)
	switch st {
	case 0:
		dst = append(dst, stNone)
	case s.prevST:
		dst = append(dst, stSame)
	default:
		dst = binary.AppendVarint(append(dst, stExplicit), st-s.firstST)
	}
	s.ref, s.prevST = ref, st
	return dst
}

// AppendTombstones appends a record of deletions.
func AppendTombstones(dst []byte, stones []Tombstone) []byte {
	if len(stones) == 0 {
		return dst
	}
	dst = append(dst, byte(TypeTombstones))
	for _, s := range stones {
		dst = binary.BigEndian.AppendUint64(dst, s.Ref)
		dst = binary.AppendVarint(dst, s.MinT)
		dst = binary.AppendVarint(dst, s.MaxT)
	}
	return dst
}

// AppendExemplars appends a record of exemplars.
func AppendExemplars(dst []byte, exemplars []Exemplar) []byte {
	if len(exemplars) == 0 {
		return dst
	}
	first := exemplars[0]
	dst = appendBase(append(dst, byte(TypeExemplars)), first.Ref, first.T)
	for i := range exemplars {
		e := &exemplars[i]
		dst = binary.AppendVarint(dst, int64(e.Ref-first.Ref))
		dst = binary.AppendVarint(dst, e.T-first.T)
		dst = appendFloat(dst, e.V)
		dst = appendLabels(dst, e.Labels)
	}
	return dst
}

// AppendMetadata appends a record of metadata.
func AppendMetadata(dst []byte, all []Metadata) []byte {
	if len(all) == 0 {
		return dst
	}
	dst = append(dst, byte(TypeMetadata))
	for i := range all {
		m := &all[i]
		dst = binary.AppendUvarint(dst, m.Ref)
		dst = append(dst, byte(max(slices.Index(metricTypes[:], m.Type), 0)))
		dst = binary.AppendUvarint(dst, 2)
		dst = appendStrings(dst, "UNIT", m.Unit, "HELP", m.Help)
	}
	return dst
}

// AppendMarkers appends a record of markers.
func AppendMarkers(dst []byte, markers []Marker) []byte {
	if len(markers) == 0 {
		return dst
	}
	dst = append(dst, byte(TypeMarkers))
	for _, m := range markers {
		dst = binary.BigEndian.AppendUint64(dst, m.Ref)
		dst = binary.BigEndian.AppendUint64(dst, m.Chunk)
	}
	return dst
}

// AppendHistograms returns the records that hold the histograms: one for each of the kinds that occur (integer or
// float, exponential or custom buckets, with start timestamps or without).
func AppendHistograms(recs [][]byte, histograms []Histogram) [][]byte {
	byType := map[Type][]Histogram{}
	withST := slices.ContainsFunc(histograms, func(h Histogram) bool { return h.ST != 0 })
	for _, h := range histograms {
		t := h.recordType(withST)
		byType[t] = append(byType[t], h)
	}
	for t := TypeHistograms; t <= TypeFloatHistogramsV2; t++ {
		if hs := byType[t]; len(hs) > 0 {
			recs = append(recs, appendHistograms(nil, t, hs))
		}
	}
	return recs
}

// RecordType returns the type of record in which [AppendHistograms] puts a histogram that has no start timestamp, and
// TypeSamples if there is none at all.
func (h *Histogram) RecordType() Type {
	if h.Int == nil && h.Float == nil {
		return TypeSamples
	}
	return h.recordType(false)
}

func (h *Histogram) recordType(withST bool) Type {
	custom := h.Int != nil && h.Int.UsesCustomBuckets() || h.Float != nil && h.Float.UsesCustomBuckets()
	switch {
	case withST && h.Int != nil:
		return TypeHistogramsV2
	case withST:
		return TypeFloatHistogramsV2
	case custom && h.Int != nil:
		return TypeCustomHistograms
	case custom:
		return TypeCustomFloatHistograms
	case h.Int != nil:
		return TypeHistograms
	}
	return TypeFloatHistograms
}

func appendHistograms(dst []byte, t Type, hs []Histogram) []byte {
	dst = append(dst, byte(t))
	v2 := t == TypeHistogramsV2 || t == TypeFloatHistogramsV2
	if !v2 {
		dst = appendBase(dst, hs[0].Ref, hs[0].T)
	}
	var st startTimes
	for i := range hs {
		h := &hs[i]
		if v2 {
			dst = st.append(dst, h.Ref, h.T, h.ST)
		} else {
			dst = binary.AppendVarint(dst, int64(h.Ref-hs[0].Ref))
			dst = binary.AppendVarint(dst, h.T-hs[0].T)
		}
		if h.Int != nil {
			dst = appendInt(dst, h.Int)
		} else {
			dst = appendFloatHistogram(dst, h.Float)
		}
	}
	return dst
}

func appendInt(dst []byte, h *histogram.Histogram) []byte {
	dst = binary.AppendVarint(append(dst, byte(h.CounterResetHint)), int64(h.Schema))
	dst = appendFloat(dst, h.ZeroThreshold)
	dst = binary.AppendUvarint(dst, h.ZeroCount)
	dst = binary.AppendUvarint(dst, h.Count)
	dst = appendFloat(dst, h.Sum)
	dst = appendSpans(appendSpans(dst, h.PositiveSpans), h.NegativeSpans)
	for _, buckets := range [][]int64{h.PositiveBuckets, h.NegativeBuckets} {
		dst = binary.AppendUvarint(dst, uint64(len(buckets)))
		for _, b := range buckets {
			dst = binary.AppendVarint(dst, b)
		}
	}
	if h.UsesCustomBuckets() {
		dst = appendFloats(dst, h.CustomValues)
	}
	return dst
}

func appendFloatHistogram(dst []byte, h *histogram.FloatHistogram) []byte {
	dst = binary.AppendVarint(append(dst, byte(h.CounterResetHint)), int64(h.Schema))
	for _, v := range [...]float64{h.ZeroThreshold, h.ZeroCount, h.Count, h.Sum} {
		dst = appendFloat(dst, v)
	}
	dst = appendSpans(appendSpans(dst, h.PositiveSpans), h.NegativeSpans)
	dst = appendFloats(appendFloats(dst, h.PositiveBuckets), h.NegativeBuckets)
	if h.UsesCustomBuckets() {
		dst = appendFloats(dst, h.CustomValues)
	}
	return dst
}

func appendSpans(dst []byte, spans []histogram.Span) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(spans)))
	for _, s := range spans {
		dst = binary.AppendVarint(dst, int64(s.Offset))
		dst = binary.AppendUvarint(dst, uint64(s.Length))
	}
	return dst
}

func appendFloats(dst []byte, vs []float64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(vs)))
	for _, v := range vs {
		dst = appendFloat(dst, v)
	}
	return dst
}

func appendBase(dst []byte, ref uint64, t int64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, ref)
	return binary.BigEndian.AppendUint64(dst, uint64(t))
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

func appendLabels(dst []byte, ls labels.Labels) []byte {
	dst = binary.AppendUvarint(dst, uint64(ls.Len()))
	for name, value := range ls.All() {
		dst = appendStrings(dst, name, value)
	}
	return dst
}

func appendStrings(dst []byte, ss ...string) []byte {
	for _, s := range ss {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}
