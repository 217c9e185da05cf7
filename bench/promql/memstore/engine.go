package memstore

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"

	"github.com/narthex-io/narthex/bench/suite"
)

// Engine asks an engine with upstream's interface, for the suite.
type Engine struct {
	Engine interface {
		NewInstantQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, query string, ts time.Time) (promql.Query, error)
		NewRangeQuery(ctx context.Context, q storage.Queryable, opts promql.QueryOpts, query string, start, end time.Time, step time.Duration) (promql.Query, error)
	}
	Storage storage.Queryable
}

// Query implements the suite's interface.
func (e *Engine) Query(ctx context.Context, query string, start, end time.Time, step time.Duration) (answer suite.Answer, err error) {
	var q promql.Query
	if step == 0 {
		q, err = e.Engine.NewInstantQuery(ctx, e.Storage, nil, query, end)
	} else {
		q, err = e.Engine.NewRangeQuery(ctx, e.Storage, nil, query, start, end, step)
	}
	if err != nil {
		return answer, err
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return answer, res.Err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		for _, s := range v {
			if s.H != nil {
				s.F = s.H.Count
			}
			answer.Add(s.F)
		}
	case promql.Matrix:
		for _, s := range v {
			for _, p := range s.Floats {
				answer.Add(p.F)
			}
			for _, p := range s.Histograms {
				answer.Add(p.H.Count)
			}
		}
	}
	return answer, nil
}
