package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/index"
)

// AnalyzeOptions say what is analysed.
type AnalyzeOptions struct {
	// Dir is the data directory, Block the name of a block in it; empty means the one that was made last.
	Dir, Block string
	// Limit is the length of each list.
	Limit int
	// Extended looks into the chunks, too.
	Extended bool
	// Selector is the text of Matchers, without which all series count.
	Selector string
	Matchers []*labels.Matcher
	// Damaged is told of each series and chunk that can't be read, and is left out.
	Damaged func(error)
}

// Analyze prints which labels make a block large: what has many values, what is in many series, and what is in series
// that do not last. Entries with the same number come in the order of their names.
func Analyze(ctx context.Context, w io.Writer, opts AnalyzeOptions) (err error) {
	if opts.Block == "" {
		if opts.Block, err = newest(opts.Dir); err != nil {
			return err
		}
	}
	if _, err := ulid.ParseStrict(opts.Block); err != nil || gone(filepath.Join(opts.Dir, opts.Block)) {
		return noSuchBlock(opts.Dir, opts.Block)
	}
	b, err := block.Open(filepath.Join(opts.Dir, opts.Block))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	a := analysis{AnalyzeOptions: opts, w: w, b: b, meta: b.Meta(), index: b.Index()}
	if err := a.selectSeries(ctx); err != nil {
		return fmt.Errorf("analyze block %s: %w", opts.Block, err)
	}
	if err := a.report(ctx); err != nil {
		return fmt.Errorf("analyze block %s: %w", opts.Block, err)
	}
	return nil
}

// newest returns the name of the block that was made last.
func newest(dir string) (string, error) {
	names, err := blockNames(dir)
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return "", fmt.Errorf("%s has no blocks", dir)
	}
	return slices.MaxFunc(names, func(a, b string) int { return cmp.Compare(timeOf(a), timeOf(b)) }), nil
}

func timeOf(name string) uint64 {
	id, err := ulid.ParseStrict(name)
	if err != nil {
		return 0
	}
	return id.Time()
}

func noSuchBlock(dir, name string) error {
	names, err := blockNames(dir)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("no block %s: %s has no blocks", name, dir)
	}
	return fmt.Errorf("no block %s: %s has %s", name, dir, strings.Join(names, ", "))
}

// analysis counts what a block holds.
type analysis struct {
	AnalyzeOptions
	w     io.Writer
	b     *block.Block
	meta  block.Meta
	index *index.Reader
	ids   []uint32
}

func (a *analysis) selectSeries(ctx context.Context) (err error) {
	if len(a.Matchers) > 0 {
		a.ids, err = index.PostingsForMatchers(ctx, a.index, a.Matchers...)
		return err
	}
	all, err := a.index.AllPostings(ctx)
	if err == nil {
		a.ids = all.AppendTo(nil)
	}
	return err
}

// names returns the label names of the series that count.
func (a *analysis) names(ctx context.Context) ([]string, error) {
	if len(a.Matchers) > 0 {
		return a.index.LabelNamesOf(ctx, a.ids)
	}
	return a.index.LabelNames(), nil
}

func (a *analysis) values(ctx context.Context, name string) ([]string, error) {
	if len(a.Matchers) > 0 {
		return index.LabelValues(ctx, a.index, name, nil, a.Matchers...)
	}
	return a.index.LabelValues(name, 0), nil
}

// tally are numbers by label name, or by NAME=VALUE.
type tally map[string]uint64

// churn is what the series tell.
type churn struct {
	// uncovered are the milliseconds of the block in which series with a label were not there.
	uncoveredNames, uncoveredPairs tally
	// pairs count the series that have one, metrics those of a metric name.
	pairs, metrics tally
	entries        int
}

// count goes through the series.
func (a *analysis) count(ctx context.Context) (churn, error) {
	c := churn{tally{}, tally{}, tally{}, tally{}, 0}
	var scratch index.Scratch
	var chunks []index.ChunkMeta
	for i, id := range a.ids {
		if i%1024 == 0 && ctx.Err() != nil {
			return c, ctx.Err()
		}
		ls, err := a.index.Labels(id, &scratch)
		if err == nil {
			chunks, err = a.index.Chunks(id, math.MinInt64, math.MaxInt64, chunks[:0])
		}
		if err != nil {
			a.Damaged(fmt.Errorf("%s: %w", filepath.Join(a.b.Dir(), "index"), err))
			continue
		}
		uncovered := uint64(a.meta.MaxTime - a.meta.MinTime)
		if len(chunks) > 0 {
			uncovered -= uint64(chunks[len(chunks)-1].MaxTime - chunks[0].MinTime)
		}
		for name, value := range ls.All() {
			pair := name + "=" + value
			c.uncoveredNames[name] += uncovered
			c.uncoveredPairs[pair] += uncovered
			c.pairs[pair]++
			c.entries++
			if name == labels.MetricName {
				c.metrics[value]++
			}
		}
	}
	return c, nil
}

// report prints all there is.
func (a *analysis) report(ctx context.Context) error {
	p := &printer{w: a.w, limit: a.Limit}
	p.linef("Block ID: %s", a.meta.ULID)
	p.linef("Duration: %s", span(a.meta))
	p.linef("Total Series: %d", a.meta.Stats.NumSeries)
	if len(a.Matchers) > 0 {
		p.linef("Matcher: %s", a.Selector)
	}
	names, err := a.names(ctx)
	if err != nil {
		return err
	}
	p.linef("Label names: %d", len(names))
	if len(a.Matchers) > 0 {
		p.linef("Matched series: %d", len(a.ids))
	}
	c, err := a.count(ctx)
	if err != nil {
		return err
	}
	p.linef("Postings (unique label pairs): %d", len(c.pairs))
	p.linef("Postings entries (total label pairs): %d", c.entries)
	lengths, numbers := tally{}, tally{}
	for _, name := range names {
		values, err := a.values(ctx, name)
		if err != nil {
			return err
		}
		for _, v := range values {
			lengths[name] += uint64(len(v))
		}
		numbers[name] = uint64(len(values))
	}
	p.list("Label pairs most involved in churning", a.perBlock(c.uncoveredPairs))
	p.list("Label names most involved in churning", a.perBlock(c.uncoveredNames))
	p.list("Most common label pairs", c.pairs)
	p.list("Label names with highest cumulative label value length", lengths)
	p.list("Highest cardinality labels", numbers)
	p.list("Highest cardinality metric names", c.metrics)
	if a.Extended && p.err == nil {
		return a.compaction(ctx, p)
	}
	return p.err
}

// perBlock turns milliseconds into the number of series that would have to be missing all of the time.
func (a *analysis) perBlock(uncovered tally) tally {
	out := make(tally, len(uncovered))
	for key, millis := range uncovered {
		out[key] = uint64(float64(millis) / float64(a.meta.MaxTime-a.meta.MinTime))
	}
	return out
}

// printer prints lines until that fails.
type printer struct {
	w     io.Writer
	limit int
	err   error
}

func (p *printer) linef(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// list prints the largest entries.
func (p *printer) list(title string, t tally) {
	type entry struct {
		key string
		n   uint64
	}
	all := make([]entry, 0, len(t))
	for key, n := range t {
		all = append(all, entry{key, n})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.key, b.key)) })
	p.linef("\n%s:", title)
	for _, e := range all[:min(len(all), max(p.limit, 0))] {
		p.linef("%d %s", e.n, e.key)
	}
}
