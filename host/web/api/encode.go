package api

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql"
)

// encoder writes query results as JSON without building them in memory: a result can hold millions of samples.
type encoder struct {
	w   io.Writer
	buf []byte
	err error
	// begun says that something has been handed to the writer.
	begun bool
	// stamps are the timestamps of the series before, by the position of their points: most series have the same.
	stamps []stamp
}

// stamp is a timestamp with what stands around it in front of a value.
type stamp struct {
	t    int64
	n    int8
	text [23]byte
}

// encoders lends encoders with buffers that were used before: for most answers, a new one would be most of the memory that
// the request takes. The zero value is ready.
type encoders struct{ pool sync.Pool }

const (
	// fullBuffer is the number of bytes from which on a buffer is handed to the writer.
	fullBuffer = 64 << 10
	// maxIdleBuffer is the size of the largest buffer that is kept.
	maxIdleBuffer = 2 * fullBuffer
	// maxStamps is the number of timestamps that are kept to be used again.
	maxStamps = 2048
)

// to returns an encoder that writes to w, to be given back.
func (p *encoders) to(w io.Writer) *encoder {
	e, ok := p.pool.Get().(*encoder)
	if !ok {
		e = &encoder{}
	}
	e.w = w
	return e
}

func (p *encoders) giveBack(e *encoder) {
	if cap(e.buf) <= maxIdleBuffer {
		*e = encoder{buf: e.buf[:0], stamps: e.stamps[:0]}
		p.pool.Put(e)
	}
}

// flush writes what is left.
func (e *encoder) flush() error {
	if e.err == nil && len(e.buf) > 0 {
		e.begun = true
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
	return e.err
}

// write hands what was appended to the writer, once it is much.
func (e *encoder) write() {
	if len(e.buf) >= fullBuffer {
		_ = e.flush() // The last flush returns the error.
	}
}

func (e *encoder) raw(s string) { e.buf = append(e.buf, s...) }

// value appends the data of a query's answer: {"resultType":…,"result":…}, without the closing brace, so that more
// fields can follow.
func (e *encoder) value(v promql.Value) {
	e.raw(`{"resultType":"` + string(v.Type()) + `","result":`)
	switch v := v.(type) {
	case promql.Vector:
		e.vector(v)
	case promql.Matrix:
		e.matrix(v)
	case promql.Scalar:
		e.point(v.T, v.V)
	case promql.String:
		e.buf = append(e.buf, '[')
		e.timestamp(v.T)
		e.buf = append(e.buf, ',')
		e.json(v.V)
		e.buf = append(e.buf, ']')
	}
}

func (e *encoder) vector(v promql.Vector) {
	e.buf = append(e.buf, '[')
	for i, s := range v {
		if e.err != nil {
			return // The client has gone away.
		}
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.raw(`{"metric":`)
		e.labels(s.Labels)
		if s.H != nil {
			e.raw(`,"histogram":`)
			e.histogramPoint(s.T, s.H)
		} else {
			e.raw(`,"value":`)
			e.point(s.T, s.F)
		}
		e.buf = append(e.buf, '}')
		e.write()
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) matrix(m promql.Matrix) {
	e.buf = append(e.buf, '[')
	for i, series := range m {
		if e.err != nil {
			return
		}
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.raw(`{"metric":`)
		e.labels(series.Labels)
		histograms := 0
		for _, h := range series.Points.H {
			if h != nil {
				histograms++
			}
		}
		if histograms < series.Points.Len() {
			e.points(`,"values":[`, &series.Points, false)
		}
		if histograms > 0 {
			e.points(`,"histograms":[`, &series.Points, true)
		}
		e.buf = append(e.buf, '}')
		e.write()
	}
	e.buf = append(e.buf, ']')
}

// points appends either the floats or the histograms of a series.
func (e *encoder) points(head string, points *sample.Points, histograms bool) {
	e.raw(head)
	first := true
	for i, p := range points.All() {
		if e.err != nil {
			return
		}
		if (p.H != nil) != histograms {
			continue
		}
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		if histograms {
			e.histogramPoint(p.T, p.H)
		} else {
			e.stamp(i, p.T)
			e.float(p.F)
			e.buf = append(e.buf, '"', ']')
		}
		e.write()
	}
	e.buf = append(e.buf, ']')
}

// stamp appends what precedes the value of the i-th point of a series.
func (e *encoder) stamp(i int, t int64) {
	if i < len(e.stamps) && e.stamps[i].t == t { // Fast path: see BenchmarkMatrix.
		s := &e.stamps[i]
		e.buf = append(e.buf, s.text[:s.n]...)
		return
	}
	from := len(e.buf)
	e.beginPoint(t)
	text := e.buf[from:]
	s := stamp{t: t, n: int8(len(text))}
	if copy(s.text[:], text) < len(text) {
		return
	}
	switch {
	case i < len(e.stamps):
		e.stamps[i] = s
	case i == len(e.stamps) && i < maxStamps:
		e.stamps = append(e.stamps, s)
	}
}

// beginPoint appends what precedes the value of a point.
func (e *encoder) beginPoint(t int64) {
	e.buf = append(e.buf, '[')
	e.timestamp(t)
	e.buf = append(e.buf, ',', '"')
}

func (e *encoder) point(t int64, v float64) {
	e.beginPoint(t)
	e.float(v)
	e.buf = append(e.buf, '"', ']')
}

// timestamp appends milliseconds as seconds, with three digits after the point unless they are zero.
func (e *encoder) timestamp(t int64) {
	if t < 0 {
		e.buf = append(e.buf, '-')
		t = -t
	}
	e.buf = strconv.AppendInt(e.buf, t/1000, 10)
	if ms := t % 1000; ms != 0 {
		e.buf = append(e.buf, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
}

// float appends a value as text: plain digits between 1e-6 and 1e21, else with an exponent.
func (e *encoder) float(v float64) {
	// Fast path: most values are whole numbers, of which each below 2^53 has one text only.
	if n := int64(v); float64(n) == v && n > -1<<53 && n < 1<<53 && (n != 0 || !math.Signbit(v)) {
		e.buf = strconv.AppendInt(e.buf, n, 10)
		return
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.buf = strconv.AppendFloat(e.buf, v, format, -1, 64)
}

func (e *encoder) labels(ls labels.Labels) {
	e.buf = append(e.buf, '{')
	first := true
	for name, value := range ls.All() {
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.string(name)
		e.buf = append(e.buf, ':')
		e.string(value)
	}
	e.buf = append(e.buf, '}')
}

// string appends a JSON string; the fast path is for those without anything to escape.
func (e *encoder) string(s string) {
	if !plain(s) {
		e.json(s)
		return
	}
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, s...)
	e.buf = append(e.buf, '"')
}

// strings appends a list, which can be long.
func (e *encoder) strings(list []string) {
	e.buf = append(e.buf, '[')
	for i, s := range list {
		if e.err != nil {
			return
		}
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.string(s)
		e.write()
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) json(v any) {
	b, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.buf = append(e.buf, b...)
}

// histogramPoint appends [t, {"count":…,"sum":…,"buckets":[[boundaries, lower, upper, count], …]}] with the buckets
// that hold something, in ascending order.
func (e *encoder) histogramPoint(t int64, h *histogram.FloatHistogram) {
	e.buf = append(e.buf, '[')
	e.timestamp(t)
	e.raw(`,{"count":"`)
	e.float(h.Count)
	e.raw(`","sum":"`)
	e.float(h.Sum)
	e.buf = append(e.buf, '"')
	first := true
	for _, b := range h.Buckets() {
		if b.Count == 0 {
			continue
		}
		if first {
			e.raw(`,"buckets":[`)
		} else {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.buf = append(e.buf, '[', '0'+byte(b.Boundaries()), ',', '"')
		e.float(b.Lower)
		e.buf = append(e.buf, '"', ',', '"')
		e.float(b.Upper)
		e.buf = append(e.buf, '"', ',', '"')
		e.float(b.Count)
		e.buf = append(e.buf, '"', ']')
	}
	if !first {
		e.buf = append(e.buf, ']')
	}
	e.raw("}]")
}
