package exposition

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// A composed key names a series that has no line of its own, or more to it than its line: those of protobuf, histograms
// that are made of lines, and all with labels for type and unit. It is
//
//	0xff | part, 1 byte | bits of the bound, 8 bytes | length, name | length, type | length, unit | {length, LabelPair}
//
// in which lengths are varints and type and unit are only there if the part says so. No line starts with 0xff.
const composedKey = 0xff

// part says which of the series of a metric a key names.
type part byte

const (
	partWhole part = iota
	partCount
	partSum
	partBucket
	partQuantile
	// partLine: the name is the line of a text format up to the value.
	partLine
	// withTypeAndUnit is set if type and unit are labels.
	withTypeAndUnit = 0x80
)

const keyHeader = 10

// beginKey starts a key whose part and bound are to be set with setPart.
func beginKey(dst []byte, name []byte, described *described) []byte {
	dst = append(dst, composedKey, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = appendBytes(dst, name)
	if described != nil {
		dst = appendBytes(dst, []byte(described.metricType))
		dst = appendBytes(dst, described.unit)
	}
	return dst
}

// described are the type and the unit that become labels.
type described struct {
	metricType sample.MetricType
	unit       []byte
}

// setPart completes a key in place.
func setPart(key []byte, p part, described *described, bound float64) {
	if described != nil {
		p |= withTypeAndUnit
	}
	key[1] = byte(p)
	binary.LittleEndian.PutUint64(key[2:], math.Float64bits(bound))
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// appendPair appends a label to a key.
func appendPair(dst []byte, name, value string) []byte {
	size := 2 + uvarintSize(len(name)) + len(name) + uvarintSize(len(value)) + len(value)
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = append(binary.AppendUvarint(append(dst, 1<<3|wireBytes), uint64(len(name))), name...)
	return append(binary.AppendUvarint(append(dst, 2<<3|wireBytes), uint64(len(value))), value...)
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// keyLabels appends the labels that a composed key stands for. It returns a problem, or "".
func keyLabels(key string, strict bool, rounding rounding, dst []labels.Label) (out []labels.Label, problem string) {
	m := message{rest: stringAsBytes(key[keyHeader:])}
	p := part(key[1])
	name := bytesAsString(m.take(m.varint()))
	var metricType, unit string
	if p&withTypeAndUnit != 0 {
		metricType, unit = bytesAsString(m.take(m.varint())), bytesAsString(m.take(m.varint()))
	}
	first := len(dst)
	if p &^= withTypeAndUnit; p == partLine {
		line := labelParser{b: name, strict: strict, rounding: rounding.label()}
		if dst, problem = line.series(dst); problem != "" {
			return dst, problem
		}
	} else {
		dst = append(dst, labels.Label{Name: labels.MetricName, Value: name + p.suffix()})
	}
	for len(m.rest) > 0 && m.err == nil {
		if dst, problem = pairLabel(m.take(m.varint()), dst); problem != "" {
			return dst, problem
		}
	}
	if m.err != nil {
		return dst, m.err.Error()
	}
	switch bound := math.Float64frombits(binary.LittleEndian.Uint64(stringAsBytes(key[2:]))); p {
	case partBucket:
		dst = append(dst, labels.Label{Name: labels.BucketLabel, Value: string(appendNumber(nil, bound))})
	case partQuantile:
		dst = append(dst, labels.Label{Name: quantileLabel, Value: string(appendNumber(nil, bound))})
	}
	if metricName := dst[first]; part(key[1])&withTypeAndUnit != 0 && metricName.Name == labels.MetricName {
		dst = replaceLabel(dst, first, labels.MetricName, metricName.Value)
	}
	dst = replaceLabel(dst, first, labels.TypeLabel, metricType)
	return replaceLabel(dst, first, labels.UnitLabel, unit), ""
}

const quantileLabel = "quantile"

// replaceLabel adds a label, unless the value is empty, in place of those of the same name from first on.
func replaceLabel(dst []labels.Label, first int, name, value string) []labels.Label {
	if value == "" || value == string(sample.TypeUnknown) && name == labels.TypeLabel {
		return dst
	}
	kept := dst[:first]
	for _, l := range dst[first:] {
		if l.Name != name {
			kept = append(kept, l)
		}
	}
	return append(kept, labels.Label{Name: name, Value: value})
}

func (p part) suffix() string {
	switch p {
	case partCount:
		return "_count"
	case partSum:
		return "_sum"
	case partBucket:
		return "_bucket"
	default:
		return ""
	}
}

// pairLabel appends what a LabelPair says. It returns a problem, or "".
func pairLabel(pair []byte, dst []labels.Label) (out []labels.Label, problem string) {
	l, err := readPair(pair)
	switch {
	case err != nil:
		return dst, err.Error()
	case l.Name == "":
		return dst, "an empty label name"
	case !utf8.ValidString(l.Name), !utf8.ValidString(l.Value):
		return dst, "invalid UTF-8 in the label " + strconv.Quote(l.Name)
	}
	return append(dst, l), ""
}

// readPair reads a LabelPair message, whose bytes the label points into.
func readPair(pair []byte) (l labels.Label, err error) {
	m := message{rest: pair}
	var f field
	for m.next(&f) {
		switch {
		case m.is(&f, 1, wireBytes):
			l.Name = bytesAsString(f.bytes)
		case m.is(&f, 2, wireBytes):
			l.Value = bytesAsString(f.bytes)
		}
	}
	return l, m.err
}
