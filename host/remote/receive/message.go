package receive

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/model/sample"
)

// Numbers of fields. What the two versions have in common has the same number in both, but for those in layout.
const (
	v1Series, v1Metadata = 1, 3
	v2Symbols, v2Series  = 4, 5

	seriesLabels, seriesSamples = 1, 2
	v2SeriesMetadata            = 5

	labelName, labelValue = 1, 2

	pointValue, pointTime = 1, 2
	v2PointStart          = 3

	exemplarLabels, exemplarValue, exemplarTime = 1, 2, 3

	metadataType, metadataHelp, metadataUnit = 1, 3, 4
)

// layout is in what the series of the two versions differ.
type layout struct{ exemplars, histograms int32 }

// pendingSeries is a series of a request, between being found in it and being stored.
type pendingSeries struct {
	// message is the whole of it, labels the part that names it, if that is in one piece, rest what comes behind labels that come
	// first, or else the whole; all are parts of the body.
	message, labels, rest []byte
	key                   seriesKey
	ref                   ref
	// changed: ref is not what was known before.
	changed bool
	// samples, histograms and exemplars are how many there are.
	samples, histograms, exemplars int
	meta                           metadataRefs
}

// metadataRefs is what a request of 2.0 says about a series, by the places of symbols.
type metadataRefs struct {
	typ        sample.MetricType
	help, unit uint32
}

// scan looks through the message of a series: how much there is of what, and which bytes name it. The fields of its samples
// are only checked when they are read.
func (s *pendingSeries) scan(l layout, v2 bool) error {
	w := walker{rest: s.message}
	begin, end, scattered := -1, -1, false
	for {
		for w.skipShort(seriesSamples) {
			s.samples++
		}
		at, labels := len(s.message)-len(w.rest), false
		for w.skipShort(seriesLabels) {
			labels = true
		}
		if !labels {
			if !w.next() {
				break
			}
			labels = s.count(&w, l, v2)
		}
		if labels {
			if begin < 0 {
				begin = at
			} else if at != end {
				scattered = true
			}
			end = len(s.message) - len(w.rest)
		}
	}
	s.rest = s.message
	if begin >= 0 && !scattered {
		s.labels = s.message[begin:end]
		if begin == 0 {
			s.rest = s.message[end:]
		}
	}
	return w.err
}

// count takes notice of a field, and reports whether it is of labels.
func (s *pendingSeries) count(w *walker, l layout, v2 bool) (labels bool) {
	switch w.num {
	case seriesLabels:
		return v2 || w.is(protowire.BytesType)
	case seriesSamples:
		s.samples++
	case l.exemplars:
		s.exemplars++
	case l.histograms:
		s.histograms++
	default:
		if v2 && w.num == v2SeriesMetadata && w.is(protowire.BytesType) {
			w.err = s.meta.read(w.bytes)
		}
		return false
	}
	w.is(protowire.BytesType)
	return false
}

// read reads metadata; what was read before is kept where the message says nothing.
func (m *metadataRefs) read(message []byte) error {
	w := walker{rest: message}
	for w.next() {
		switch w.num {
		case metadataType:
			w.is(protowire.VarintType)
			m.typ = metricType(w.value)
		case metadataHelp:
			w.is(protowire.VarintType)
			m.help = uint32(w.value)
		case metadataUnit:
			w.is(protowire.VarintType)
			m.unit = uint32(w.value)
		}
	}
	return w.err
}

func metricType(n uint64) sample.MetricType {
	types := [...]sample.MetricType{
		sample.TypeUnknown, sample.TypeCounter, sample.TypeGauge, sample.TypeHistogram, sample.TypeGaugeHistogram,
		sample.TypeSummary, sample.TypeInfo, sample.TypeStateset,
	}
	if n >= uint64(len(types)) {
		return sample.TypeUnknown
	}
	return types[n]
}

// point is a sample with a float, or an exemplar without its labels.
type point struct {
	t, st int64
	v     float64
}

// nextPoint reads the next field if it is a sample that is written as all are: a value, which is left out if it is zero, and a
// time. Fast path (BenchmarkRequest): others are for readPoint.
func (w *walker) nextPoint() (p point, ok bool) {
	const sampleTag = seriesSamples<<3 | byte(protowire.BytesType)
	const valueTag, timeTag = pointValue<<3 | byte(protowire.Fixed64Type), pointTime<<3 | byte(protowire.VarintType)
	b := w.rest
	if len(b) < 2 || b[0] != sampleTag || b[1] >= 0x80 || int(b[1]) > len(b)-2 {
		return p, false
	}
	message := b[2 : 2+int(b[1])]
	if rest := message; len(rest) > 9 && rest[0] == valueTag {
		p.v = math.Float64frombits(binary.LittleEndian.Uint64(rest[1:]))
		message = rest[9:]
	}
	if len(message) < 2 || message[0] != timeTag {
		return p, false
	}
	t, n := protowire.ConsumeVarint(message[1:])
	if n != len(message)-1 {
		return p, false
	}
	p.t = int64(t)
	w.rest = b[2+int(b[1]):]
	return p, true
}

// readPoint reads a sample.
func readPoint(message []byte, v2 bool) (p point, err error) {
	w := walker{rest: message}
	for w.next() {
		switch {
		case w.num == pointValue:
			w.is(protowire.Fixed64Type)
			p.v = math.Float64frombits(w.value)
		case w.num == pointTime:
			w.is(protowire.VarintType)
			p.t = int64(w.value)
		case w.num == v2PointStart && v2:
			w.is(protowire.VarintType)
			p.st = int64(w.value)
		}
	}
	return p, w.err
}

// span is a piece of the body.
type span struct{ at, size uint32 }

// text returns a piece of the body. It is good as long as the body is.
func (r *request) text(s span) string { return view(r.body[s.at:][:s.size]) }

// view returns bytes as a string, which changes when they do.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// symbol returns the text of a symbol.
func (r *request) symbol(n uint32) string { return r.text(r.symbols[n]) }

// eachLabel calls f with the labels of the message of a series, or of an exemplar, as they stand there.
func (r *request) eachLabel(message []byte, f func(name, value string)) error {
	if r.message == V2 {
		return r.eachLabelV2(message, f)
	}
	w := walker{rest: message}
	for w.next() {
		if w.num != seriesLabels || !w.is(protowire.BytesType) {
			continue
		}
		in := walker{rest: w.bytes}
		var name, value []byte
		for in.next() {
			switch in.num {
			case labelName:
				in.is(protowire.BytesType)
				name = in.bytes
			case labelValue:
				in.is(protowire.BytesType)
				value = in.bytes
			}
		}
		if w.err = in.err; w.err == nil {
			f(view(name), view(value))
		}
	}
	return w.err
}

// badRefs says that references to symbols lead nowhere.
type badRefs struct{ text string }

func (e *badRefs) Error() string { return e.text }

func (r *request) eachLabelV2(message []byte, f func(name, value string)) error {
	w := walker{rest: message}
	n, name, bad := 0, uint32(0), error(nil)
	for w.next() {
		if w.num != seriesLabels {
			continue
		}
		w.numbers(func(v uint64) {
			ref := uint32(v)
			if n++; n%2 == 1 {
				name = ref
				return
			}
			if size := uint32(len(r.symbols)); name >= size || ref >= size {
				if bad == nil {
					bad = &badRefs{fmt.Sprintf("labelRefs %d (name) = %d (value) outside of symbols table (size %d)", name, ref, size)}
				}
				return
			}
			if bad == nil {
				f(r.symbol(name), r.symbol(ref))
			}
		})
	}
	switch {
	case w.err != nil:
		return w.err
	case n%2 == 1:
		return &badRefs{fmt.Sprintf("invalid labelRefs length %d", n)}
	}
	return bad
}
