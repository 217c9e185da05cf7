// Command overrun measures how much work hostile queries still do after their deadline: the CPU time that the process
// uses between the deadline and the real end of the query, which does not depend on what else the machine does, and how
// late the answer comes. With -gaps it evaluates the queries to their end on one thread instead, and shows the longest
// stretches between two checks whether the query has ended, and where the checks are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/narthex-io/narthex/bench/suite"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var (
		series    = flag.String("series", "10000,100000", "numbers of series, with commas between")
		deadlines = flag.String("deadlines", "50ms,200ms,1s", "deadlines, with commas between")
		only      = flag.String("only", "", "leave out queries whose names do not contain this")
		gaps      = flag.Bool("gaps", false, "show the longest stretches without a check instead")
	)
	flag.Parse()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, text := range strings.Split(*series, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		if err := withSeries(ctx, n, func(db *tsdb.DB) error {
			for _, h := range hostileQueries() {
				if !strings.Contains(h.name, *only) {
					continue
				}
				if *gaps {
					err = showGaps(ctx, out, db, n, h)
				} else {
					err = showOverruns(ctx, out, db, n, h, *deadlines)
				}
				if err != nil {
					return err
				}
			}
			return out.Flush()
		}); err != nil {
			return err
		}
	}
	return nil
}

// samples is the number of samples of each series, a minute apart.
const samples = 60

// end is the time of the queries.
func end() time.Time {
	return time.UnixMilli(suite.Size{Samples: samples, IntervalMillis: 60_000}.End())
}

// withSeries calls f with a data directory whose samples are in memory: n series of each of two counters.
func withSeries(ctx context.Context, n int, f func(*tsdb.DB) error) error {
	dir, err := os.MkdirTemp("", "overrun")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: dir, WALCompression: tsdb.CompressionNone})
	if err != nil {
		return err
	}
	return errors.Join(fill(ctx, db, n), f(db), db.Close())
}

var errEnough = errors.New("the series that are needed are there")

func fill(ctx context.Context, db *tsdb.DB, n int) error {
	err := suite.Data(suite.Size{Series: n, Samples: samples, IntervalMillis: 60_000}, func(s suite.Series) error {
		if s.Labels[1] == "temperature" {
			return errEnough
		}
		ls := labels.FromStrings(s.Labels...)
		entries := make([]storage.Entry, len(s.T))
		for k, t := range s.T {
			entries[k] = storage.Entry{Labels: ls, T: t, V: s.F[k]}
		}
		app := db.Appender()
		return errors.Join(app.Append(ctx, entries, make([]storage.Outcome, len(entries))), app.Commit(ctx))
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
