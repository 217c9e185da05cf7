package federate

import (
	"math"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
)

// addLine writes a float as a line of the text format. Fast path: this is nearly all that federation does, and the library
// would make a dozen objects of each sample (BenchmarkFederate).
func (o *output) addLine(l *latest) {
	name := o.names.escaped(l.name)
	separator := byte('{')
	b := o.buf
	if labels.IsValidLegacyMetricName(name) {
		b = append(b, name...)
	} else {
		b = appendName(append(b, '{'), name)
		separator = ','
	}
	for name, value := range l.labels.All() {
		if name == nameLabel {
			continue
		}
		b = appendPair(append(b, separator), o.names.escaped(name), value)
		separator = ','
	}
	for _, e := range o.external {
		if l.labels.Has(e.Name) {
			continue
		}
		b = appendPair(append(b, separator), o.names.escaped(e.Name), e.Value)
		separator = ','
	}
	if separator == ',' {
		b = append(b, '}')
	}
	b = appendFloat(append(b, ' '), l.f)
	b = strconv.AppendInt(append(b, ' '), l.t, 10)
	o.buf = append(b, '\n')
}

func appendPair(b []byte, name, value string) []byte {
	b = appendName(b, name)
	b = appendEscaped(append(b, `="`...), value)
	return append(b, '"')
}

// appendName writes a name, in quotes if the format needs them.
func appendName(b []byte, name string) []byte {
	if labels.IsValidLegacyMetricName(name) {
		return append(b, name...)
	}
	b = appendEscaped(append(b, '"'), name)
	return append(b, '"')
}

func appendEscaped(b []byte, text string) []byte {
	for {
		i := strings.IndexAny(text, "\\\n\"")
		if i < 0 {
			return append(b, text...)
		}
		b = append(append(b, text[:i]...), '\\')
		if c := text[i]; c == '\n' {
			b = append(b, 'n')
		} else {
			b = append(b, c)
		}
		text = text[i+1:]
	}
}

// appendFloat writes a value; that of zero has no sign.
func appendFloat(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, '0')
	}
	if whole := int64(f); float64(whole) == f && math.Abs(f) < 1e6 {
		return strconv.AppendInt(b, whole, 10) // Fast path: the same digits.
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}
