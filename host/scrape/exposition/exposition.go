// Package exposition reads the formats in which targets expose their metrics: Prometheus text (0.0.4 and 1.0.0),
// OpenMetrics (0.0.1 and 1.0.0), and delimited protobuf messages, with native histograms.
//
// Start with [Scanner]. It goes through a body sample by sample and hands out each series as raw bytes that name it, so
// that a caller who knows those bytes, or their [ID], from the last time never parses labels; [Scanner.Labels] does so
// for the others. For the text formats that is a piece of the line, else a composed key (key.go). [Options] make native histograms of
// classic ones, find out when counting started, and turn type and unit into labels.
//
// What is accepted is what Prometheus 3.14 accepts, but for the differences listed in the tests. The package keeps no
// series, and does not know targets.
package exposition

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
)

// Format is a format of a body.
type Format uint8

// The formats.
const (
	Text Format = iota
	OpenMetrics
	// Protobuf are MetricFamily messages, each after its length.
	Protobuf
)

// Options say what a scanner makes of a body. Bodies that are read with different options have different raw bytes.
type Options struct {
	Format Format
	// Seed is for the hashes in IDs. Without it, there must be neither guesses nor calls of [Scanner.ID].
	Seed maphash.Seed
	// NativeHistograms hands out native histograms as such; without it, only their classic parts are seen.
	NativeHistograms bool
	// ConvertClassic makes classic histograms native ones with custom buckets.
	ConvertClassic bool
	// KeepClassic hands out classic histograms also where there is a native one, exposed or converted.
	KeepClassic bool
	// StartTimes finds out when counting started; series of OpenMetrics that only say so are left out.
	StartTimes bool
	// TypeAndUnit makes labels of type and unit.
	TypeAndUnit bool
	// Part says that the body is a piece of one of OpenMetrics, of whole lines, that may go on elsewhere: see
	// [Scanner.Continue]. It goes neither with ConvertClassic nor with StartTimes, which look ahead.
	Part bool
	// Verbatim leaves the bounds of buckets and quantiles of text formats as they were written, 1 or 1.0.
	Verbatim bool
}

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
	// Histogram: a sample that is a native histogram, for Native and what is said about Series, but for Value.
	Histogram
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

// Scanner goes through one body. What it hands out as bytes or labels points into the body or into the scanner, and is
// good until the next call of Next. Use it from one goroutine; [Scanner.Reset] makes it ready for another body.
type Scanner struct {
	body []byte
	opts Options
	// pos is where the next line starts, start where the current one does.
	pos, start int
	// rounding follows from the last TYPE line.
	rounding rounding
	sampleLine

	name, text []byte
	metricType sample.MetricType
	// typeName is the name in the last TYPE line; unit is what the family's UNIT line says.
	typeName, unit, unitName []byte

	// key is where composed keys are made; described what goes into them.
	key        []byte
	described  described
	proto      protoReader
	conversion conversion
	created    created
}

// Reset starts at the beginning of body, which must not change while it is read.
func (s *Scanner) Reset(body []byte, opts Options) {
	p, c := &s.proto, &s.conversion
	p.metric.reset()
	*s = Scanner{
		body: body, opts: opts, key: s.key[:0],
		proto: protoReader{metric: p.metric, classic: p.classic},
		conversion: conversion{
			classicBuckets: c.classicBuckets, key: c.key[:0], next: c.next[:0], exemplars: c.exemplars[:0], pairs: c.pairs[:0],
		},
		created: s.created,
	}
	s.created.forget()
}

// Continue goes on with the next piece of a body that is read in parts. What was said about the family at hand still counts.
func (s *Scanner) Continue(part []byte) {
	s.name, s.typeName = bytes.Clone(s.name), bytes.Clone(s.typeName)
	s.unit, s.unitName = bytes.Clone(s.unit), bytes.Clone(s.unitName)
	s.sampleLine, s.text = sampleLine{}, nil
	s.body, s.pos, s.start = part, 0, 0
}

// Complete reports, after [End], whether the body has ended, and not only a part of it.
func (s *Scanner) Complete() bool { return s.pos < len(s.body) || !s.opts.Part }

// ID stands for the raw bytes that name a series: their number, and a hash of them under a secret seed. Two series have
// the same ID with a probability of 2^-64, and who does not know the seed cannot look for such a pair. The zero ID is that
// of no series.
type ID struct {
	Hash uint64
	Size int
}

// Next goes to the next piece of content. If the caller has a guess which series comes, its ID as expect makes finding it
// faster; a wrong guess, or the zero ID for none, costs nothing else. A guess must be something that ID returned, of this
// body or another one that was read with the same options. After an error the scanner is dead.
func (s *Scanner) Next(expect ID) (kind Kind, err error) {
	switch {
	case s.opts.Format == Protobuf:
		return s.nextProto(expect)
	case s.opts.ConvertClassic:
		if kind, err = s.nextConverted(expect); err == nil && (kind == Series || kind == Histogram) {
			s.expected = s.isExpected(expect)
		}
	default:
		kind, err = s.nextLine(expect)
	}
	if s.opts.TypeAndUnit && kind == Series && err == nil {
		s.describeLine(expect)
	}
	return kind, err
}

// isExpected reports whether the series, which the scanner has read, is the one that was expected.
func (s *Scanner) isExpected(expect ID) bool { return len(s.series) == expect.Size && s.ID() == expect }

// nextLine goes to the next line that has a meaning.
func (s *Scanner) nextLine(expect ID) (kind Kind, err error) {
	if s.opts.Format == Text {
		return s.nextText(expect)
	}
	for {
		if kind, err = s.nextOpenMetrics(expect); err != nil || kind != Series || !s.opts.StartTimes || !s.isCreated() {
			return kind, err
		}
		if s.created.pairs, err = s.lineLabels(s.created.pairs[:0]); err != nil {
			return End, err // What is left out must be good all the same.
		}
	}
}

// describeLine puts type and unit into what names the series.
func (s *Scanner) describeLine(expect ID) {
	d := s.describedBy(s.metricType, s.unit)
	s.key = beginKey(s.key[:0], s.raw, d)
	setPart(s.key, partLine, d, 0)
	s.series = s.key
	s.expected = s.isExpected(expect)
}

// describedBy returns type and unit if they are to be labels, else nil.
func (s *Scanner) describedBy(t sample.MetricType, unit []byte) *described {
	if !s.opts.TypeAndUnit {
		return nil
	}
	s.described = described{metricType: t, unit: unit}
	return &s.described
}

// Series returns the raw bytes that name the series.
func (s *Scanner) Series() []byte { return s.series }

// ID returns what stands for the raw bytes of the series; it is computed anew in each call.
func (s *Scanner) ID() ID { return ID{maphash.Bytes(s.opts.Seed, s.series), len(s.series)} }

// Expected reports whether the series is the one that the caller of Next expected; false may only mean that it was not
// recognised early.
func (s *Scanner) Expected() bool { return s.expected }

// Value returns the sample's value.
func (s *Scanner) Value() float64 { return s.value }

// Native returns the histogram that is the sample's value, in one of two forms. The caller owns it.
func (s *Scanner) Native() (*histogram.Histogram, *histogram.FloatHistogram) {
	return s.native, s.nativeFloat
}

// Timestamp returns the sample's own timestamp in milliseconds, if it has one.
func (s *Scanner) Timestamp() (int64, bool) { return s.ts, s.hasTS }

// StartTime returns when the sample's counting started, in milliseconds, or zero. It is for readers with StartTimes.
func (s *Scanner) StartTime() int64 {
	switch {
	case s.opts.Format == Protobuf:
		return s.proto.metric.startTime(s.proto.kind)
	case s.conversion.emitted:
		return s.conversion.startTime
	default:
		return s.lineStartTime()
	}
}

// HasExemplars reports whether the sample may have exemplars, to be read with [Scanner.Exemplars].
func (s *Scanner) HasExemplars() bool {
	switch {
	case s.conversion.emitted:
		return len(s.conversion.exemplars) > 0
	case s.native != nil || s.nativeFloat != nil:
		h := &s.proto.metric.histogram
		return len(h.exemplars) > 0 || len(h.buckets) > 0
	default:
		return s.exemplar != nil
	}
}

// Exemplars appends the exemplars of the current sample to dst. They do not point into the body. Those with a label twice
// are left out, and so are those of histograms that have no time.
func (s *Scanner) Exemplars(dst []sample.Exemplar) ([]sample.Exemplar, error) {
	switch {
	case s.opts.Format == Protobuf:
		return s.protoExemplars(dst)
	case s.conversion.emitted:
		return append(dst, s.conversion.exemplars...), nil
	}
	e, ok, err := s.lineExemplar()
	if ok {
		dst = append(dst, e)
	}
	return dst, err
}

// Meta returns the metric's name and the help text, still escaped, the type or the unit of the current metadata.
func (s *Scanner) Meta() (name, text []byte) { return s.name, s.text }

// InFamily reports whether the current sample is of the family of the latest metadata. Lines of text need not be.
func (s *Scanner) InFamily() bool {
	if s.opts.Format == Protobuf || s.conversion.emitted {
		return true
	}
	name := s.metricName()
	suffix, ok := strings.CutPrefix(name, bytesAsString(s.name))
	if !ok || len(s.name) == 0 {
		return false
	}
	switch suffix {
	case "":
		return true
	case "_total":
		return s.metricType == sample.TypeCounter
	case "_bucket", "_count", "_sum", "_gcount", "_gsum":
		return s.metricType == sample.TypeHistogram || s.metricType == sample.TypeGaugeHistogram || s.metricType == sample.TypeSummary
	case "_info":
		return s.metricType == sample.TypeInfo
	default:
		return suffix == createdSuffix && s.mayCount()
	}
}

// MetricType returns the type after [Type].
func (s *Scanner) MetricType() sample.MetricType { return s.metricType }

// HelpText removes the escapes from a help text.
func (s *Scanner) HelpText(escaped []byte) string {
	if s.opts.Format == Protobuf {
		return string(escaped)
	}
	return unescape(escaped, s.opts.Format == OpenMetrics)
}

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
	metricType, ok := metricTypes[s.opts.Format][string(s.text)]
	if !ok {
		return s.errorf("invalid metric type %q", s.text)
	}
	s.metricType, s.typeName = metricType, s.name
	switch {
	case metricType == sample.TypeHistogram && !s.opts.Verbatim:
		s.rounding = roundBuckets
	case metricType == sample.TypeSummary && !s.opts.Verbatim:
		s.rounding = roundQuantiles
	default:
		s.rounding = roundNothing
	}
	return nil
}

// bytesAsString gives bytes the type string without copying; they must not change while it is used.
func bytesAsString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// stringAsBytes is the way back; the bytes must not be changed.
func stringAsBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

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
