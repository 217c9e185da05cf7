package influx

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
)

// run goes through one body.
type run struct {
	config *Config
	// keys are the series of all samples, as in an exposition, one after the other.
	keys    []byte
	samples []sample
	// byKey finds samples by their series, where the last one counts.
	byKey map[string]int
	line  line
	// values are those of all samples, one after the other.
	values []byte
	// names and metrics are how names are written, by what they are made of: there are few.
	names, metrics map[string]string
	// skipped counts the lines that could not be read, the first of them for reason.
	skipped int
	reason  error
}

// sample is a sample whose series lies in keys.
type sample struct {
	series, value span
	ts            int64 // milliseconds
}

// line is the content of one line, in memory that is used again.
type line struct {
	text   []byte // what the spans are of
	name   span   // the measurement
	labels []label
	tail   []byte // the labels, as they are written
	fields []field
	ts     int64
}

// span is a piece of a line's text.
type span struct{ from, to int }

type label struct {
	name  string
	value span
}

// field is a sample to come.
type field struct{ key, value span }

// stopEvery is how many lines are read between two looks at the clock.
const stopEvery = 256

func (r *run) read(ctx context.Context, body []byte) error {
	d := lineprotocol.NewDecoderWithBytes(body)
	for n := 1; d.Next(); n++ {
		if n%stopEvery == 0 {
			if err := stopped(ctx); err != nil {
				return err
			}
		}
		err := r.readLine(d)
		if err == nil {
			err = r.add()
		}
		if err == nil {
			continue
		}
		if !r.config.SkipInvalid {
			return err
		}
		if r.skipped++; r.skipped == 1 {
			r.reason = err
		}
	}
	return d.Err()
}

// stopped returns why to stop. A sandboxed guest has one thread, so that its clocks stand still while it computes: hence the
// look at the deadline itself, and the pause.
func stopped(ctx context.Context) error {
	runtime.Gosched()
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// readLine reads the next line into r.line.
func (r *run) readLine(d *lineprotocol.Decoder) error {
	l := &r.line
	l.text, l.labels, l.fields, l.ts = l.text[:0], l.labels[:0], l.fields[:0], 0
	name, err := d.Measurement()
	if err != nil {
		return err
	}
	l.name = l.keep(name)
	for {
		key, value, err := d.NextTag()
		if err != nil {
			return err
		}
		if key == nil {
			break
		}
		l.labels = append(l.labels, label{r.labelName(key), l.keep(value)})
	}
	for {
		key, kind, text, err := d.NextFieldBytes()
		if err != nil {
			return err
		}
		if key == nil {
			break
		}
		if err := r.addField(key, kind, text); err != nil {
			return err
		}
	}
	at, err := d.Time(r.config.Precision, time.Time{})
	if err == nil && !at.IsZero() {
		l.ts = at.UnixMilli()
	}
	return err
}

func (l *line) keep(text []byte) span {
	from := len(l.text)
	l.text = append(l.text, text...)
	return span{from, len(l.text)}
}

// addField adds a field to the line: as a sample to come, as a label, or not at all.
func (r *run) addField(key []byte, kind lineprotocol.ValueKind, text []byte) error {
	l := &r.line
	v, err := lineprotocol.NewValueFromBytes(kind, text)
	if err != nil {
		return fmt.Errorf("field %q of %q: %w", key, l.text[l.name.from:l.name.to], err)
	}
	switch kind {
	case lineprotocol.String:
		if r.config.StringLabels {
			l.labels = append(l.labels, label{r.labelName(key), l.keep(v.BytesV())})
		}
	case lineprotocol.Bool:
		number := byte('0')
		if v.BoolV() {
			number = '1'
		}
		l.fields = append(l.fields, field{l.keep(key), l.keep([]byte{number})})
	default:
		l.fields = append(l.fields, field{l.keep(key), l.keep(text)})
	}
	return nil
}

// add adds the line's samples.
func (r *run) add() error {
	l := &r.line
	slices.SortFunc(l.labels, func(a, b label) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(l.labels); i++ {
		if l.labels[i].name == l.labels[i-1].name {
			return fmt.Errorf("measurement %q: there are several tags or fields that become the label %s", l.text[l.name.from:l.name.to], l.labels[i].name)
		}
	}
	r.writeLabels(l)
	for _, f := range l.fields {
		from := len(r.values)
		r.values = append(r.values, l.text[f.value.from:f.value.to]...)
		value := span{from, len(r.values)}
		from = len(r.keys)
		r.appendSeries(l, f.key)
		key := r.keys[from:]
		if !r.config.Timestamps {
			if i, known := r.byKey[string(key)]; known {
				r.samples[i].value = value
				r.keys = r.keys[:from]
				continue
			}
			r.byKey[string(key)] = len(r.samples)
		}
		r.samples = append(r.samples, sample{span{from, len(r.keys)}, value, l.ts})
	}
	return nil
}

// write writes the exposition.
func (r *run) write(w io.Writer) error {
	const more = 16 // bytes of a timestamp and what stands between
	out := make([]byte, 0, len(r.keys)+len(r.values)+more*len(r.samples))
	for _, s := range r.samples {
		out = append(append(out, r.keys[s.series.from:s.series.to]...), ' ')
		out = append(out, r.values[s.value.from:s.value.to]...)
		if r.config.Timestamps && s.ts != 0 {
			out = strconv.AppendInt(append(out, ' '), s.ts, 10)
		}
		out = append(out, '\n')
	}
	_, err := w.Write(out)
	return err
}
