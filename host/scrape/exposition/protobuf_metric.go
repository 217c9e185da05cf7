package exposition

import (
	"math"
	"unicode/utf8"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// protoMetric is a Metric message. Its slices are used again, and its bytes point into the body.
type protoMetric struct {
	// values are those of counters, gauges and untyped metrics, by number of the type.
	values   [protoUntyped + 1]float64
	exemplar []byte
	// ts and created are in milliseconds, zero for none.
	ts, created int64
	// What follows is of summaries.
	summaryCount uint64
	summarySum   float64
	quantiles    []quantile
	histogram    protoNative
}

type quantile struct{ quantile, value float64 }

func (m *protoMetric) reset() {
	m.values, m.exemplar, m.ts, m.created = [protoUntyped + 1]float64{}, nil, 0, 0
	m.summaryCount, m.summarySum, m.quantiles = 0, 0, m.quantiles[:0]
	m.histogram.reset()
}

// read reads all of the metric; its labels go to key.
func (m *protoMetric) read(b, key []byte) ([]byte, error) {
	w := message{rest: b}
	var f field
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireBytes):
			key = appendBytes(key, f.bytes)
		case w.is(&f, 2, wireBytes):
			w.err = m.readValue(f.bytes, protoGauge)
		case w.is(&f, 3, wireBytes):
			w.err = m.readCounter(f.bytes)
		case w.is(&f, 4, wireBytes):
			w.err = m.readSummary(f.bytes)
		case w.is(&f, 5, wireBytes):
			w.err = m.readValue(f.bytes, protoUntyped)
		case w.is(&f, 6, wireVarint):
			m.ts = int64(f.n)
		case w.is(&f, 7, wireBytes):
			w.err = m.histogram.read(f.bytes)
		}
	}
	return key, w.err
}

func (m *protoMetric) readValue(b []byte, kind int) error {
	w := message{rest: b}
	var f field
	for w.next(&f) {
		if w.is(&f, 1, wireFixed64) {
			m.values[kind] = math.Float64frombits(f.n)
		}
	}
	return w.err
}

func (m *protoMetric) readCounter(b []byte) error {
	w := message{rest: b}
	var f field
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireFixed64):
			m.values[protoCounter] = math.Float64frombits(f.n)
		case w.is(&f, 2, wireBytes):
			m.exemplar, w.err = f.bytes, checkExemplar(f.bytes)
		case w.is(&f, 3, wireBytes):
			m.created, w.err = readTimestamp(f.bytes)
		}
	}
	return w.err
}

func (m *protoMetric) readSummary(b []byte) error {
	w := message{rest: b}
	var f field
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireVarint):
			m.summaryCount = f.n
		case w.is(&f, 2, wireFixed64):
			m.summarySum = math.Float64frombits(f.n)
		case w.is(&f, 3, wireBytes):
			var q quantile
			q.quantile, q.value, w.err = readPairOfDoubles(f.bytes)
			m.quantiles = append(m.quantiles, q)
		case w.is(&f, 4, wireBytes):
			m.created, w.err = readTimestamp(f.bytes)
		}
	}
	return w.err
}

func readPairOfDoubles(b []byte) (first, second float64, err error) {
	w := message{rest: b}
	var f field
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireFixed64):
			first = math.Float64frombits(f.n)
		case w.is(&f, 2, wireFixed64):
			second = math.Float64frombits(f.n)
		}
	}
	return first, second, w.err
}

// readTimestamp returns milliseconds.
func readTimestamp(b []byte) (int64, error) {
	w := message{rest: b}
	var f field
	var seconds, nanos int64
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireVarint):
			seconds = int64(f.n)
		case w.is(&f, 2, wireVarint):
			nanos = int64(int32(f.n))
		}
	}
	return seconds*1000 + nanos/1_000_000, w.err
}

func (m *protoMetric) count(kind int) float64 {
	if kind == protoSummary {
		return float64(m.summaryCount)
	}
	return m.histogram.count()
}

func (m *protoMetric) sum(kind int) float64 {
	if kind == protoSummary {
		return m.summarySum
	}
	return m.histogram.sum
}

// startTime returns when counting began, in milliseconds, or zero.
func (m *protoMetric) startTime(kind int) int64 {
	switch kind {
	case protoCounter, protoSummary:
		return m.created
	case protoHistogram, protoGaugeHistogram:
		return m.histogram.created
	default:
		return 0
	}
}

// checkExemplar returns why an Exemplar message cannot be read.
func checkExemplar(b []byte) error {
	return eachOfExemplar(b, func(labels.Label) {}, func(int64) {}, func(float64) {})
}

func eachOfExemplar(b []byte, pair func(labels.Label), ts func(int64), value func(float64)) error {
	w := message{rest: b}
	var f field
	for w.next(&f) {
		switch {
		case w.is(&f, 1, wireBytes):
			var l labels.Label
			l, w.err = readPair(f.bytes)
			pair(l)
		case w.is(&f, 2, wireFixed64):
			value(math.Float64frombits(f.n))
		case w.is(&f, 3, wireBytes):
			var t int64
			t, w.err = readTimestamp(f.bytes)
			ts(t)
		}
	}
	return w.err
}

// readExemplar reads an Exemplar message; the result does not point into it. ok is false if its labels cannot be kept.
func readExemplar(b []byte) (e sample.Exemplar, ok bool, err error) {
	ok = true
	var sorted labels.ScratchBuilder
	err = eachOfExemplar(b, func(l labels.Label) {
		ok = ok && l.Name != "" && utf8.ValidString(l.Name) && utf8.ValidString(l.Value)
		sorted.Add(l.Name, l.Value)
	}, func(t int64) { e.T, e.HasT = t, true }, func(v float64) { e.Value = v })
	if err != nil || !ok {
		return e, false, err
	}
	sorted.Sort()
	if _, twice := sorted.Duplicate(); twice {
		return e, false, nil
	}
	e.Labels = sorted.Labels()
	return e, true, nil
}
