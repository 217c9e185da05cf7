package receive

import (
	"fmt"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/narthex-io/narthex/host/remote/wire"
	"github.com/narthex-io/narthex/model/sample"
)

// Numbers of fields. What the two versions have in common has the same number in both, but for those in layout.
const (
	v1Series, v1Metadata = 1, 3
	v2Symbols, v2Series  = 4, 5

	seriesLabels, seriesSamples = 1, 2
	v2SeriesMetadata            = 5

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
	w := wire.Walker{Rest: s.message}
	begin, end, scattered := -1, -1, false
	for {
		for w.SkipShort(seriesSamples) {
			s.samples++
		}
		at, labels := len(s.message)-len(w.Rest), false
		for w.SkipShort(seriesLabels) {
			labels = true
		}
		if !labels {
			if !w.Next() {
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
			end = len(s.message) - len(w.Rest)
		}
	}
	s.rest = s.message
	if begin >= 0 && !scattered {
		s.labels = s.message[begin:end]
		if begin == 0 {
			s.rest = s.message[end:]
		}
	}
	return w.Err
}

// count takes notice of a field, and reports whether it is of labels.
func (s *pendingSeries) count(w *wire.Walker, l layout, v2 bool) (labels bool) {
	switch w.Num {
	case seriesLabels:
		return v2 || w.Is(protowire.BytesType)
	case seriesSamples:
		s.samples++
	case l.exemplars:
		s.exemplars++
	case l.histograms:
		s.histograms++
	default:
		if v2 && w.Num == v2SeriesMetadata && w.Is(protowire.BytesType) {
			w.Err = s.meta.read(w.Bytes)
		}
		return false
	}
	w.Is(protowire.BytesType)
	return false
}

// read reads metadata; what was read before is kept where the message says nothing.
func (m *metadataRefs) read(message []byte) error {
	w := wire.Walker{Rest: message}
	for w.Next() {
		switch w.Num {
		case metadataType:
			m.typ = wire.MetricType(w.Number())
		case metadataHelp:
			m.help = uint32(w.Number())
		case metadataUnit:
			m.unit = uint32(w.Number())
		}
	}
	return w.Err
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
	w := wire.Walker{Rest: message}
	for w.Next() {
		if w.Num != seriesLabels || !w.Is(protowire.BytesType) {
			continue
		}
		name, value, err := wire.ReadLabel(w.Bytes)
		if w.Err = err; err == nil {
			f(view(name), view(value))
		}
	}
	return w.Err
}

// badRefs says that references to symbols lead nowhere.
type badRefs struct{ text string }

func (e *badRefs) Error() string { return e.text }

func (r *request) eachLabelV2(message []byte, f func(name, value string)) error {
	w := wire.Walker{Rest: message}
	n, name, bad := 0, uint32(0), error(nil)
	for w.Next() {
		if w.Num != seriesLabels {
			continue
		}
		w.Numbers(func(v uint64) {
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
	case w.Err != nil:
		return w.Err
	case n%2 == 1:
		return &badRefs{fmt.Sprintf("invalid labelRefs length %d", n)}
	}
	return bad
}
