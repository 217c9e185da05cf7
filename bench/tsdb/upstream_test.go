package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/compression"
)

// upstreamEngine is upstream's, with the options of its server.
type upstreamEngine struct {
	upstreamReader
	db   *tsdb.DB
	refs map[int][]storage.SeriesRef
}

func upstreamOptions() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.WALCompression = compression.Snappy
	o.RetentionDuration = (15 * 24 * time.Hour).Milliseconds()
	o.MaxBlockDuration = (36 * time.Hour).Milliseconds()
	return o
}

func openUpstream(_ context.Context, dir string) (engine, error) {
	db, err := tsdb.Open(dir, promslog.NewNopLogger(), nil, upstreamOptions(), nil)
	if err != nil {
		return nil, err
	}
	db.DisableCompactions()
	e := &upstreamEngine{db: db, refs: map[int][]storage.SeriesRef{}}
	e.upstreamReader = upstreamReader{open: db.Querier, shut: db.Close}
	return e, nil
}

func (e *upstreamEngine) append(ctx context.Context, t *target) error {
	app := e.db.AppenderV2(ctx)
	refs, known := e.refs[t.number]
	if !known {
		refs = make([]storage.SeriesRef, len(t.series))
		e.refs[t.number] = refs
	}
	var kv []string
	var opts storage.AppendV2Options
	for i := range refs {
		var ls labels.Labels
		if !known {
			kv = t.labelsOf(&t.series[i], kv)
			ls = labels.FromStrings(kv...)
		}
		ref, err := app.Append(refs[i], ls, 0, t.time, t.values[i], nil, nil, opts)
		if err != nil {
			return fmt.Errorf("append: %w", err)
		}
		refs[i] = ref
	}
	return app.Commit()
}

func (e *upstreamEngine) compact(ctx context.Context, want int) error {
	if err := e.db.Compact(ctx); err != nil {
		return err
	}
	if n := len(e.db.Blocks()); n != want {
		return fmt.Errorf("there are %d blocks, not %d", n, want)
	}
	return nil
}

func (e *upstreamEngine) snapshot(_ context.Context, dir string) error {
	return e.db.Snapshot(dir, true)
}

func mergeUpstream(ctx context.Context, dest string, blocks []string) error {
	c, err := tsdb.NewLeveledCompactor(ctx, nil, promslog.NewNopLogger(), []int64{1, 2}, chunkenc.NewPool(), nil)
	if err != nil {
		return err
	}
	_, err = c.Compact(dest, blocks, nil)
	return err
}

// upstreamReader asks queriers.
type upstreamReader struct {
	open func(mint, maxt int64) (storage.Querier, error)
	shut func() error
}

type upstreamBlock struct {
	upstreamReader
	block *tsdb.Block
}

func openUpstreamBlock(dir string) (blockReader, error) {
	b, err := tsdb.OpenBlock(promslog.NewNopLogger(), dir, chunkenc.NewPool(), nil)
	if err != nil {
		return nil, err
	}
	open := func(mint, maxt int64) (storage.Querier, error) { return tsdb.NewBlockQuerier(b, mint, maxt) }
	return &upstreamBlock{upstreamReader{open: open, shut: b.Close}, b}, nil
}

func (b *upstreamBlock) postings(ctx context.Context, ms ...matcher) (n int, err error) {
	ix, err := b.block.Index()
	if err != nil {
		return 0, err
	}
	p, err := tsdb.PostingsForMatchers(ctx, ix, upstreamMatchers(ms)...)
	if err != nil {
		return 0, errors.Join(err, ix.Close())
	}
	for p.Next() {
		n++
	}
	return n, errors.Join(p.Err(), ix.Close())
}

func (r *upstreamReader) close() error { return r.shut() }

func upstreamMatchers(ms []matcher) []*labels.Matcher {
	all := make([]*labels.Matcher, len(ms))
	for i, m := range ms {
		op := map[string]labels.MatchType{"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp}[m.op]
		all[i] = labels.MustNewMatcher(op, m.name, m.value)
	}
	return all
}

// with calls f with a querier over all times.
func (r *upstreamReader) with(mint, maxt int64, f func(storage.Querier) error) error {
	q, err := r.open(mint, maxt)
	if err != nil {
		return err
	}
	return errors.Join(f(q), q.Close())
}

func (r *upstreamReader) count(ctx context.Context, ms ...matcher) (n int, err error) {
	err = r.with(math.MinInt64, math.MaxInt64, func(q storage.Querier) error {
		set := q.Select(ctx, false, &storage.SelectHints{Start: math.MinInt64, End: math.MaxInt64, Func: "series"}, upstreamMatchers(ms)...)
		for set.Next() {
			n++
		}
		return set.Err()
	})
	return n, err
}

func (r *upstreamReader) read(ctx context.Context, mint, maxt int64, ms ...matcher) (n int, sum uint64, err error) {
	err = r.with(mint, maxt, func(q storage.Querier) error {
		set := q.Select(ctx, false, &storage.SelectHints{Start: mint, End: maxt}, upstreamMatchers(ms)...)
		var it chunkenc.Iterator
		for set.Next() {
			it = set.At().Iterator(it)
			for it.Next() != chunkenc.ValNone {
				_, v := it.At()
				n++
				sum ^= math.Float64bits(v)
			}
			if it.Err() != nil {
				return it.Err()
			}
		}
		return set.Err()
	})
	return n, sum, err
}

func (r *upstreamReader) labelNames(ctx context.Context, ms ...matcher) (names []string, err error) {
	err = r.with(math.MinInt64, math.MaxInt64, func(q storage.Querier) error {
		names, _, err = q.LabelNames(ctx, nil, upstreamMatchers(ms)...)
		return err
	})
	return names, err
}

func (r *upstreamReader) labelValues(ctx context.Context, name string, ms ...matcher) (values []string, err error) {
	err = r.with(math.MinInt64, math.MaxInt64, func(q storage.Querier) error {
		values, _, err = q.LabelValues(ctx, name, nil, upstreamMatchers(ms)...)
		return err
	})
	return values, err
}
