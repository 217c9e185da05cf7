package exposition

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// sampleLine is what a scanner knows about the sample that it is at.
type sampleLine struct {
	series []byte
	// raw is the part of the line that names the series; series may say more.
	raw      []byte
	expected bool
	value    float64
	ts       int64
	hasTS    bool
	exemplar []byte // From the brace to the end of the line, or the message; nil without.
	// native and nativeFloat are histograms that are values.
	native      *histogram.Histogram
	nativeFloat *histogram.FloatHistogram
}

// conversion collects the lines of a classic histogram, which follow each other, until they are one with custom buckets.
type conversion struct {
	classicBuckets
	// collecting says that key, ts and so on are those of a histogram whose lines are being read.
	collecting bool
	ts         int64
	hasTS      bool
	startTime  int64
	// key identifies the histogram, next the one to which the current line belongs.
	key, next []byte
	// What follows is about the current line: its name, that without suffix, the suffix, and le.
	name, base, suffix, le string
	exemplars              []sample.Exemplar
	// emitted says that the scanner is at a converted histogram, after which held and its line come.
	emitted bool
	held    Kind
	line    sampleLine
	pairs   []labels.Label
}

// nextConverted goes to the next piece of content, where classic histograms are one piece.
func (s *Scanner) nextConverted(expect ID) (Kind, error) {
	c := &s.conversion
	if c.emitted {
		c.emitted = false
		c.exemplars = c.exemplars[:0]
		s.sampleLine = c.line
		if taken, err := s.collect(c.held); err != nil || !taken {
			return c.held, err
		}
	}
	for {
		kind, err := s.nextLine(expect)
		if err != nil {
			return End, err
		}
		if c.next = c.next[:0]; kind == Series && s.metricType == sample.TypeHistogram {
			if err := s.identify(); err != nil {
				return End, err
			}
		}
		if c.collecting && !s.continues() && s.finish(kind) {
			return Histogram, nil
		}
		if taken, err := s.collect(kind); err != nil || !taken {
			return kind, err
		}
	}
}

// identify finds out to which histogram the current line would belong.
func (s *Scanner) identify() (err error) {
	c := &s.conversion
	if c.pairs, err = s.lineLabels(c.pairs[:0]); err != nil {
		return err
	}
	slices.SortFunc(c.pairs, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	c.name, c.le = "", ""
	for i, l := range c.pairs {
		if i > 0 && c.pairs[i-1].Name == l.Name {
			return s.errorf("label name %q is not unique", l.Name)
		}
		switch l.Name {
		case labels.MetricName:
			c.name = l.Value
		case labels.BucketLabel:
			c.le = l.Value
		}
	}
	c.base, c.suffix = c.name, ""
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(c.name, suffix); ok {
			c.base, c.suffix = base, suffix
			break
		}
	}
	c.next = beginKey(c.next, []byte(c.base), s.describedBy(s.metricType, s.unit))
	for _, l := range c.pairs {
		if l.Name != labels.MetricName && l.Name != labels.BucketLabel {
			c.next = appendPair(c.next, l.Name, l.Value)
		}
	}
	setPart(c.next, partWhole, s.describedBy(s.metricType, s.unit), 0)
	return nil
}

// continues reports whether the current line belongs to the histogram that is being collected.
func (s *Scanner) continues() bool {
	return len(s.conversion.next) > 0 && bytes.Equal(s.conversion.key, s.conversion.next)
}

// collect takes in the current line if it is part of a classic histogram; false means that the line is to be handed out,
// as it is if classic histograms are to be kept.
func (s *Scanner) collect(kind Kind) (taken bool, err error) {
	c := &s.conversion
	if kind != Series || len(c.next) == 0 || c.base != string(s.typeName) {
		return false, nil
	}
	bound := math.NaN()
	if f, err := strconv.ParseFloat(c.le, 64); err == nil {
		bound = f
	}
	if c.suffix == "" || c.suffix == "_bucket" && math.IsNaN(bound) {
		return false, nil
	}
	if err := s.begin(); err != nil {
		return false, err
	}
	switch c.suffix {
	case "_bucket":
		c.add(bound, s.value)
	case "_sum":
		c.sum = s.value
	default:
		c.setCount(s.value)
	}
	c.ts, c.hasTS = s.ts, s.hasTS
	return !s.opts.KeepClassic, nil
}

// begin starts to collect, unless that is being done, and takes the line's exemplar.
func (s *Scanner) begin() error {
	c := &s.conversion
	if !c.collecting {
		c.reset()
		c.collecting = true
		c.key = append(c.key[:0], c.next...)
		c.exemplars = c.exemplars[:0]
		c.startTime = s.lineStartTime()
	}
	e, ok, err := s.lineExemplar()
	if ok && e.HasT { // What has no time cannot be told from what was there before.
		c.exemplars = append(c.exemplars, e)
	}
	s.exemplar = nil
	return err
}

// finish ends collecting. If what was collected is a histogram, the scanner is at that, and the current line, of the
// given kind, comes after it.
func (s *Scanner) finish(kind Kind) bool {
	c := &s.conversion
	c.collecting = false
	h, f, err := c.convert()
	if err != nil {
		return false // As upstream has it, nothing is left of lines that contradict each other.
	}
	c.held, c.line, c.emitted = kind, s.sampleLine, true
	s.sampleLine = sampleLine{series: c.key, ts: c.ts, hasTS: c.hasTS, native: h, nativeFloat: f}
	return true
}
