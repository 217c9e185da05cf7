// Package exposition reads the text formats in which targets expose their metrics: Prometheus text (0.0.4 and 1.0.0) and
// OpenMetrics (0.0.1 and 1.0.0).
//
// Start with [Scanner]. It goes through a body line by line and hands out each series as the raw bytes that name it, so
// that a caller who knows those bytes from the last time never parses labels; [Scanner.Labels] does so for the others.
// What is accepted is what Prometheus 3.14 accepts, but for the differences listed in the tests. The package keeps no
// series, and does not know targets.
package exposition

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/narthex-io/narthex/model/sample"
)

// Format is a text format.
type Format uint8

// The formats.
const (
	Text Format = iota
	OpenMetrics
)

// Kind says what a scanner has found.
type Kind uint8

// What a body consists of.
const (
	// End: there is nothing more.
	End Kind = iota
	// Series: a sample, for Series, Labels, Value, Timestamp and Exemplar.
	Series
	// Help, Type and Unit: metadata, for Meta.
	Help
	Type
	Unit
)

// SyntaxError says where and why a body is not in the format.
type SyntaxError struct {
	// Line counts from 1.
	Line int
	// Text is the start of the line.
	Text string
	// Problem is what is wrong.
	Problem string
}

// Error names line, text and problem.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d: %s: %q", e.Line, e.Problem, e.Text)
}

// Scanner goes through one body. Everything that it hands out as bytes or labels points into the body. Use it from one
// goroutine; [Scanner.Reset] makes it ready for another body.
type Scanner struct {
	body   []byte
	format Format
	// pos is where the next line starts, start where the current one does.
	pos, start int
	// rounding follows from the last TYPE line.
	rounding Rounding

	series   []byte
	expected bool
	value    float64
	ts       int64
	hasTS    bool
	exemplar []byte // From the brace to the end of the line; nil without.

	name, text []byte
	metricType sample.MetricType
}

// Reset starts at the beginning of body, which must not change while it is read.
func (s *Scanner) Reset(body []byte, format Format) {
	*s = Scanner{body: body, format: format}
}

// Next goes to the next piece of content. If the caller has a guess which series comes, its raw bytes as expect make
// finding their end faster; a wrong guess, or none, costs nothing else. A guess must be something that Series returned,
// of this body or another. After an error the scanner is dead.
func (s *Scanner) Next(expect string) (Kind, error) {
	if s.format == OpenMetrics {
		return s.nextOpenMetrics(expect)
	}
	return s.nextText(expect)
}

// Series returns the raw bytes that name the series: everything before the value.
func (s *Scanner) Series() []byte { return s.series }

// Expected reports whether the series is the one that the caller of Next expected; false may only mean that it was not
// recognised early.
func (s *Scanner) Expected() bool { return s.expected }

// Value returns the sample's value.
func (s *Scanner) Value() float64 { return s.value }

// Timestamp returns the sample's own timestamp in milliseconds, if it has one.
func (s *Scanner) Timestamp() (int64, bool) { return s.ts, s.hasTS }

// HasExemplar reports whether the sample has an exemplar, to be read with [Scanner.Exemplar].
func (s *Scanner) HasExemplar() bool { return s.exemplar != nil }

// Rounding returns how the labels of the current series are to be parsed.
func (s *Scanner) Rounding() Rounding { return s.rounding }

// Meta returns the metric's name and the help text, still escaped, the type or the unit of the current metadata.
func (s *Scanner) Meta() (name, text []byte) { return s.name, s.text }

// MetricType returns the type after [Type].
func (s *Scanner) MetricType() sample.MetricType { return s.metricType }

// HelpText removes the escapes from a help text.
func (s *Scanner) HelpText(escaped []byte) string { return unescape(escaped, s.format == OpenMetrics) }

const maxErrorText = 80

func (s *Scanner) errorf(format string, args ...any) error {
	text := s.body[s.start:]
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	return &SyntaxError{
		Line:    1 + bytes.Count(s.body[:s.start], []byte{'\n'}),
		Text:    string(text[:min(len(text), maxErrorText)]),
		Problem: fmt.Sprintf(format, args...),
	}
}

// metricTypes are the types of each format by their names.
var metricTypes = [...]map[string]sample.MetricType{ //nolint:gochecknoglobals // Constant table.
	Text: {
		"counter": sample.TypeCounter, "gauge": sample.TypeGauge, "histogram": sample.TypeHistogram,
		"summary": sample.TypeSummary, "untyped": sample.TypeUnknown,
	},
	OpenMetrics: {
		"counter": sample.TypeCounter, "gauge": sample.TypeGauge, "histogram": sample.TypeHistogram,
		"summary": sample.TypeSummary, "unknown": sample.TypeUnknown, "info": sample.TypeInfo,
		"stateset": sample.TypeStateset, "gaugehistogram": sample.TypeGaugeHistogram,
	},
}

// setType handles the text of a TYPE line.
func (s *Scanner) setType() error {
	metricType, ok := metricTypes[s.format][string(s.text)]
	if !ok {
		return s.errorf("invalid metric type %q", s.text)
	}
	s.metricType = metricType
	switch metricType {
	case sample.TypeHistogram:
		s.rounding = RoundBuckets
	case sample.TypeSummary:
		s.rounding = RoundQuantiles
	default:
		s.rounding = RoundNothing
	}
	return nil
}

// bytesAsString gives bytes the type string without copying; they must not change while it is used.
func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// powersOfTen are those that a float64 holds exactly.
var powersOfTen = [...]float64{ //nolint:gochecknoglobals // Constant table.
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// parseFloat reads what Go calls a float, without hexadecimal exponents and underscores.
func parseFloat(b []byte) (float64, bool) {
	if f, ok := parseShortFloat(b); ok {
		return f, true
	}
	for _, c := range b {
		if c == 'p' || c == 'P' || c == '_' {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(bytesAsString(b), 64)
	return f, err == nil
}

// maxExactDigits is how many decimal digits a float64 holds whatever they are.
const maxExactDigits = 15

// parseShortFloat is the fast path: decimal digits whose number and power of ten are exact as float64, so that one
// multiplication or division gives the correctly rounded result. BenchmarkFloat compares it with strconv.
func parseShortFloat(b []byte) (float64, bool) {
	i, negative := 0, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		i = 1
	}
	var mantissa uint64
	digits, exponent := 0, 0
	for ; i < len(b) && isDigit(b[i]); i++ {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		digits++
	}
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && isDigit(b[i]) && digits <= maxExactDigits; i++ {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			digits++
			exponent--
		}
	}
	if digits == 0 || digits > maxExactDigits {
		return 0, false
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		e, ok := parseExponent(b[i+1:])
		if !ok {
			return 0, false
		}
		exponent += e
		i = len(b)
	}
	if i != len(b) || exponent < -22 || exponent > 22 {
		return 0, false
	}
	f := float64(mantissa)
	if exponent < 0 {
		f /= powersOfTen[-exponent]
	} else {
		f *= powersOfTen[exponent]
	}
	if negative {
		f = -f
	}
	return f, true
}

func parseExponent(b []byte) (int, bool) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 3 {
		return 0, false
	}
	e := 0
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		e = e*10 + int(c-'0')
	}
	if negative {
		e = -e
	}
	return e, true
}

// secondsToMillis converts a timestamp of OpenMetrics; one outside of what milliseconds can hold becomes the smallest
// number, which no storage takes.
func secondsToMillis(seconds float64) int64 {
	ms := seconds * 1000
	if ms >= math.MaxInt64 || ms <= math.MinInt64 {
		return math.MinInt64
	}
	return int64(ms)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// nameBytes tells which bytes may be in an unquoted metric name: 1 for all, 2 for all but the first.
var nameBytes = func() (t [256]uint8) { //nolint:gochecknoglobals // Constant table.
	for c := range t {
		switch b := byte(c); {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', b == '_', b == ':':
			t[c] = 1
		case isDigit(b):
			t[c] = 2
		}
	}
	return t
}()
