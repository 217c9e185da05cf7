package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/promslog"
	upexemplar "github.com/prometheus/prometheus/model/exemplar"
	uphistogram "github.com/prometheus/prometheus/model/histogram"
	uplabels "github.com/prometheus/prometheus/model/labels"
	upstorage "github.com/prometheus/prometheus/storage"
	uptsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// upstreamArchive is a directory that upstream has open.
type upstreamArchive struct{ db *uptsdb.DB }

func openUpstreamArchive(dir string, snapshot bool) (archive, error) {
	o := upstreamOptions()
	o.OutOfOrderTimeWindow = time.Hour.Milliseconds()
	o.EnableExemplarStorage, o.MaxExemplars = true, 100_000
	o.EnableMemorySnapshotOnShutdown = snapshot
	db, err := uptsdb.Open(dir, promslog.NewNopLogger(), nil, o, nil)
	if err != nil {
		return nil, err
	}
	db.DisableCompactions()
	return &upstreamArchive{db}, nil
}

func (a *upstreamArchive) write(ctx context.Context, batch []storage.Entry) error {
	app := a.db.AppenderV2(ctx)
	for i := range batch {
		e := &batch[i]
		var opts upstorage.AppendV2Options
		for _, x := range e.Exemplars {
			opts.Exemplars = append(opts.Exemplars, upexemplar.Exemplar{Labels: toUpstream(x.Labels), Value: x.Value, Ts: x.T, HasTs: x.HasT})
		}
		var h *uphistogram.Histogram
		var fh *uphistogram.FloatHistogram
		if o := e.Histogram; o != nil {
			h = &uphistogram.Histogram{
				Schema: o.Schema, ZeroThreshold: o.ZeroThreshold, ZeroCount: o.ZeroCount, Count: o.Count, Sum: o.Sum, CustomValues: o.CustomValues,
				PositiveSpans: upstreamSpans(o.PositiveSpans), PositiveBuckets: o.PositiveBuckets,
			}
		}
		if o := e.FloatHistogram; o != nil {
			fh = &uphistogram.FloatHistogram{
				Schema: o.Schema, ZeroThreshold: o.ZeroThreshold, ZeroCount: o.ZeroCount, Count: o.Count, Sum: o.Sum, CustomValues: o.CustomValues,
				PositiveSpans: upstreamSpans(o.PositiveSpans), PositiveBuckets: o.PositiveBuckets,
			}
		}
		if _, err := app.Append(0, toUpstream(e.Labels), 0, e.T, e.V, h, fh, opts); err != nil {
			return errors.Join(fmt.Errorf("append %s at %d: %w", e.Labels, e.T, err), app.Rollback())
		}
	}
	return app.Commit()
}

func toUpstream(ls labels.Labels) uplabels.Labels {
	b := uplabels.NewScratchBuilder(ls.Len())
	for name, value := range ls.All() {
		b.Add(name, value)
	}
	return b.Labels()
}

func fromUpstream(ls uplabels.Labels) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	ls.Range(func(l uplabels.Label) { b.Set(l.Name, l.Value) })
	return b.Labels()
}

func upstreamSpans(spans []histogram.Span) (all []uphistogram.Span) {
	for _, s := range spans {
		all = append(all, uphistogram.Span(s))
	}
	return all
}

func ourSpans(spans []uphistogram.Span) (all []histogram.Span) {
	for _, s := range spans {
		all = append(all, histogram.Span(s))
	}
	return all
}

func (a *upstreamArchive) cut(ctx context.Context) error {
	a.db.ForceHeadMMap()
	return a.db.Compact(ctx)
}

func (a *upstreamArchive) remove(ctx context.Context, mint, maxt int64, name string) error {
	return a.db.Delete(ctx, mint, maxt, uplabels.MustNewMatcher(uplabels.MatchEqual, "__name__", name))
}

func (a *upstreamArchive) close() error { return a.db.Close() }

func (a *upstreamArchive) read(ctx context.Context) (contents, error) {
	q, err := a.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return contents{}, err
	}
	c, err := readUpstream(ctx, q)
	if err != nil {
		return c, err
	}
	eq, err := a.db.ExemplarQuerier(ctx)
	if err != nil {
		return c, err
	}
	found, err := eq.Select(math.MinInt64, math.MaxInt64, []*uplabels.Matcher{uplabels.MustNewMatcher(uplabels.MatchRegexp, "__name__", ".+")})
	for _, s := range found {
		for _, x := range s.Exemplars {
			put(c.exemplars, fromUpstream(s.SeriesLabels).String(), x.Ts, exemplarText(x.Value, fromUpstream(x.Labels).String()))
		}
	}
	return c, err
}

// readUpstream reads all samples, and closes the querier.
func readUpstream(ctx context.Context, q upstorage.Querier) (c contents, err error) {
	defer func() { err = errors.Join(err, q.Close()) }()
	c = newContents()
	set := q.Select(ctx, true, nil, uplabels.MustNewMatcher(uplabels.MatchRegexp, "__name__", ".+"))
	for set.Next() {
		name := fromUpstream(set.At().Labels()).String()
		it := set.At().Iterator(nil)
		for {
			switch it.Next() {
			case chunkenc.ValFloat:
				t, v := it.At()
				put(c.samples, name, t, floatText(v))
				continue
			case chunkenc.ValHistogram, chunkenc.ValFloatHistogram:
				t, h := it.AtFloatHistogram(nil)
				put(c.samples, name, t, histogramText(&histogram.FloatHistogram{
					Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, ZeroCount: h.ZeroCount, Count: h.Count, Sum: h.Sum, CustomValues: h.CustomValues,
					PositiveSpans: ourSpans(h.PositiveSpans), NegativeSpans: ourSpans(h.NegativeSpans), PositiveBuckets: h.PositiveBuckets, NegativeBuckets: h.NegativeBuckets,
				}))
				continue
			}
			break
		}
		if err := it.Err(); err != nil {
			return c, fmt.Errorf("series %s: %w", name, err)
		}
	}
	return c, set.Err()
}

// readUpstreamReadOnly also returns the time up to which blocks hold what came in order, and that up to which there are
// blocks.
func readUpstreamReadOnly(ctx context.Context, dir, sandbox string) (c contents, inOrder, end int64, err error) {
	db, err := uptsdb.OpenDBReadOnly(dir, sandbox, promslog.NewNopLogger())
	if err != nil {
		return c, 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	blocks, err := db.Blocks()
	if err != nil {
		return c, 0, 0, err
	}
	for _, b := range blocks {
		m := b.Meta()
		end = max(end, m.MaxTime)
		if !m.Compaction.FromOutOfOrder() {
			inOrder = max(inOrder, m.MaxTime)
		}
	}
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return c, 0, 0, err
	}
	c, err = readUpstream(ctx, q)
	return c, inOrder, end, err
}

// ourArchive is a directory that narthex has open.
type ourArchive struct{ db *tsdb.DB }

func openOurArchive(ctx context.Context, dir string) (archive, error) {
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: dir, OutOfOrderWindow: time.Hour, MaxExemplars: 100_000})
	if err != nil {
		return nil, err
	}
	return &ourArchive{db}, nil
}

func (a *ourArchive) write(ctx context.Context, batch []storage.Entry) error {
	app := a.db.Appender()
	outcomes := make([]storage.Outcome, len(batch))
	if err := app.Append(ctx, batch, outcomes); err != nil {
		return err
	}
	for i, o := range outcomes {
		if err := errors.Join(o.Err, o.ExemplarErr); err != nil {
			return errors.Join(fmt.Errorf("append %s at %d: %w", batch[i].Labels, batch[i].T, err), app.Rollback())
		}
	}
	return app.Commit(ctx)
}

// cut runs the background until nothing is due any more.
func (a *ourArchive) cut(ctx context.Context) error {
	if s := a.db.HeadStats(); s.MaxTime-s.MinTime <= 3*hour {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error)
	go func() { done <- a.db.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if s := a.db.HeadStats(); s.MaxTime-s.MinTime <= 3*hour && !s.Late {
			cancel()
			return <-done
		}
	}
	cancel()
	return errors.Join(errors.New("no block was cut"), <-done)
}

func (a *ourArchive) remove(ctx context.Context, mint, maxt int64, name string) error {
	return a.db.Delete(ctx, mint, maxt, labels.MustNewMatcher(labels.MatchEqual, "__name__", name))
}

func (a *ourArchive) close() error { return a.db.Close() }

func (a *ourArchive) read(ctx context.Context) (contents, error) {
	c := newContents()
	all := labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+")
	q, err := a.db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return c, err
	}
	set := q.Select(ctx, true, nil, all)
	var cols storage.Columns
	for set.Next() {
		name := set.At().Labels().String()
		r := set.At().Samples(nil)
		for cols.Reset(); r.Read(&cols); {
			continue
		}
		for i, t := range cols.T {
			text := floatText(cols.F[i])
			if len(cols.H) > 0 && cols.H[i] != nil {
				text = histogramText(cols.H[i])
			}
			put(c.samples, name, t, text)
		}
		if err := r.Err(); err != nil {
			return c, errors.Join(fmt.Errorf("series %s: %w", name, err), q.Close())
		}
	}
	if err := errors.Join(set.Err(), q.Close()); err != nil {
		return c, err
	}
	found, err := a.db.Exemplars(ctx, math.MinInt64, math.MaxInt64, []*labels.Matcher{all})
	for _, s := range found {
		for _, x := range s.Exemplars {
			put(c.exemplars, s.Labels.String(), x.T, exemplarText(x.Value, x.Labels.String()))
		}
	}
	return c, err
}
