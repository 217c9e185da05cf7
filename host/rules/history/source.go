package history

import (
	"context"
	"errors"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/merge"
)

// Source answers queries about the past.
type Source interface {
	// Instant evaluates a query at one time. Where the source can, it also sees what overlay holds.
	Instant(ctx context.Context, overlay storage.Queryable, query string, at time.Time) (promql.Vector, error)
	// Range evaluates a query at start, start+step, … up to end. A result that is a number has no labels.
	Range(ctx context.Context, overlay storage.Queryable, query string, start, end time.Time, step time.Duration) (promql.Matrix, error)
	// Overlays reports whether the source sees overlays.
	Overlays() bool
}

// Local is a storage as a source.
type Local struct {
	Engine  *promql.Engine
	Storage storage.Queryable
}

// Overlays is true.
func (*Local) Overlays() bool { return true }

// Instant evaluates a query at one time.
func (l *Local) Instant(ctx context.Context, overlay storage.Queryable, query string, at time.Time) (promql.Vector, error) {
	res, err := l.Engine.Instant(ctx, both{l.Storage, overlay}, query, promql.QueryOptions{}, at)
	if err != nil {
		return nil, err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return v, nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	default:
		return nil, errNoVector
	}
}

// Range evaluates a query over a range of time.
func (l *Local) Range(ctx context.Context, overlay storage.Queryable, query string, start, end time.Time, step time.Duration) (promql.Matrix, error) {
	res, err := l.Engine.Range(ctx, both{l.Storage, overlay}, query, promql.QueryOptions{}, start, end, step)
	if err != nil {
		return nil, err
	}
	m, ok := res.Value.(promql.Matrix)
	if !ok {
		return nil, errNoVector
	}
	return m, nil
}

var errNoVector = errors.New("rule result is not a vector or scalar")

// both are two storages as one; the second may be nil.
type both struct{ base, overlay storage.Queryable }

// Querier opens a snapshot of both.
func (b both) Querier(mint, maxt int64) (storage.Querier, error) {
	base, err := b.base.Querier(mint, maxt)
	if err != nil || b.overlay == nil {
		return base, err
	}
	over, err := b.overlay.Querier(mint, maxt)
	if err != nil {
		_ = base.Close() // The other error counts.
		return nil, err
	}
	return merge.Queriers(over, base), nil
}

// Empty is a storage that holds nothing.
type Empty struct{}

// Querier opens a snapshot of nothing.
func (Empty) Querier(int64, int64) (storage.Querier, error) { return emptyQuerier{}, nil }

type emptyQuerier struct{}

func (emptyQuerier) Close() error { return nil }

func (emptyQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return merge.Series()
}

func (emptyQuerier) LabelNames(context.Context, storage.LabelHints, ...*labels.Matcher) ([]string, storage.Warnings, error) {
	return nil, nil, nil
}

func (emptyQuerier) LabelValues(context.Context, string, storage.LabelHints, ...*labels.Matcher) ([]string, storage.Warnings, error) {
	return nil, nil, nil
}
