package inspect

import (
	"strconv"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// appendValue appends a number in its shortest form.
func appendValue(b []byte, f float64) []byte { return strconv.AppendFloat(b, f, 'g', -1, 64) }

// appendMillis appends a time behind a blank, appendSeconds in the unit of OpenMetrics.
func appendMillis(b []byte, t int64) []byte { return strconv.AppendInt(append(b, ' '), t, 10) }

func appendSeconds(b []byte, t int64) []byte {
	return strconv.AppendFloat(append(b, ' '), float64(t)/1000, 'f', 3, 64)
}

// appendHistogram appends a histogram as the model prints it, but for counts of whole numbers, which never have an
// exponent.
func appendHistogram(b []byte, h *histogram.FloatHistogram, whole bool) []byte {
	count := appendValue
	if whole {
		count = func(b []byte, f float64) []byte { return strconv.AppendUint(b, uint64(f), 10) }
	}
	b = count(append(b, "{count:"...), h.Count)
	b = appendValue(append(b, ", sum:"...), h.Sum)
	for _, k := range h.Buckets() {
		if k.Count == 0 {
			continue
		}
		b = append(b, ", "...)
		b = append(b, choose(k.LowerInclusive, '[', '('))
		b = append(appendValue(b, k.Lower), ',')
		b = append(appendValue(b, k.Upper), choose(k.UpperInclusive, ']', ')'), ':')
		b = count(b, k.Count)
	}
	return append(b, '}')
}

func choose(is bool, yes, no byte) byte {
	if is {
		return yes
	}
	return no
}

// appendOpenMetrics appends a series and a blank. Names outside of the legacy character set are quoted, which moves that
// of the metric into the braces.
func appendOpenMetrics(b []byte, ls labels.Labels) []byte {
	name := ls.Get(labels.MetricName)
	legacy := labels.IsValidLegacyMetricName(name)
	if legacy {
		b = append(b, name...)
	}
	b = append(b, '{')
	first := true
	if !legacy && name != "" {
		b, first = appendText(b, name), false
	}
	for n, value := range ls.All() {
		if n == labels.MetricName {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if labels.IsValidLegacyLabelName(n) {
			b = append(b, n...)
		} else {
			b = appendText(b, n)
		}
		b = appendText(append(b, '='), value)
	}
	return append(b, "} "...)
}

// appendText appends a string in quotes, with the escapes that OpenMetrics has.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
