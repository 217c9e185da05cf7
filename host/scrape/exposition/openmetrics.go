package exposition

import (
	"bytes"
	"math"
)

// nextOpenMetrics goes to the next line of OpenMetrics, where nothing is optional: one blank between things, no empty
// lines, no comments, # EOF at the end.
func (s *Scanner) nextOpenMetrics(expect ID) (Kind, error) {
	i := s.pos
	s.start = i
	if i == len(s.body) && s.opts.Part {
		return End, nil
	}
	if i == len(s.body) {
		return End, s.errorf("the body does not end with # EOF: it was cut off or is not OpenMetrics")
	}
	if s.body[i] == '#' {
		return s.openMetricsMeta(i)
	}
	return s.openMetricsSample(i, expect)
}

func (s *Scanner) openMetricsMeta(i int) (Kind, error) {
	rest := s.body[i:]
	var kind Kind
	switch {
	case bytes.HasPrefix(rest, []byte("# EOF")):
		if len(rest) > 6 || len(rest) == 6 && rest[5] != '\n' {
			return End, s.errorf("unexpected content after # EOF")
		}
		return End, nil
	case bytes.HasPrefix(rest, []byte("# HELP ")):
		kind = Help
	case bytes.HasPrefix(rest, []byte("# TYPE ")):
		kind = Type
	case bytes.HasPrefix(rest, []byte("# UNIT ")):
		kind = Unit
	default:
		return End, s.errorf("expected # HELP, # TYPE, # UNIT or # EOF")
	}
	name, at := s.metaName(i + len("# HELP "))
	if name == nil {
		return End, s.errorf("expected a metric name")
	}
	end := s.lineEnd(at)
	if at == end || s.body[at] != ' ' {
		return End, s.errorf("expected a blank and text after the metric name")
	}
	s.name, s.text = name, s.body[at+1:end]
	s.pos = min(end+1, len(s.body))
	if kind == Unit && len(s.text) > 0 && !isUnitOf(s.text, name) {
		return End, s.errorf("unit %q is not a suffix of the metric's name", s.text)
	}
	return s.finishMeta(kind)
}

// isUnitOf reports whether name ends with an underscore and the unit.
func isUnitOf(unit, name []byte) bool {
	base, ok := bytes.CutSuffix(name, unit)
	return ok && len(base) > 0 && base[len(base)-1] == '_'
}

func (s *Scanner) openMetricsSample(i int, expect ID) (Kind, error) {
	b := s.body
	end, ok := s.expectedEnd(i, expect)
	if !ok {
		if end = nameEnd(b, i); end < len(b) && b[end] == '{' {
			end = braceEnd(b, end)
		}
		switch end {
		case -1:
			return End, s.errorf("labels without a closing brace")
		case i:
			return End, s.errorf("expected a metric name")
		}
	}
	s.series, s.raw, s.expected = b[i:end], b[i:end], ok
	var err error
	if s.value, end, err = s.openMetricsNumber(end, "value"); err != nil {
		return End, err
	}
	s.hasTS, s.exemplar = false, nil
	if end < len(b) && b[end] == ' ' && !bytes.HasPrefix(b[end:], []byte(" # ")) {
		var seconds float64
		if seconds, end, err = s.openMetricsNumber(end, "timestamp"); err != nil {
			return End, err
		}
		if math.IsNaN(seconds) || math.IsInf(seconds, 0) {
			return End, s.errorf("invalid timestamp %v", seconds)
		}
		s.ts, s.hasTS = secondsToMillis(seconds), true
	}
	if bytes.HasPrefix(b[end:], []byte(" # ")) {
		start := end + len(" # ")
		end = s.lineEnd(start)
		s.exemplar = b[start:end]
	}
	if end < len(b) && b[end] != '\n' {
		return End, s.errorf("expected the end of the line")
	}
	s.pos = min(end+1, len(b))
	return Series, nil
}

// openMetricsNumber reads a blank and a number at i, and returns where it ends.
func (s *Scanner) openMetricsNumber(i int, what string) (f float64, end int, err error) {
	b := s.body
	if i >= len(b) || b[i] != ' ' {
		return 0, i, s.errorf("expected a blank and a %s", what)
	}
	i++
	end = i
	for end < len(b) && b[end] != ' ' && b[end] != '\n' {
		end++
	}
	if end == i {
		return 0, i, s.errorf("expected a %s after a single blank", what)
	}
	f, ok := parseFloat(b[i:end])
	if !ok {
		return 0, i, s.errorf("%q is not a %s", b[i:end], what)
	}
	return f, end, nil
}
