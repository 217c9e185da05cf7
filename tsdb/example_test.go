package tsdb_test

import (
	"context"
	"fmt"
	"os"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

// A storage is opened, a batch is written to it, and read back.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tsdb")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	db, err := tsdb.Open(ctx, tsdb.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	defer db.Close() //nolint:errcheck // nothing was written since the last commit

	app := db.Appender()
	up := labels.FromStrings("__name__", "up", "job", "node")
	outcomes := make([]storage.Outcome, 2)
	err = app.Append(ctx, []storage.Entry{{Labels: up, T: 1000, V: 1}, {Labels: up, T: 2000, V: 0}}, outcomes)
	if err != nil {
		panic(err)
	}
	if err := app.Commit(ctx); err != nil {
		panic(err)
	}

	q, err := db.Querier(0, 10_000)
	if err != nil {
		panic(err)
	}
	defer q.Close() //nolint:errcheck // read to the end
	set := q.Select(ctx, true, nil, labels.MustNewMatcher(labels.MatchEqual, "job", "node"))
	for set.Next() {
		var c storage.Columns
		for r := set.At().Samples(nil); r.Read(&c); {
			continue
		}
		fmt.Println(set.At().Labels(), c.T, c.F)
	}
	// Output: {__name__="up", job="node"} [1000 2000] [1 0]
}
