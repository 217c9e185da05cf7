package backfill

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
)

// runs sorts samples by window, series and time, as many at once as fit into memory. Each run is then a section of the
// spool file.
type runs struct {
	spool    *os.File
	w        *bufio.Writer
	written  int64
	sections []section
	// windows are those that have samples.
	windows map[int64]bounds

	span     int64
	name     string
	limit    int
	relabel  map[string]string
	samples  []point
	firstRow uint64
	series   seriesTable
	buf      []byte
}

// section is a run in the spool file.
type section struct{ from, to int64 }

// point is a sample of a run.
type point struct {
	t int64
	v float64
	// series is a number in the series table; row the number of the line behind the first of the run.
	series, row uint32
}

// maxSeriesBytes is how long the labels of the series in a run may be together, about.
const maxSeriesBytes = 48 << 20

func newRuns(spool *os.File, opts Options) *runs {
	r := &runs{
		spool: spool, w: bufio.NewWriterSize(spool, 1<<18), windows: map[int64]bounds{},
		span: opts.Span.Milliseconds(), name: opts.Name, limit: opts.RunSamples, relabel: opts.Labels,
	}
	r.series.reset()
	return r
}

// read takes in the whole input.
func (r *runs) read(ctx context.Context, opts Options) error {
	in := newLines(opts.Input)
	var s exposition.Scanner
	s.Reset(nil, exposition.Options{Format: exposition.OpenMetrics, Part: true})
	row, complete := uint64(1), false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		part, err := in.next()
		switch {
		case errors.Is(err, io.EOF) && complete:
			return r.endRun()
		case errors.Is(err, io.EOF):
			return r.mistake(row, "the file does not end with # EOF: it was cut off or is not OpenMetrics")
		case errors.Is(err, errLongLine):
			return r.mistake(row, err.Error())
		case err != nil:
			return err
		case complete:
			return r.mistake(row+1, "there is content after # EOF")
		}
		s.Continue(part)
		first := row
		if row, err = r.readPart(&s, row); err != nil {
			if syntax, ok := errors.AsType[*exposition.SyntaxError](err); ok {
				return r.mistake(first+uint64(syntax.Line)-1, fmt.Sprintf("%s: %q", syntax.Problem, syntax.Text))
			}
			return err
		}
		complete = s.Complete()
	}
}

// readPart takes in the lines of a part, which begins at a line, and returns the number of the line behind it.
func (r *runs) readPart(s *exposition.Scanner, row uint64) (uint64, error) {
	var exemplars [1]sample.Exemplar
	for ; ; row++ {
		kind, err := s.Next(exposition.ID{})
		switch {
		case err != nil || kind == exposition.End:
			return row, err
		case kind != exposition.Series:
			continue
		}
		if s.HasExemplars() { // Blocks hold none, but what is written must be right.
			if _, err := s.Exemplars(exemplars[:0]); err != nil {
				return row, err
			}
		}
		t, ok := s.Timestamp()
		if !ok {
			return row, r.mistake(row, fmt.Sprintf("sample of %s has no timestamp: without one, it has no place in a block", s.Series()))
		}
		if t == math.MinInt64 || windowOf(t, r.span) >= math.MaxInt64/r.span || windowOf(t, r.span) <= math.MinInt64/r.span {
			return row, r.mistake(row, fmt.Sprintf("timestamp of %s is out of range", s.Series()))
		}
		if err := r.add(s, t, row); err != nil {
			return row, err
		}
	}
}

func (r *runs) mistake(row uint64, problem string) error {
	return &Error{Name: r.name, Line: row, Problem: problem}
}

// add takes in the sample that the scanner is at.
func (r *runs) add(s *exposition.Scanner, t int64, row uint64) error {
	if len(r.samples) >= r.limit || r.series.bytes > maxSeriesBytes || len(r.samples) > 0 && row-r.firstRow > math.MaxUint32 {
		if err := r.endRun(); err != nil {
			return err
		}
	}
	if len(r.samples) == 0 {
		r.firstRow = row
	}
	number, problem, err := r.series.find(s, r.relabel)
	if err != nil {
		return err
	}
	if problem != "" {
		return r.mistake(row, problem)
	}
	r.samples = append(r.samples, point{t: t, v: s.Value(), series: number, row: uint32(row - r.firstRow)})
	return nil
}

// endRun sorts the samples at hand and puts them aside.
func (r *runs) endRun() error {
	if len(r.samples) == 0 {
		return nil
	}
	rank := r.series.ranks()
	slices.SortFunc(r.samples, func(a, b point) int {
		if c := cmp.Compare(windowOf(a.t, r.span), windowOf(b.t, r.span)); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(rank[a.series], rank[b.series]), cmp.Compare(a.t, b.t), cmp.Compare(a.row, b.row))
	})
	from := r.written
	for rest := r.samples; len(rest) > 0; {
		window, n := windowOf(rest[0].t, r.span), 1
		for n < len(rest) && rest[n].series == rest[0].series && windowOf(rest[n].t, r.span) == window {
			n++
		}
		r.windows[window] = r.boundsOf(window).with(rest[0].t).with(rest[n-1].t)
		if err := r.put(window, rest[:n]); err != nil {
			return fmt.Errorf("put samples aside: %w", err)
		}
		rest = rest[n:]
	}
	if err := r.w.Flush(); err != nil {
		return fmt.Errorf("put samples aside: %w", err)
	}
	r.sections = append(r.sections, section{from, r.written})
	r.samples = r.samples[:0]
	r.series.reset()
	return nil
}

func (r *runs) boundsOf(window int64) bounds {
	if b, ok := r.windows[window]; ok {
		return b
	}
	return noBounds()
}

// put writes a group: the samples of one series in one window. Its form is: window, number of labels, names and values,
// number of samples, and for each the time since the one before, the line and the value.
func (r *runs) put(window int64, samples []point) error {
	b := binary.AppendVarint(r.buf[:0], window)
	ls := r.series.all[samples[0].series]
	b = binary.AppendUvarint(b, uint64(ls.Len()))
	for name, value := range ls.All() {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
		b = append(binary.AppendUvarint(b, uint64(len(value))), value...)
	}
	b = binary.AppendUvarint(b, uint64(len(samples)))
	last := window * r.span
	for _, s := range samples {
		b = binary.AppendUvarint(b, uint64(s.t-last))
		b = binary.AppendUvarint(b, r.firstRow+uint64(s.row))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(s.v))
		last = s.t
	}
	r.buf = b
	r.written += int64(len(b))
	_, err := r.w.Write(b)
	return err
}

// seriesTable numbers the series of a run.
type seriesTable struct {
	// byText leads from text to numbers, for each way in which labels are rounded; byLabels from labels.
	byText   [3]map[string]uint32
	byLabels map[string]uint32
	all      []labels.Labels
	bytes    int

	last       []byte
	lastClass  int
	lastNumber uint32
	pairs      []labels.Label
	builder    labels.ScratchBuilder
	key        []byte
}

func (t *seriesTable) reset() {
	for i := range t.byText {
		t.byText[i] = map[string]uint32{}
	}
	t.byLabels = map[string]uint32{}
	t.all, t.bytes, t.last = nil, 0, t.last[:0]
}

// find returns the number of the series that a scanner is at. A problem is one of the line.
func (t *seriesTable) find(s *exposition.Scanner, relabel map[string]string) (number uint32, problem string, err error) {
	class := 0
	switch s.MetricType() {
	case sample.TypeHistogram:
		class = 1
	case sample.TypeSummary:
		class = 2
	}
	text := s.Series()
	if class == t.lastClass && bytes.Equal(text, t.last) {
		return t.lastNumber, "", nil // Fast path: dumps have the samples of a series one after another.
	}
	number, ok := t.byText[class][string(text)]
	if !ok {
		if number, problem, err = t.add(s, relabel); err != nil || problem != "" {
			return 0, problem, err
		}
		t.byText[class][string(text)] = number
		t.bytes += len(text)
	}
	t.last, t.lastClass, t.lastNumber = append(t.last[:0], text...), class, number
	return number, "", nil
}

// add parses the labels of a series, which may have been seen in another form.
func (t *seriesTable) add(s *exposition.Scanner, relabel map[string]string) (number uint32, problem string, err error) {
	if t.pairs, err = s.Labels(t.pairs[:0]); err != nil {
		return 0, "", err
	}
	t.builder.Reset()
	for _, l := range t.pairs {
		t.builder.Add(l.Name, l.Value)
	}
	t.builder.Sort()
	if name, twice := t.builder.Duplicate(); twice {
		return 0, fmt.Sprintf("%s has the label %q twice", s.Series(), name), nil
	}
	ls := t.builder.Labels()
	if len(relabel) > 0 {
		b := labels.NewBuilder(ls)
		for name, value := range relabel {
			b.Set(name, value)
		}
		ls = b.Labels()
	}
	if ls.IsEmpty() {
		return 0, fmt.Sprintf("%s has no labels", s.Series()), nil
	}
	t.key = ls.AppendKey(t.key[:0])
	number, ok := t.byLabels[string(t.key)]
	if !ok {
		number = uint32(len(t.all))
		t.all = append(t.all, ls)
		t.byLabels[string(t.key)] = number
		t.bytes += 2 * len(t.key)
	}
	return number, "", nil
}

// ranks returns the place of each series in label order.
func (t *seriesTable) ranks() []uint32 {
	order := make([]uint32, len(t.all))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int { return labels.Compare(t.all[a], t.all[b]) })
	rank := make([]uint32, len(order))
	for place, number := range order {
		rank[number] = uint32(place)
	}
	return rank
}
