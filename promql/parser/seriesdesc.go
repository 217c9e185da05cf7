package parser

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// maxSequence bounds the values of one series description.
const maxSequence = 10_000_000

// SequenceValue is one point of a series description.
type SequenceValue struct {
	// Value is the float where there is no histogram; [sample.StaleNaN] for the word stale.
	Value float64
	// Omitted says that there is no point.
	Omitted   bool
	Histogram *histogram.FloatHistogram
	// CounterResetHintSet says that the histogram's counter reset hint was written out.
	CounterResetHintSet bool
}

// ParseSeriesDesc parses a line of the test script language: a metric and, separated by blanks, its values, such as
//
//	up{job="node"} 1 _ 0x3 1+2x5 stale {{schema:0 sum:4 count:2 buckets:[1 1]}}
//
// where axN stands for N+1 times a, a+bxN and a-bxN for a and N further values each b apart, and _xN for N points that
// are missing. Values may be histograms in each of these. An error is of type [ParseErrors].
func (p *Parser) ParseSeriesDesc(input string) (labels.Labels, []SequenceValue, error) {
	end := metricEnd(input)
	metric := p.newState(input[:end])
	var ls labels.Labels
	metric.whole(func() Expr {
		ls = metric.metric()
		return nil
	})
	if len(metric.errs) > 0 {
		for i := range metric.errs {
			metric.errs[i].Query = input
		}
		return labels.EmptyLabels(), nil, metric.errs
	}
	s := sequence{state: p.newState(input), pos: end}
	s.whole(s.parse)
	if len(s.errs) > 0 {
		return labels.EmptyLabels(), nil, s.errs
	}
	return ls, s.values, nil
}

// metricEnd returns where the metric at the start of the text ends.
func metricEnd(input string) int {
	l := lexer{input: input}
	t := l.next()
	if t.isWord() {
		end := l.pos
		if l.peek() != '{' || strings.HasPrefix(input[l.pos:], "{{") {
			return end
		}
		t = l.next()
	}
	if t.kind != tokLeftBrace {
		return 0
	}
	for t.kind != tokRightBrace {
		if t.kind == tokError {
			return len(input)
		}
		t = l.next()
	}
	return l.pos
}

// sequence parses the values of a series description, byte by byte.
type sequence struct {
	*state
	pos    int
	values []SequenceValue
}

func (s *sequence) parse() {
	for s.pos < len(s.lex.input) {
		if !s.blanks() {
			context := ""
			if len(s.values) == 0 {
				context = " in series values"
			}
			s.unexpectedHere(context)
		}
		if s.pos < len(s.lex.input) {
			s.item()
		}
	}
}

// whole runs parse up to its end or its first error.
func (s *sequence) whole(parse func()) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(abort); !ok {
				panic(r)
			}
		}
	}()
	parse()
}

func (s *sequence) peek() byte {
	if s.pos >= len(s.lex.input) {
		return 0
	}
	return s.lex.input[s.pos]
}

func (s *sequence) blanks() bool {
	start := s.pos
	for s.peek() == ' ' || s.peek() == '\t' {
		s.pos++
	}
	return s.pos > start
}

func (s *sequence) accept(prefix string) bool {
	if strings.HasPrefix(s.lex.input[s.pos:], prefix) {
		s.pos += len(prefix)
		return true
	}
	return false
}

// failAt gives up with an error that reaches from start to pos.
func (s *sequence) failAt(start int, format string, args ...any) {
	s.fail(PositionRange{start, s.pos}, fmt.Errorf(format, args...))
}

// failFrom gives up with an error that reaches from start to the end of the text.
func (s *sequence) failFrom(start int, format string, args ...any) {
	s.fail(PositionRange{start, len(s.lex.input)}, fmt.Errorf(format, args...))
}

// badCharacter gives up at the next character, for which the format has one verb.
func (s *sequence) badCharacter(format string) {
	ahead := lexer{input: s.lex.input, pos: s.pos}
	s.failFrom(s.pos, format, ahead.peek())
}

// unexpectedHere gives up at what stands next.
func (s *sequence) unexpectedHere(suffix string) {
	start := s.pos
	switch c := s.peek(); {
	case c == 0:
		s.failAt(start, "unexpected end of input%s", suffix)
	case c == '+' || c == '-':
		s.pos++
		s.failAt(start, "unexpected <op:%c>%s", c, suffix)
	case s.accept("{{"), s.accept("}}"):
		s.failAt(start, "unexpected %q%s", s.lex.input[start:s.pos], suffix)
	case c == '_' || c == 'x' || c == '[' || c == ']':
		s.pos++
		s.failAt(start, "unexpected %q%s", string(c), suffix)
	case s.blanks():
		s.failAt(start, "unexpected %q%s", " ", suffix)
	case isDigit(rune(c)):
		s.failAt(start, "unexpected number %q%s", s.digits(), suffix)
	case isLetter(rune(c)):
		t := wordToken(s.word())
		if t.kind == tokIdentifier && suffix == "" {
			suffix = ` in series values, expected number or "stale"`
		}
		s.failAt(start, "unexpected %s%s", &t, suffix)
	default:
		s.badCharacter("unexpected character in series sequence: %q")
	}
}

// item parses one value or repetition.
func (s *sequence) item() {
	switch {
	case s.accept("_"):
		s.repeat(SequenceValue{Omitted: true}, s.times(1))
	case strings.HasPrefix(s.lex.input[s.pos:], "{{"):
		s.histograms()
	default:
		start := s.pos
		if isLetter(rune(s.peek())) && s.peek() != 'x' && s.word() == "stale" {
			s.values = append(s.values, SequenceValue{Value: sample.StaleNaN()})
			return
		}
		s.pos = start
		s.floats()
	}
}

func (s *sequence) floats() {
	v := s.signedNumber("")
	sign := 1.0
	switch {
	case s.accept("+"):
	case s.accept("-"):
		sign = -1
	default:
		s.repeat(SequenceValue{Value: v}, 1+s.times(0))
		return
	}
	step := sign * s.unsignedNumber(" in series values")
	for range 1 + s.mustTimes() {
		s.repeat(SequenceValue{Value: v}, 1)
		v += step
	}
}

func (s *sequence) histograms() {
	h, hintSet := s.histogram()
	negative := strings.HasPrefix(s.lex.input[s.pos:], "-{{")
	if !negative && !strings.HasPrefix(s.lex.input[s.pos:], "+{{") {
		n := 1 + s.times(0)
		for range n {
			s.repeat(SequenceValue{Histogram: h.Copy(), CounterResetHintSet: hintSet}, 1)
		}
		return
	}
	s.pos++
	step, hintSet := s.histogram()
	sign := 1.0
	if negative {
		sign = -1
	}
	n := s.mustTimes()
	s.repeat(SequenceValue{Histogram: h, CounterResetHintSet: hintSet}, 1)
	for range n {
		sum, err := addHistogram(h, step, sign)
		if err != nil {
			s.failAt(s.pos-1, "%w", err)
		}
		h = sum
		s.repeat(SequenceValue{Histogram: h, CounterResetHintSet: hintSet}, 1)
	}
}

// repeat appends n times v.
func (s *sequence) repeat(v SequenceValue, n int) {
	if len(s.values)+n > maxSequence {
		s.fail(PositionRange{s.pos, s.pos}, fmt.Errorf("more than %d values", maxSequence))
	}
	for range n {
		s.values = append(s.values, v)
	}
}

// times parses xN; without it, it returns otherwise.
func (s *sequence) times(otherwise int) int {
	if s.peek() != 'x' {
		return otherwise
	}
	return s.mustTimes()
}

func (s *sequence) mustTimes() int {
	if !s.accept("x") {
		s.unexpectedHere(" in series values")
	}
	start := s.pos
	if !isDigit(rune(s.peek())) {
		s.unexpectedHere(" in series values")
	}
	n, err := strconv.ParseUint(s.digits(), 10, 64)
	if err != nil {
		s.failAt(start, "invalid repetition in series values: %w", err)
	}
	if n > maxSequence {
		s.failAt(start, "more than %d values", maxSequence)
	}
	return int(n)
}

func (s *sequence) signedNumber(suffix string) float64 {
	switch {
	case s.accept("+"):
		return s.unsignedNumber(" in series values")
	case s.accept("-"):
		return -s.unsignedNumber(" in series values")
	default:
		return s.unsignedNumber(suffix)
	}
}

func (s *sequence) unsignedNumber(suffix string) float64 {
	start := s.pos
	text := ""
	switch c := rune(s.peek()); {
	case isDigit(c) || c == '.':
		text = s.digits()
		if c := rune(s.peek()); isLetter(c) && c != 'x' {
			s.pos++
			s.failAt(start, "bad number syntax: %q", text)
		}
	case isLetter(c) && c != 'x' && c != '_':
		if text = s.word(); wordToken(text).kind != tokNumber {
			s.pos = start
			s.unexpectedHere(suffix)
		}
	default:
		s.unexpectedHere(suffix)
	}
	v, err := parseNumber(text)
	if err != nil {
		s.failAt(start, "%w", err)
	}
	return v
}

// digits returns what looks like a decimal number.
func (s *sequence) digits() string {
	start := s.pos
	for {
		switch c := s.peek(); {
		case isDigit(rune(c)) || c == '.' || c == '_':
			s.pos++
		case c == 'e' || c == 'E':
			s.pos++
			_ = s.accept("+") || s.accept("-")
		default:
			return s.lex.input[start:s.pos]
		}
	}
}

func (s *sequence) word() string {
	start := s.pos
	for isLetter(rune(s.peek())) || isDigit(rune(s.peek())) {
		s.pos++
	}
	return s.lex.input[start:s.pos]
}
