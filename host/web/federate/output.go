package federate

import (
	"fmt"
	"io"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
)

// output writes samples in a format. Those that follow each other and have the same name and type are a family.
type output struct {
	w        io.Writer
	format   expfmt.Format
	external []labels.Label
	names    names
	// buf is what is not written yet.
	buf     []byte
	written bool

	// The family at hand: in text, floats are written at once, all else is collected as a protobuf message.
	name   string
	typ    dto.MetricType
	within bool
	family family
}

// bufferBytes is how much is written at once.
const bufferBytes = 32 << 10

// instanceLabel is put where a series has none, so that who scrapes this does not put its own.
const instanceLabel = "instance"

func newOutput(w io.Writer, format expfmt.Format, external labels.Labels) *output {
	o := &output{w: w, format: format, names: names{scheme: format.ToEscapingScheme(), known: map[string]string{}}}
	for name, value := range external.All() {
		o.external = append(o.external, labels.Label{Name: name, Value: value})
	}
	if !external.Has(instanceLabel) {
		o.external = append(o.external, labels.Label{Name: instanceLabel})
		slices.SortFunc(o.external, func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) })
	}
	return o
}

// started reports whether the client has got something.
func (o *output) started() bool { return o.written }

func (o *output) text() bool { return o.format.FormatType() == expfmt.TypeTextPlain }

// add writes a sample.
func (o *output) add(l *latest) error {
	typ := typeOf(l.h)
	if l.h != nil && o.text() && !l.h.UsesCustomBuckets() {
		return nil // The format has nothing for it.
	}
	if !o.within || o.name != l.name || o.typ != typ {
		if err := o.endFamily(); err != nil {
			return err
		}
		o.begin(l.name, typ)
	}
	if o.text() && l.h == nil {
		o.addLine(l)
		return o.flush(bufferBytes)
	}
	return o.family.add(o, l)
}

func typeOf(h *histogram.FloatHistogram) dto.MetricType {
	switch {
	case h == nil:
		return dto.MetricType_UNTYPED
	case h.CounterResetHint == histogram.GaugeType:
		return dto.MetricType_GAUGE_HISTOGRAM
	}
	return dto.MetricType_HISTOGRAM
}

func (o *output) begin(name string, typ dto.MetricType) {
	o.name, o.typ, o.within = name, typ, true
	if o.text() && typ == dto.MetricType_UNTYPED {
		o.buf = append(o.buf, "# TYPE "...)
		o.buf = appendName(o.buf, o.names.escaped(name))
		o.buf = append(o.buf, " untyped\n"...)
		return
	}
	o.family.begin(o.names.escaped(name), typ)
}

// endFamily writes the family at hand if it was collected.
func (o *output) endFamily() error {
	if !o.within || o.text() && o.typ == dto.MetricType_UNTYPED {
		return nil
	}
	if o.format.FormatType() == expfmt.TypeProtoDelim {
		o.buf = protowire.AppendBytes(o.buf, o.family.message)
		return o.flush(bufferBytes)
	}
	if err := o.flush(0); err != nil {
		return err
	}
	var decoded dto.MetricFamily
	if err := proto.Unmarshal(o.family.message, &decoded); err != nil {
		return fmt.Errorf("encode %s: %w", o.name, err)
	}
	o.written = true
	return expfmt.NewEncoder(o.w, o.format).Encode(&decoded)
}

// end writes what is left.
func (o *output) end() error {
	if err := o.endFamily(); err != nil {
		return err
	}
	return o.flush(0)
}

// flush writes what is buffered if that is more than so many bytes.
func (o *output) flush(above int) error {
	if len(o.buf) <= above {
		return nil
	}
	o.written = true
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	if cap(o.buf) > 2*bufferBytes {
		o.buf = nil
	}
	return err
}

// names are escaped as the client asks for it, each once.
type names struct {
	scheme model.EscapingScheme
	known  map[string]string
}

func (n *names) escaped(name string) string {
	if n.scheme == model.NoEscaping || labels.IsValidLegacyMetricName(name) {
		return name
	}
	e, ok := n.known[name]
	if !ok {
		e = model.EscapeName(name, n.scheme)
		n.known[name] = e
	}
	return e
}
