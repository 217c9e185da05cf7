package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/narthex-io/narthex/bench/suite"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
	"github.com/narthex-io/narthex/tsdb"
)

// entries makes entries of a series.
func entries(s suite.Series) []storage.Entry {
	ls := labels.FromStrings(s.Labels...)
	all := make([]storage.Entry, len(s.T))
	for k, t := range s.T {
		all[k] = storage.Entry{Labels: ls, T: t}
		if len(s.H) == 0 {
			all[k].V = s.F[k]
			continue
		}
		h := &s.H[k]
		all[k].FloatHistogram = &histogram.FloatHistogram{
			Schema: suite.Schema, Count: h.Count, Sum: h.Sum, ZeroCount: h.ZeroCount,
			PositiveSpans: []histogram.Span{{Offset: suite.FirstBucket, Length: uint32(len(h.Buckets))}}, PositiveBuckets: h.Buckets,
		}
	}
	return all
}

// byName is a store for each metric, so that finding series costs next to nothing.
type byName map[string]*storagetest.Store

func load(ctx context.Context, size suite.Size) (storage.Queryable, error) {
	stores := byName{}
	apps := map[string]storage.Appender{}
	err := suite.Data(size, func(s suite.Series) error {
		name := s.Labels[1]
		if stores[name] == nil {
			stores[name] = storagetest.NewStore()
			stores[name].ShareHistograms()
			apps[name] = stores[name].Appender()
		}
		all := entries(s)
		return apps[name].Append(ctx, all, make([]storage.Outcome, len(all)))
	})
	for _, app := range apps {
		err = errors.Join(err, app.Commit(ctx))
	}
	return stores, err
}

func (b byName) Querier(mint, maxt int64) (storage.Querier, error) {
	q := &nameQuerier{of: map[string]storage.Querier{}}
	for name, store := range b {
		var err error
		if q.of[name], err = store.Querier(mint, maxt); err != nil {
			return nil, err
		}
		q.Querier = q.of[name]
	}
	return q, nil
}

// nameQuerier asks the store of the metric that is asked for.
type nameQuerier struct {
	storage.Querier
	of map[string]storage.Querier
}

func (q *nameQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual && q.of[m.Value] != nil {
			return q.of[m.Value].Select(ctx, sorted, hints, ms...)
		}
	}
	return q.Querier.Select(ctx, sorted, hints, ms...)
}

// write makes a data directory of blocks, or one whose samples are all in the log.
func write(ctx context.Context, size suite.Size, dir string, head bool) error {
	if head {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		db, err := tsdb.Open(ctx, tsdb.Options{Dir: dir, WALCompression: tsdb.CompressionNone})
		if err != nil {
			return err
		}
		return errors.Join(fill(ctx, db, size), db.Close())
	}
	work, err := os.MkdirTemp("", "narthex-head")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: work, WALCompression: tsdb.CompressionNone})
	if err != nil {
		return err
	}
	if err = fill(ctx, db, size); err == nil {
		err = db.Snapshot(ctx, dir, true)
	}
	return errors.Join(err, db.Close())
}

// fill appends everything, some time of all series after the other: a head does not take what is much older than the
// newest it has.
func fill(ctx context.Context, db *tsdb.DB, size suite.Size) error {
	var data []suite.Series
	if err := suite.Data(size, func(s suite.Series) error { data = append(data, s); return nil }); err != nil {
		return err
	}
	batch := int(30 * time.Minute / (time.Duration(size.IntervalMillis) * time.Millisecond))
	for from := 0; from < size.Samples; from += batch {
		to := min(from+batch, size.Samples)
		for _, s := range data {
			part := suite.Series{Labels: s.Labels, T: s.T[from:to]}
			if len(s.H) > 0 {
				part.H = s.H[from:to]
			} else {
				part.F = s.F[from:to]
			}
			if err := appendAll(ctx, db, entries(part)); err != nil {
				return err
			}
		}
	}
	return nil
}

func appendAll(ctx context.Context, db *tsdb.DB, all []storage.Entry) error {
	outcomes := make([]storage.Outcome, len(all))
	app := db.Appender()
	if err := app.Append(ctx, all, outcomes); err != nil {
		return err
	}
	for _, o := range outcomes {
		if o.Err != nil {
			return o.Err
		}
	}
	return app.Commit(ctx)
}
