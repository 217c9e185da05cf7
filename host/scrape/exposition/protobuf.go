package exposition

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/sample"
)

// Numbers of the types of metric families.
const (
	protoCounter = iota
	protoGauge
	protoSummary
	protoUntyped
	protoHistogram
	protoGaugeHistogram
)

// protoTypes are the types by their numbers.
var protoTypes = [...]sample.MetricType{ //nolint:gochecknoglobals // Constant table.
	protoCounter: sample.TypeCounter, protoGauge: sample.TypeGauge, protoSummary: sample.TypeSummary,
	protoUntyped: sample.TypeUnknown, protoHistogram: sample.TypeHistogram, protoGaugeHistogram: sample.TypeGaugeHistogram,
}

// protoStep says what of a family, or of a metric, comes next.
type protoStep uint8

const (
	stepFamily protoStep = iota
	stepUnit
	stepType
	stepMetric
	stepValue
	stepNative
	stepCount
	stepSum
	stepBuckets
	stepConverted
)

// protoReader is where a scanner is in a body of delimited protobuf messages.
type protoReader struct {
	step protoStep
	// family counts the families, for errors.
	family int
	name   []byte
	help   []byte
	unit   []byte
	kind   int
	// rest are the fields of the family that have not been looked at for metrics.
	rest message
	// metric is the current one.
	metric protoMetric
	// at is the bucket or quantile that comes next.
	at      int
	classic classicBuckets
}

// nextProto goes to the next piece of content of a protobuf body.
func (s *Scanner) nextProto(expect ID) (Kind, error) {
	p := &s.proto
	for {
		switch p.step {
		case stepFamily:
			ok, err := s.protoFamily()
			if err != nil || !ok {
				return End, err
			}
		case stepUnit:
			if p.step = stepType; len(p.unit) > 0 {
				s.text = p.unit
				return Unit, nil
			}
		case stepType:
			p.step = stepMetric
			s.metricType = protoTypes[p.kind]
			s.text = stringAsBytes(string(s.metricType))
			return Type, nil
		case stepMetric:
			if err := s.protoMetric(); err != nil {
				return End, err
			}
			continue
		default:
			kind, err := s.protoSeries()
			if err != nil || kind != End {
				s.expected = s.isExpected(expect)
				return kind, err
			}
			continue
		}
		if p.step == stepUnit {
			return Help, nil
		}
	}
}

// protoFamily goes to the next family that has metrics; false means that there is none.
func (s *Scanner) protoFamily() (bool, error) {
	p := &s.proto
	for s.pos < len(s.body) {
		s.start = s.pos
		p.family++
		size, n := binary.Uvarint(s.body[s.pos:])
		switch {
		case n <= 0 || n > binary.MaxVarintLen32:
			return false, s.protoError("has no valid length: the body is cut off or is not protobuf")
		case size > uint64(len(s.body)-s.pos-n):
			return false, s.protoError(fmt.Sprintf("should have %d bytes, but only %d are left: the body is cut off or is not protobuf",
				size, len(s.body)-s.pos-n))
		}
		family := s.body[s.pos+n:][:size]
		s.pos += n + int(size)
		hasMetrics, err := p.describe(family)
		if err != nil {
			return false, s.protoError(err.Error())
		}
		if !hasMetrics {
			continue
		}
		if problem := p.check(); problem != "" {
			return false, s.protoError(problem)
		}
		s.name, s.text = p.name, p.help
		p.rest, p.step = message{rest: family}, stepUnit
		return true, nil
	}
	return false, nil
}

// describe reads everything of a family but its metrics.
func (p *protoReader) describe(family []byte) (hasMetrics bool, err error) {
	p.name, p.help, p.unit, p.kind = nil, nil, nil, protoCounter
	m := message{rest: family}
	var f field
	for m.next(&f) {
		switch {
		case m.is(&f, 1, wireBytes):
			p.name = f.bytes
		case m.is(&f, 2, wireBytes):
			p.help = f.bytes
		case m.is(&f, 3, wireVarint):
			p.kind = int(int32(f.n))
		case m.is(&f, 4, wireBytes):
			hasMetrics = true
		case m.is(&f, 5, wireBytes):
			p.unit = f.bytes
		}
	}
	return hasMetrics, m.err
}

func (p *protoReader) check() (problem string) {
	switch {
	case len(p.name) == 0 || !utf8.Valid(p.name):
		return fmt.Sprintf("has the invalid name %q", p.name)
	case !utf8.Valid(p.help):
		return fmt.Sprintf("%q: help text is not valid UTF-8", p.name)
	case p.kind < 0 || p.kind >= len(protoTypes):
		return fmt.Sprintf("%q: unknown metric type %d", p.name, p.kind)
	}
	return ""
}

// protoError is an error about the current family.
func (s *Scanner) protoError(problem string) error {
	name := s.proto.name
	if len(name) > maxErrorText {
		name = name[:maxErrorText]
	}
	return &MessageError{Family: s.proto.family, Name: string(name), Problem: problem}
}

// MessageError says where and why a protobuf body is not in the format.
type MessageError struct {
	// Family counts the metric families of the body from 1; Name is the family's name, if it is known.
	Family int
	Name   string
	// Problem is what is wrong.
	Problem string
}

// Error names family and problem.
func (e *MessageError) Error() string {
	return fmt.Sprintf("metric family %d %q: %s", e.Family, e.Name, e.Problem)
}

// protoMetric goes to the next metric of the family, or to the next family.
func (s *Scanner) protoMetric() error {
	p := &s.proto
	var f field
	for p.rest.next(&f) {
		if f.number != 4 {
			continue
		}
		p.metric.reset()
		s.key = beginKey(s.key[:0], p.name, s.describedBy(protoTypes[p.kind], p.unit))
		var err error
		if s.key, err = p.metric.read(f.bytes, s.key); err != nil {
			return s.protoError(err.Error())
		}
		s.ts, s.hasTS = p.metric.ts, p.metric.ts != 0
		return s.beginMetric()
	}
	p.step = stepFamily
	return nil
}

// beginMetric decides what the current metric is to be read as.
func (s *Scanner) beginMetric() error {
	p := &s.proto
	p.at = 0
	switch p.kind {
	case protoSummary:
		p.step = stepCount
	case protoHistogram, protoGaugeHistogram:
		h := &p.metric.histogram
		switch {
		case s.opts.NativeHistograms && h.isNative():
			if problem := h.inconsistent(); problem != "" {
				return s.protoError(problem)
			}
			p.step = stepNative
		case s.opts.ConvertClassic && !s.opts.KeepClassic:
			p.step = stepConverted
		default:
			p.step = stepCount
		}
	default:
		p.step = stepValue
	}
	return nil
}

// protoSeries hands out the next series of the current metric; End means that there is none.
func (s *Scanner) protoSeries() (Kind, error) {
	p := &s.proto
	m := &p.metric
	s.exemplar, s.native, s.nativeFloat = nil, nil, nil
	step := p.step
	p.step = stepMetric
	switch step {
	case stepValue:
		s.value = m.values[p.kind]
		if p.kind == protoCounter {
			s.exemplar = m.exemplar
		}
		return s.named(partWhole, 0)
	case stepNative:
		s.native, s.nativeFloat = m.histogram.native(p.kind == protoGaugeHistogram)
		if s.opts.KeepClassic && len(m.histogram.buckets) > 0 {
			p.step = stepCount
		}
		if _, err := s.named(partWhole, 0); err != nil {
			return End, err
		}
		return Histogram, nil
	case stepCount:
		p.step = stepSum
		s.value = m.count(p.kind)
		return s.named(partCount, 0)
	case stepSum:
		p.step = stepBuckets
		s.value = m.sum(p.kind)
		return s.named(partSum, 0)
	case stepBuckets:
		if p.kind == protoSummary {
			return s.protoQuantile()
		}
		return s.protoBucket()
	default:
		return s.protoConverted()
	}
}

// named sets which series of the metric the value belongs to.
func (s *Scanner) named(p part, bound float64) (Kind, error) {
	setPart(s.key, p, s.describedBy(protoTypes[s.proto.kind], s.proto.unit), bound)
	s.series = s.key
	return Series, nil
}

func (s *Scanner) protoQuantile() (Kind, error) {
	p := &s.proto
	if p.at == len(p.metric.quantiles) {
		return End, nil
	}
	q := p.metric.quantiles[p.at]
	p.at++
	p.step = stepBuckets
	s.value = q.value
	return s.named(partQuantile, q.quantile)
}

// protoBucket hands out the next classic bucket, the last one, +Inf, also if the metric leaves it out.
func (s *Scanner) protoBucket() (Kind, error) {
	p := &s.proto
	buckets := p.metric.histogram.buckets
	bound := math.Inf(1)
	if p.at < len(buckets) {
		b := &buckets[p.at]
		bound, s.value, s.exemplar = b.bound, b.count, b.exemplar
	} else {
		s.value = p.metric.histogram.count()
	}
	p.at++
	switch {
	case !math.IsInf(bound, 1):
		p.step = stepBuckets
	case s.opts.ConvertClassic && (!s.opts.NativeHistograms || !p.metric.histogram.isNative()):
		p.step = stepConverted
	}
	return s.named(partBucket, bound)
}

// protoConverted hands out a classic histogram as one with custom buckets.
func (s *Scanner) protoConverted() (Kind, error) {
	p := &s.proto
	h := &p.metric.histogram
	p.classic.reset()
	p.classic.setCount(h.count())
	p.classic.sum = h.sum
	for _, b := range h.buckets {
		p.classic.add(b.bound, b.count)
	}
	var err error
	if s.native, s.nativeFloat, err = p.classic.convert(); err != nil {
		return End, s.protoError(err.Error())
	}
	if p.kind == protoGaugeHistogram {
		if s.native != nil {
			s.native.CounterResetHint = histogram.GaugeType
		} else {
			s.nativeFloat.CounterResetHint = histogram.GaugeType
		}
	}
	if _, err := s.named(partWhole, 0); err != nil {
		return End, err
	}
	return Histogram, nil
}

// protoExemplars appends the exemplars of the current sample.
func (s *Scanner) protoExemplars(dst []sample.Exemplar) ([]sample.Exemplar, error) {
	if s.native == nil && s.nativeFloat == nil {
		return s.protoExemplar(s.exemplar, dst)
	}
	h := &s.proto.metric.histogram
	var err error
	all := h.exemplars
	if len(all) == 0 {
		for _, b := range h.buckets {
			if dst, err = s.protoExemplar(b.exemplar, dst); err != nil {
				return dst, err
			}
		}
	}
	for _, e := range all {
		if dst, err = s.protoExemplar(e, dst); err != nil {
			return dst, err
		}
	}
	// What has no time cannot be told from what was there before.
	return slices.DeleteFunc(dst, func(e sample.Exemplar) bool { return !e.HasT }), nil
}

func (s *Scanner) protoExemplar(b []byte, dst []sample.Exemplar) ([]sample.Exemplar, error) {
	if b == nil {
		return dst, nil
	}
	e, ok, err := readExemplar(b)
	if err != nil {
		return dst, s.protoError("exemplar: " + err.Error())
	}
	if ok {
		dst = append(dst, e)
	}
	return dst, nil
}
