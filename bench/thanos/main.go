// Command thanos serves the Thanos query engine to the comparison in bench/promql/queries. It is a module of its own
// because the newest published version of that engine builds with no newer Prometheus than v0.309. The files in memstore
// are links to those that upstream's engine is measured with.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	upstream "github.com/prometheus/prometheus/promql"
	upstreamtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/thanos-io/promql-engine/engine"

	"github.com/narthex-io/narthex/bench/suite"
	"github.com/narthex-io/narthex/bench/thanos/memstore"
)

func main() {
	series := flag.Int("series", 1000, "number of series")
	dir := flag.String("dir", "", "data directory; in memory without one")
	flag.Parse()
	if err := serve(suite.SizeFor(*series), *dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(size suite.Size, dir string) error {
	e := &memstore.Engine{Engine: engine.New(engine.Opts{EngineOpts: upstream.EngineOpts{
		MaxSamples: 500_000_000, Timeout: 10 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
	}})}
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
