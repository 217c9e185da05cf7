package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	upstream "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	upstreamtsdb "github.com/prometheus/prometheus/tsdb"

	"github.com/narthex-io/narthex/bench/promql/memstore"
	"github.com/narthex-io/narthex/bench/suite"
	"github.com/narthex-io/narthex/model/histogram"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// serve answers the questions on standard input. Without a directory the samples are in memory.
func serve(ctx context.Context, engine string, size suite.Size, dir string) error {
	switch engine {
	case "narthex":
		return serveNarthex(ctx, size, dir)
	case "prometheus":
		return servePrometheus(size, dir)
	default:
		return fmt.Errorf("no engine is called %q", engine)
	}
}

func servePrometheus(size suite.Size, dir string) error {
	e := &memstore.Engine{Engine: upstream.NewEngine(upstream.EngineOpts{
		MaxSamples: 500_000_000, Timeout: 10 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 }, Parser: parser.NewParser(parser.Options{}),
	})}
	if dir == "" {
		store, err := memstore.Load(size)
		if err != nil {
			return err
		}
		e.Storage = store
		return suite.Serve(e, os.Stdin, os.Stdout)
	}
	opts := upstreamtsdb.DefaultOptions()
	opts.RetentionDuration = 0
	db, err := upstreamtsdb.Open(dir, nil, nil, opts, nil)
	if err != nil {
		return err
	}
	e.Storage = db
	return errors.Join(suite.Serve(e, os.Stdin, os.Stdout), db.Close())
}

func serveNarthex(ctx context.Context, size suite.Size, dir string) error {
	engine, err := promql.New(promql.Options{MaxSamples: 500_000_000, MaxBytes: 16 << 30, Timeout: 10 * time.Minute})
	if err != nil {
		return err
	}
	e := &narthex{engine: engine}
	if dir == "" {
		if e.storage, err = load(ctx, size); err != nil {
			return err
		}
		return suite.Serve(e, os.Stdin, os.Stdout)
	}
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: dir})
	if err != nil {
		return err
	}
	e.storage = db
	return errors.Join(suite.Serve(e, os.Stdin, os.Stdout), db.Close())
}

// narthex asks our engine.
type narthex struct {
	engine  *promql.Engine
	storage storage.Queryable
}

func (e *narthex) Query(ctx context.Context, query string, start, end time.Time, step time.Duration) (answer suite.Answer, err error) {
	var res *promql.Result
	if step == 0 {
		res, err = e.engine.Instant(ctx, e.storage, query, promql.QueryOptions{}, end)
	} else {
		res, err = e.engine.Range(ctx, e.storage, query, promql.QueryOptions{}, start, end, step)
	}
	if err != nil {
		return answer, err
	}
	defer res.Release()
	add := func(f float64, h *histogram.FloatHistogram) {
		if h != nil {
			f = h.Count
		}
		answer.Add(f)
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		for _, s := range v {
			add(s.F, s.H)
		}
	case promql.Matrix:
		for _, s := range v {
			for i := range s.Points.Len() {
				p := s.Points.At(i)
				add(p.F, p.H)
			}
		}
	}
	return answer, nil
}
