package push

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// batch is what an exposition says, in the order of its lines.
type batch struct {
	series   []*series
	families []*family
}

// series is a series with its samples.
type series struct {
	labels    labels.Labels
	points    []point
	exemplars []sample.Exemplar
	// family is what is known about the metric; nil if nothing is.
	family *family
}

// point is a sample; st is when its counting started, or zero. Times are in milliseconds.
type point struct {
	t, st int64
	v     float64
}

// family is what an exposition says about a metric.
type family struct {
	name, help, unit string
	typ              sample.MetricType
}

func (b *batch) count() (s Sent) {
	s.Series = len(b.series)
	for _, one := range b.series {
		s.Samples += len(one.points)
		s.Exemplars += len(one.exemplars)
	}
	return s
}

// reader makes a batch of an exposition.
type reader struct {
	batch
	opts    *Options
	scanner exposition.Scanner
	byKey   map[string]*series
	byName  map[string]*family
	// current is the family of the latest metadata.
	current *family
	pairs   []labels.Label
	builder *labels.Builder
}

func read(body []byte, opts *Options) (*batch, error) {
	format := exposition.Text
	if bytes.HasSuffix(bytes.TrimRight(body, "\n"), []byte("# EOF")) {
		format = exposition.OpenMetrics
	}
	r := &reader{
		opts: opts, byKey: map[string]*series{}, byName: map[string]*family{}, builder: labels.NewBuilder(labels.EmptyLabels()),
	}
	r.scanner.Reset(body, exposition.Options{Format: format, StartTimes: true, Verbatim: true})
	for {
		kind, err := r.scanner.Next(exposition.ID{})
		if err != nil {
			return nil, err
		}
		switch kind {
		case exposition.End:
			return &r.batch, nil
		case exposition.Series:
			if err := r.addSample(); err != nil {
				return nil, err
			}
		default:
			r.describe(kind)
		}
	}
}

// describe takes a line of metadata.
func (r *reader) describe(kind exposition.Kind) {
	name, text := r.scanner.Meta()
	f := r.byName[string(name)]
	if f == nil {
		f = &family{name: string(name), typ: sample.TypeUnknown}
		r.byName[f.name] = f
		r.families = append(r.families, f)
	}
	r.current = f
	switch kind {
	case exposition.Help:
		f.help = r.scanner.HelpText(text)
	case exposition.Unit:
		f.unit = string(text)
	case exposition.Type:
		f.typ = r.scanner.MetricType()
	default:
	}
}

// exportedPrefix starts the name of a label whose own name is that of a label to add.
const exportedPrefix = "exported_"

func (r *reader) addSample() (err error) {
	s := &r.scanner
	if r.pairs, err = s.Labels(r.pairs[:0]); err != nil {
		return err
	}
	r.builder.Reset(labels.EmptyLabels())
	for _, l := range r.pairs {
		r.builder.Set(l.Name, l.Value)
	}
	for name, value := range r.opts.Labels {
		if own := r.builder.Get(name); own != "" {
			r.builder.Set(exportedPrefix+name, own)
		}
		r.builder.Set(name, value)
	}
	ls := r.builder.Labels()
	key := string(ls.AppendKey(nil))
	one := r.byKey[key]
	if one == nil {
		one = &series{labels: ls}
		if s.InFamily() {
			one.family = r.current
		}
		r.byKey[key] = one
		r.series = append(r.series, one)
	}
	t, ok := s.Timestamp()
	if !ok {
		t = r.opts.Now.UnixMilli()
	}
	p := point{t: t, st: s.StartTime(), v: s.Value()}
	at, _ := slices.BinarySearchFunc(one.points, p, func(a, b point) int { return cmp.Compare(a.t, b.t+1) })
	one.points = slices.Insert(one.points, at, p) // Receivers want them in the order of time.
	if s.HasExemplars() {
		one.exemplars, err = s.Exemplars(one.exemplars)
		for i := range one.exemplars {
			if e := &one.exemplars[i]; !e.HasT {
				e.T, e.HasT = t, true
			}
		}
	}
	return err
}
