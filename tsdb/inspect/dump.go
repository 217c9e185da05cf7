package inspect

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/merge"
)

// Format is what [Dump] prints.
type Format string

// The formats.
const (
	// FormatProm is a line for each sample: labels, value and milliseconds.
	FormatProm Format = "prom"
	// FormatSeriesJSON is a line for each series: its labels as an object.
	FormatSeriesJSON Format = "seriesjson"
	// FormatOpenMetrics is the text format, with what has no place in it left out: native histograms.
	FormatOpenMetrics Format = "openmetrics"
)

// DumpOptions say what is printed.
type DumpOptions struct {
	Querier storage.Querier
	// Matchers are sets of which a series must match one.
	Matchers [][]*labels.Matcher
	Format   Format
	// Failed is told of each series that could not be read to its end; the dump goes on behind it.
	Failed func(error)
}

// Dump prints the samples of the querier's range, series by series, of which it has one at a time in memory. They come in
// the order of their labels; with one set of matchers, series that only the head has come in the order in which they were
// created, as with promtool.
func Dump(ctx context.Context, w io.Writer, opts DumpOptions) error {
	d := dumper{w: bufio.NewWriterSize(w, 1<<16), format: opts.Format}
	set := selectAll(ctx, opts)
	var reader storage.ColumnReader
	for set.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := set.At()
		ls := s.Labels()
		if opts.Format == FormatSeriesJSON {
			if err := d.series(ls); err != nil {
				return err
			}
			continue
		}
		reader = s.Samples(reader)
		d.begin(ls)
		damage, err := d.samples(reader)
		if err != nil {
			return err
		}
		if damage != nil {
			opts.Failed(fmt.Errorf("series %s: %w", ls, damage))
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("select series: %w", err)
	}
	if opts.Format == FormatOpenMetrics {
		if _, err := d.w.WriteString("# EOF\n"); err != nil {
			return fmt.Errorf("write dump: %w", err)
		}
	}
	if err := d.w.Flush(); err != nil {
		return fmt.Errorf("write dump: %w", err)
	}
	return nil
}

func selectAll(ctx context.Context, opts DumpOptions) storage.SeriesSet {
	if len(opts.Matchers) == 1 {
		return opts.Querier.Select(ctx, false, nil, opts.Matchers[0]...)
	}
	sets := make([]storage.SeriesSet, len(opts.Matchers))
	for i, ms := range opts.Matchers {
		sets[i] = opts.Querier.Select(ctx, true, nil, ms...)
	}
	return merge.Series(sets...)
}

// dumper prints series after series.
type dumper struct {
	w      *bufio.Writer
	format Format
	// prefix is how each line of the series begins, line the memory for one.
	prefix, line []byte

	chunks  []storage.Chunk
	decoder chunk.Decoder
	columns chunk.Columns
}

// series prints labels.
func (d *dumper) series(ls labels.Labels) error {
	b, err := json.Marshal(ls)
	if err != nil {
		return fmt.Errorf("encode labels: %w", err)
	}
	if _, err := d.w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write dump: %w", err)
	}
	return nil
}

// begin prepares for the samples of a series.
func (d *dumper) begin(ls labels.Labels) {
	if d.format == FormatOpenMetrics {
		d.prefix = appendOpenMetrics(d.prefix[:0], ls)
		return
	}
	d.prefix = append(append(d.prefix[:0], ls.String()...), ' ')
}

// samples prints the samples of a reader. It takes them as chunks, because these tell whether a histogram is one of whole
// numbers. damage is what kept it from reading some of them.
func (d *dumper) samples(r storage.ColumnReader) (damage, err error) {
	c, ok := r.(storage.ChunkReader)
	if !ok {
		return fmt.Errorf("read chunks from %T", r), nil
	}
	d.chunks, damage = c.Chunks(d.chunks[:0])
	for i := range d.chunks {
		enc := chunk.Encoding(d.chunks[i].Encoding)
		if d.format == FormatOpenMetrics && enc.IsHistogram() {
			continue
		}
		d.columns = chunk.Columns{T: d.columns.T[:0], F: d.columns.F[:0], H: d.columns.H[:0], ST: d.columns.ST[:0]}
		if cerr := d.decoder.Decode(enc, d.chunks[i].Data, math.MinInt64, math.MaxInt64, &d.columns); cerr != nil && damage == nil {
			damage = cerr
		}
		if err := d.print(enc); err != nil {
			return damage, fmt.Errorf("write dump: %w", err)
		}
	}
	clear(d.chunks)
	return damage, nil
}

// print prints the samples of a chunk.
func (d *dumper) print(enc chunk.Encoding) error {
	c := &d.columns
	whole := enc == chunk.EncHistogram || enc == chunk.EncHistogramST
	for i, t := range c.T {
		b := append(d.line[:0], d.prefix...)
		switch {
		case i < len(c.H) && c.H[i] != nil:
			b = appendHistogram(b, c.H[i], whole)
		default:
			b = appendValue(b, c.F[i])
		}
		if d.format == FormatOpenMetrics {
			b = appendSeconds(b, t)
		} else {
			b = appendMillis(b, t)
		}
		d.line = append(b, '\n')
		if _, err := d.w.Write(d.line); err != nil {
			return err
		}
	}
	return nil
}
