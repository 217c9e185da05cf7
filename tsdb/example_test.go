package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// A storage is opened, two batches are written to it, and read back.
func Example() {
	dir, err := os.MkdirTemp("", "tsdb")
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(writeAndRead(context.Background(), dir), os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// {__name__="up", job="api"} [1000 16000] [1 1]
	// {__name__="up", job="node"} [1000 16000] [1 0]
}

func writeAndRead(ctx context.Context, dir string) (err error) {
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	// The background cuts, merges and deletes blocks. It ends before the storage is closed.
	running, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- db.Run(running) }()
	defer func() { stop(); err = errors.Join(err, <-done) }()

	batch := []storage.Entry{
		{Labels: labels.FromStrings("__name__", "up", "job", "node"), T: 1000, V: 1},
		{Labels: labels.FromStrings("__name__", "up", "job", "api"), T: 1000, V: 1},
	}
	if err := write(ctx, db, batch); err != nil {
		return err
	}
	// The next samples of the same series go by the references that write left in the batch.
	batch[0].T, batch[0].V = 16_000, 0
	batch[1].T, batch[1].V = 16_000, 1
	if err := write(ctx, db, batch); err != nil {
		return err
	}
	return show(ctx, db, 0, 60_000, labels.MustNewMatcher(labels.MatchEqual, "__name__", "up"))
}

// write appends a batch: all of it is there when write returns, or nothing is.
func write(ctx context.Context, db *tsdb.DB, batch []storage.Entry) error {
	app := db.Appender()
	outcomes := make([]storage.Outcome, len(batch))
	if err := app.Append(ctx, batch, outcomes); err != nil {
		return errors.Join(err, app.Rollback())
	}
	for i, o := range outcomes {
		if o.Err != nil {
			fmt.Println("rejected:", batch[i].Labels, o.Err) // The others are fine.
		}
		batch[i].Ref = o.Ref
	}
	return app.Commit(ctx)
}

// show prints the samples of the selected series in [mint, maxt], in milliseconds.
func show(ctx context.Context, db *tsdb.DB, mint, maxt int64, matchers ...*labels.Matcher) error {
	q, err := db.Querier(mint, maxt)
	if err != nil {
		return err
	}
	set := q.Select(ctx, true, nil, matchers...)
	var reader storage.ColumnReader
	for set.Next() {
		var samples storage.Columns
		reader = set.At().Samples(reader) // Its memory is used again.
		for reader.Read(&samples) {
			continue
		}
		if err := reader.Err(); err != nil {
			return errors.Join(err, q.Close())
		}
		fmt.Println(set.At().Labels(), samples.T, samples.F)
	}
	return errors.Join(set.Err(), q.Close())
}
