package promql_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// TestSharedSeriesLoseTheirTypes has two selectors read the same series, of which one loses the types by which they differ
// besides a label that nobody asks for.
func TestSharedSeriesLoseTheirTypes(t *testing.T) {
	store := storagetest.NewStore()
	app := store.Appender()
	for i, typ := range []string{"counter", "counter", "gauge"} {
		ls := labels.FromStrings("__name__", "c", "__type__", typ, "job", "a", "part", fmt.Sprint(i))
		var entries []storage.Entry
		for at := range int64(100) {
			entries = append(entries, storage.Entry{Labels: ls, T: at * 15_000, V: 1})
		}
		if err := app.Append(t.Context(), entries, make([]storage.Outcome, len(entries))); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, promql.Options{})
	defer e.Close()
	res, err := e.Range(t.Context(), store, `sum by (job) (c) - sum by (job) (sum_over_time(c[2m]))`, promql.QueryOptions{}, time.Unix(300, 0), time.Unix(1400, 0), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Release()
	if m := res.Value.(promql.Matrix); len(m) != 1 || m[0].Points.F[0] != 3-3*8 {
		t.Errorf("got %v", m)
	}
}
