package exposition

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// rounding says which label holds a number that is brought into one form, so that 1, 1.0 and 1e0 are the same bucket.
type rounding uint8

// The labels that are rounded: none, le of histograms, or quantile of summaries.
const (
	roundNothing rounding = iota
	roundBuckets
	roundQuantiles
)

func (r rounding) label() string {
	switch r {
	case roundBuckets:
		return labels.BucketLabel
	case roundQuantiles:
		return quantileLabel
	default:
		return ""
	}
}

// Labels appends the pairs of the current series to dst, in the order of the body and with empty values. The strings
// point into the body, or into the scanner, where they can.
func (s *Scanner) Labels(dst []labels.Label) ([]labels.Label, error) {
	out, problem := parseSeries(bytesAsString(s.series), s.opts.Format, s.rounding, dst)
	switch {
	case problem == "":
		return out, nil
	case s.opts.Format == Protobuf:
		return dst, s.protoError(problem)
	default:
		return dst, s.errorf("%s", problem)
	}
}

// lineLabels is Labels for the line alone, without what else the series' key says.
func (s *Scanner) lineLabels(dst []labels.Label) ([]labels.Label, error) {
	p := labelParser{b: bytesAsString(s.raw), strict: s.opts.Format == OpenMetrics}
	out, problem := p.series(dst)
	if problem != "" {
		return dst, s.errorf("%s", problem)
	}
	return out, nil
}

// parseSeries is [Scanner.Labels] for raw bytes that a scanner has handed out. It returns a problem, or "".
func parseSeries(raw string, format Format, rounding rounding, dst []labels.Label) (out []labels.Label, problem string) {
	if raw[0] == composedKey {
		return keyLabels(raw, format == OpenMetrics, rounding, dst)
	}
	p := labelParser{b: raw, strict: format == OpenMetrics, rounding: rounding.label()}
	return p.series(dst)
}

// lineExemplar parses the exemplar of the current line. The result does not point into the body. ok is false if there is
// none, or if it has a label twice.
func (s *Scanner) lineExemplar() (e sample.Exemplar, ok bool, err error) {
	if s.exemplar == nil {
		return e, false, nil
	}
	p := labelParser{b: bytesAsString(s.exemplar), strict: true}
	var room [8]labels.Label
	pairs, problem := p.braces(room[:0], true)
	if problem != "" {
		return e, false, s.errorf("exemplar: %s", problem)
	}
	value, ts, ok := strings.Cut(strings.TrimPrefix(p.b[p.i:], " "), " ")
	if e.Value, err = s.exemplarNumber(value, "value"); err != nil || p.i == len(p.b) || p.b[p.i] != ' ' {
		return e, false, s.errorf("expected a value after the labels of the exemplar")
	}
	if ok {
		seconds, err := s.exemplarNumber(ts, "timestamp")
		if err != nil {
			return e, false, err
		}
		if math.IsNaN(seconds) || math.IsInf(seconds, 0) {
			return e, false, s.errorf("invalid exemplar timestamp %v", seconds)
		}
		e.T, e.HasT = secondsToMillis(seconds), true
	}
	var b labels.ScratchBuilder
	for _, l := range pairs {
		b.Add(l.Name, l.Value)
	}
	b.Sort()
	if _, twice := b.Duplicate(); twice {
		return e, false, nil
	}
	e.Labels = b.Labels()
	return e, true, nil
}

func (s *Scanner) exemplarNumber(text, what string) (float64, error) {
	f, ok := parseFloat([]byte(text))
	if !ok {
		return 0, s.errorf("%q is not a %s of an exemplar", text, what)
	}
	return f, nil
}

// labelParser reads names and labels in b from i on. strict forbids blanks, as OpenMetrics does.
type labelParser struct {
	b        string
	i        int
	strict   bool
	rounding string
}

// series reads a name, labels in braces, or both. The methods return a problem, or "".
func (p *labelParser) series(dst []labels.Label) (out []labels.Label, problem string) {
	first := len(dst)
	for p.i < len(p.b) && nameBytes[p.b[p.i]] != 0 {
		p.i++
	}
	hasName := p.i > 0
	if hasName {
		dst = append(dst, labels.Label{Name: labels.MetricName, Value: p.b[:p.i]})
	}
	p.blanks()
	if p.i < len(p.b) {
		if dst, problem = p.braces(dst, hasName); problem != "" {
			return dst, problem
		}
	}
	// A name in quotes stands among the labels; it may come late.
	if !hasName {
		at := slices.IndexFunc(dst[first:], func(l labels.Label) bool { return l.Name == quotedName })
		if at < 0 {
			return dst, "a metric without a name"
		}
		dst[first+at].Name = labels.MetricName
	}
	return dst, ""
}

// quotedName marks the pair that holds a name in quotes; it cannot come from a body, being invalid UTF-8.
const quotedName = "\xff"

// braces reads {…}. hasName says that no metric name may stand inside.
func (p *labelParser) braces(dst []labels.Label, hasName bool) (out []labels.Label, problem string) {
	if !p.take('{') {
		return dst, "expected labels in braces"
	}
	for {
		p.blanks()
		if p.take('}') {
			return dst, ""
		}
		quoted := p.at('"')
		name, problem := p.labelName(quoted)
		if problem != "" {
			return dst, problem
		}
		p.blanks()
		if quoted && (p.at(',') || p.at('}')) {
			if hasName {
				return dst, "a second metric name"
			}
			hasName = true
			dst = append(dst, labels.Label{Name: quotedName, Value: name})
			p.take(',')
			continue
		}
		if !p.take('=') {
			return dst, "expected = after the label name " + strconv.Quote(name)
		}
		p.blanks()
		value, problem := p.labelValue(name)
		if problem != "" {
			return dst, problem
		}
		dst = append(dst, labels.Label{Name: name, Value: value})
		p.blanks()
		if !p.take(',') && p.strict && !p.at('}') {
			return dst, "expected a comma or a closing brace after a label"
		}
	}
}

func (p *labelParser) labelName(quoted bool) (name, problem string) {
	if quoted {
		if name, problem = p.quoted(true); problem != "" {
			return "", problem
		}
		if name == "" {
			return "", "an empty name"
		}
		return name, ""
	}
	start := p.i
	for p.i < len(p.b) && nameBytes[p.b[p.i]] != 0 && p.b[p.i] != ':' {
		p.i++
	}
	if p.i == start || isDigit(p.b[start]) {
		return "", "expected a label name"
	}
	return p.b[start:p.i], ""
}

func (p *labelParser) labelValue(name string) (value, problem string) {
	if !p.at('"') {
		return "", "expected a label value in double quotes after " + strconv.Quote(name+"=")
	}
	if value, problem = p.quoted(!p.strict); problem != "" {
		return "", problem
	}
	if name == p.rounding {
		return roundLabel(value), ""
	}
	return value, ""
}

// quoted reads a string in double quotes.
func (p *labelParser) quoted(lineBreaks bool) (text, problem string) {
	start := p.i + 1
	escaped := false
	for p.i++; p.i < len(p.b) && p.b[p.i] != '"'; p.i++ {
		switch p.b[p.i] {
		case '\\':
			escaped = true
			p.i++
		case '\n':
			if !lineBreaks {
				return "", "a line break in a label value"
			}
		}
	}
	if p.i >= len(p.b) {
		return "", "a string without closing quote"
	}
	text = p.b[start:p.i]
	p.i++
	if !utf8.ValidString(text) {
		return "", "invalid UTF-8 in a label"
	}
	if escaped {
		text = unescape([]byte(text), true)
	}
	return text, ""
}

func (p *labelParser) at(c byte) bool { return p.i < len(p.b) && p.b[p.i] == c }

func (p *labelParser) take(c byte) bool {
	if !p.at(c) {
		return false
	}
	p.i++
	return true
}

func (p *labelParser) blanks() {
	for !p.strict && p.i < len(p.b) && isBlank(p.b[p.i]) {
		p.i++
	}
}

// roundLabel brings a number into the form of OpenMetrics: with a point or an exponent. Other text stays.
func roundLabel(value string) string {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return value
	}
	var room [32]byte
	b := appendNumber(room[:0], f)
	if string(b) == value {
		return value
	}
	return string(b)
}

// appendNumber formats a number as OpenMetrics does.
func appendNumber(b []byte, f float64) []byte {
	start := len(b)
	switch {
	case f == 0:
		return append(b, "0.0"...)
	case math.IsNaN(f):
		return append(b, "NaN"...)
	}
	b = strconv.AppendFloat(b, f, 'g', -1, 64)
	if !math.IsInf(f, 0) && !strings.ContainsAny(bytesAsString(b[start:]), "e.") {
		b = append(b, ".0"...)
	}
	return b
}

// unescape resolves \\, \n and, with quotes, \"; what else follows a backslash stays with it.
func unescape(b []byte, quotes bool) string {
	var out strings.Builder
	out.Grow(len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '\\' && i+1 < len(b) {
			switch next := b[i+1]; {
			case next == 'n':
				c = '\n'
				i++
			case next == '\\', next == '"' && quotes:
				c = next
				i++
			}
		}
		out.WriteByte(c)
	}
	return out.String()
}
