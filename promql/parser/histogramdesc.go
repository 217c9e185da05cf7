package parser

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
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

// inHistogram is said of what does not belong into a histogram.
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
	if a.UsesCustomBuckets() != b.UsesCustomBuckets() {
		return nil, errCustomAndExponential
	}
	if b.Schema < a.Schema {
		return nil, fmt.Errorf("error combining histograms: cannot merge from schema %d to %d", b.Schema, a.Schema)
	}
	sum := &histogram.FloatHistogram{
		CounterResetHint: combineHints(a.CounterResetHint, b.CounterResetHint),
		Schema:           a.Schema,
		ZeroCount:        a.ZeroCount + sign*b.ZeroCount,
		Count:            a.Count + sign*b.Count,
		Sum:              a.Sum + sign*b.Sum,
	}
	positive, negative := map[int32]float64{}, map[int32]float64{}
	index := func(h *histogram.FloatHistogram) func(int32) int32 {
		return func(i int32) int32 { return (i-1)>>(h.Schema-a.Schema) + 1 }
	}
	if a.UsesCustomBuckets() {
		sum.CustomValues = slices.DeleteFunc(slices.Clone(a.CustomValues), func(v float64) bool {
			return !slices.Contains(b.CustomValues, v)
		})
		index = func(h *histogram.FloatHistogram) func(int32) int32 {
			return func(i int32) int32 { return customIndex(sum.CustomValues, h, i) }
		}
	}
	addBuckets(positive, a.PositiveSpans, a.PositiveBuckets, index(a), 1)
	addBuckets(negative, a.NegativeSpans, a.NegativeBuckets, index(a), 1)
	addBuckets(positive, b.PositiveSpans, b.PositiveBuckets, index(b), sign)
	addBuckets(negative, b.NegativeSpans, b.NegativeBuckets, index(b), sign)
	if !a.UsesCustomBuckets() {
		widenZero(sum, max(a.ZeroThreshold, b.ZeroThreshold), positive, negative)
	}
	sum.PositiveSpans, sum.PositiveBuckets = layOut(positive)
	sum.NegativeSpans, sum.NegativeBuckets = layOut(negative)
	return sum, nil
}

func combineHints(a, b histogram.CounterResetHint) histogram.CounterResetHint {
	switch {
	case a == b:
		return a
	case a == histogram.GaugeType || b == histogram.GaugeType:
		return histogram.GaugeType
	default:
		return histogram.UnknownCounterReset
	}
}

// customIndex returns which bucket between the given bounds the i-th bucket of h lies in.
func customIndex(bounds []float64, h *histogram.FloatHistogram, i int32) int32 {
	upper := math.Inf(1)
	if int(i) < len(h.CustomValues) {
		upper = h.CustomValues[i]
	}
	at, _ := slices.BinarySearchFunc(bounds, upper, cmp.Compare[float64])
	return int32(at)
}

func addBuckets(counts map[int32]float64, spans []histogram.Span, buckets []float64, index func(int32) int32, factor float64) {
	var i int32
	for _, span := range spans {
		i += span.Offset
		for range span.Length {
			counts[index(i)] += factor * buckets[0]
			buckets = buckets[1:]
			i++
		}
	}
}

// widenZero sets the zero bucket's width to at least threshold and moves the buckets that it covers into it. A bucket
// that it covers in part widens it.
func widenZero(h *histogram.FloatHistogram, threshold float64, sides ...map[int32]float64) {
	h.ZeroThreshold = threshold
	if threshold == 0 {
		return
	}
	for again := true; again; {
		again = false
		for _, counts := range sides {
			for _, i := range slices.Sorted(maps.Keys(counts)) {
				if counts[i] == 0 || histogram.Bound(h.Schema, i-1) >= h.ZeroThreshold {
					continue
				}
				h.ZeroThreshold = max(h.ZeroThreshold, histogram.Bound(h.Schema, i))
				h.ZeroCount += counts[i]
				delete(counts, i)
				again = true
			}
		}
	}
}

func layOut(counts map[int32]float64) (spans []histogram.Span, buckets []float64) {
	next := int32(0)
	for _, i := range slices.Sorted(maps.Keys(counts)) {
		if counts[i] == 0 {
			continue
		}
		if len(spans) == 0 || i != next {
			spans = append(spans, histogram.Span{Offset: i - next})
		}
		spans[len(spans)-1].Length++
		buckets = append(buckets, counts[i])
		next = i + 1
	}
	return spans, buckets
}
