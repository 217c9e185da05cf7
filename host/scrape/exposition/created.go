package exposition

import (
	"bytes"
	"math"
	"strings"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// created is the line of OpenMetrics that says when counting started and comes next. It stands behind the lines that it
// is about, so that it has to be looked for ahead.
type created struct {
	ahead *Scanner
	// Between from and at, positions in the body, no other line says so; at is the line's own, or the end of the family.
	from, at int
	// key identifies what the line is about, empty if there is none; next is that of the line that asks.
	key, next []byte
	// millis is the time that it gives.
	millis int64
	pairs  []labels.Label
}

func (c *created) forget() { c.from, c.at, c.key, c.millis = 0, 0, c.key[:0], 0 }

const createdSuffix = "_created"

// mayCount reports whether samples of the current family have start times.
func (s *Scanner) mayCount() bool {
	switch s.metricType {
	case sample.TypeCounter, sample.TypeHistogram, sample.TypeSummary:
		return true
	default:
		return false
	}
}

// isCreated reports whether the current line says when counting started.
func (s *Scanner) isCreated() bool {
	if !s.mayCount() || !bytes.Contains(s.raw, []byte(createdSuffix)) {
		return false
	}
	return strings.HasSuffix(s.metricName(), createdSuffix)
}

// metricName returns the metric name in the current line.
func (s *Scanner) metricName() string {
	if end := nameEnd(s.raw, 0); end > 0 {
		return bytesAsString(s.raw[:end])
	}
	c := &s.created
	var err error
	if c.pairs, err = s.lineLabels(c.pairs[:0]); err != nil {
		return ""
	}
	for _, l := range c.pairs {
		if l.Name == labels.MetricName {
			return l.Value
		}
	}
	return ""
}

// lineStartTime returns when counting started for the series of the current line, in milliseconds, or zero.
func (s *Scanner) lineStartTime() int64 {
	if !s.opts.StartTimes || s.opts.Format != OpenMetrics || !s.mayCount() {
		return 0
	}
	c := &s.created
	var ok bool
	if c.next, ok = s.countedBy(c.next[:0], bytesAsString(s.name)); !ok {
		return 0
	}
	if len(c.key) > 0 && bytes.Equal(c.key, c.next) {
		return c.millis
	}
	if s.pos < c.from || s.pos > c.at {
		s.lookAhead()
	}
	if !bytes.Equal(c.key, c.next) {
		return 0
	}
	return c.millis
}

// countedBy appends what all lines that are counted together have in common: the family's name and the labels but for le
// and quantile. ok is false if the line is not of the family.
func (s *Scanner) countedBy(dst []byte, family string) (out []byte, ok bool) {
	c := &s.created
	var err error
	if c.pairs, err = s.lineLabels(c.pairs[:0]); err != nil {
		return dst, false
	}
	ignored := ""
	switch s.metricType {
	case sample.TypeHistogram:
		ignored = labels.BucketLabel
	case sample.TypeSummary:
		ignored = quantileLabel
	}
	dst = appendBytes(dst, []byte(family))
	for _, l := range c.pairs {
		switch l.Name {
		case labels.MetricName:
			ok = strings.HasPrefix(l.Value, family)
		case ignored:
		default:
			dst = appendPair(dst, l.Name, l.Value)
		}
	}
	return dst, ok
}

// lookAhead finds the next line that says when counting started, which must be in the same family.
func (s *Scanner) lookAhead() {
	c := &s.created
	if c.ahead == nil {
		c.ahead = new(Scanner)
	}
	a := c.ahead
	a.Reset(s.body, Options{Format: OpenMetrics})
	a.pos, a.metricType = s.pos, s.metricType
	c.from, c.key, c.millis = s.pos, c.key[:0], 0
	for {
		kind, err := a.nextOpenMetrics(ID{})
		switch {
		case err != nil:
			c.at = math.MaxInt
			return
		case kind != Series:
			c.at = a.start
			return
		case a.isCreated():
			name := strings.TrimSuffix(a.metricName(), createdSuffix)
			c.at = a.start
			c.key, _ = a.countedBy(c.key, name)
			c.millis = secondsToMillis(a.value)
			return
		}
	}
}
