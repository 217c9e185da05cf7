package parser

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/model/histogram"
)

// histogram parses a histogram in double braces, and reports whether its counter reset hint is written out.
func (s *sequence) histogram() (h *histogram.FloatHistogram, hintSet bool) {
	s.accept("{{")
	h = &histogram.FloatHistogram{}
	var positiveOffset, negativeOffset int32
	seen := map[string]bool{}
	if start := s.pos; s.blanks() && !strings.HasPrefix(s.lex.input[s.pos:], "}}") {
		s.failAt(start, "unexpected %q in series values", s.lex.input[start:s.pos])
	}
	for !s.accept("}}") {
		key := s.histogramKey()
		if seen[key] {
			s.fail(PositionRange{}, fmt.Errorf("duplicate key %q in histogram", key))
		}
		seen[key] = true
		switch key {
		case "schema":
			h.Schema = s.integer()
		case "sum":
			h.Sum = s.histogramNumber("histogram description incomplete unexpected: %q")
		case "count":
			h.Count = s.histogramNumber("histogram description incomplete unexpected: %q")
		case "z_bucket":
			h.ZeroCount = s.histogramNumber("histogram description incomplete unexpected: %q")
		case "z_bucket_w":
			h.ZeroThreshold = s.unsignedNumber(inHistogram)
		case "buckets":
			h.PositiveBuckets = s.numbers()
		case "n_buckets":
			h.NegativeBuckets = s.numbers()
		case "offset":
			positiveOffset = s.integer()
		case "n_offset":
			negativeOffset = s.integer()
		case "custom_values":
			h.CustomValues = s.numbers()
		case "counter_reset_hint":
			h.CounterResetHint, hintSet = s.counterResetHint(), true
		}
		if !s.blanks() && !strings.HasPrefix(s.lex.input[s.pos:], "}}") {
			s.badCharacter("histogram description incomplete unexpected: %q")
		}
	}
	h.PositiveSpans = oneSpan(positiveOffset, h.PositiveBuckets)
	h.NegativeSpans = oneSpan(negativeOffset, h.NegativeBuckets)
	return h, hintSet
}

func oneSpan(offset int32, buckets []float64) []histogram.Span {
	if len(buckets) == 0 {
		return nil
	}
	return []histogram.Span{{Offset: offset, Length: uint32(len(buckets))}}
}

// histogramKey parses the name of a field and its colon.
func (s *sequence) histogramKey() string {
	start := s.pos
	if !isLetter(rune(s.peek())) {
		s.badCharacter("histogram description incomplete unexpected: %q")
	}
	name := s.word()
	key := strings.ToLower(name)
	switch key {
	case "schema", "sum", "count", "z_bucket", "z_bucket_w", "buckets", "n_buckets", "offset", "n_offset",
		"custom_values", "counter_reset_hint":
	default:
		s.failFrom(start, "bad histogram descriptor found: %q", name)
	}
	if !s.accept(":") {
		s.failFrom(start, "missing `:` for histogram descriptor")
	}
	return key
}

func (s *sequence) integer() int32 {
	start := s.pos
	negative := s.accept("-")
	text := s.digits()
	if negative {
		text = "-" + text
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		s.failAt(start, "invalid number in histogram: %w", err)
	}
	return int32(n)
}

func (s *sequence) numbers() []float64 {
	if !s.accept("[") {
		s.unexpectedHere(" in series values")
	}
	if c := s.peek(); c == ']' || c == ' ' || c == '\t' {
		s.unexpectedHere(inHistogram)
	}
	const bad = "invalid character in buckets description: %q"
	all := []float64{s.histogramNumber(bad)}
	for {
		blank := s.blanks()
		if s.accept("]") {
			return all
		}
		if c := s.peek(); !blank || !isDigit(rune(c)) && !isLetter(rune(c)) && c != '-' && c != '.' {
			s.badCharacter(bad)
		}
		all = append(all, s.histogramNumber(bad))
	}
}

// inHistogram ends the message about something that does not belong into a histogram.
const inHistogram = " in histogram description, expected histogram description key, e.g. buckets:[5 10 7]"

// histogramNumber parses a number, which unlike elsewhere has no plus; the format is that of the error for other characters.
func (s *sequence) histogramNumber(format string) float64 {
	if s.peek() == '+' {
		s.badCharacter(format)
	}
	return s.signedNumber(" in series values")
}

func (s *sequence) counterResetHint() histogram.CounterResetHint {
	start := s.pos
	switch name := s.word(); strings.ToLower(name) {
	case "unknown":
		return histogram.UnknownCounterReset
	case "reset":
		return histogram.CounterReset
	case "not_reset":
		return histogram.NotCounterReset
	case "gauge":
		return histogram.GaugeType
	default:
		s.failFrom(start, "bad histogram descriptor found: %q", name)
		return 0
	}
}

// addHistogram returns a + sign*b, in the resolution of a and without empty buckets.
func addHistogram(a, b *histogram.FloatHistogram, sign float64) (*histogram.FloatHistogram, error) {
	if b.Schema < a.Schema && a.UsesCustomBuckets() == b.UsesCustomBuckets() {
		return nil, fmt.Errorf("error combining histograms: cannot merge from schema %d to %d", b.Schema, a.Schema)
	}
	sum := histogram.NewSum(a)
	if _, _, err := sum.Add(b, sign); err != nil {
		return nil, err
	}
	return sum.Histogram(), nil
}
