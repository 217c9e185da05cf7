package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

// write appends one sample of a series through the gate, as a batch.
func write(t *testing.T, g *gate, t0 int64, v float64, change ...func(*storage.Entry)) (storage.Outcome, error) {
	t.Helper()
	entry := storage.Entry{Labels: labels.FromStrings("__name__", "m", "job", "j"), T: t0, V: v}
	for _, f := range change {
		f(&entry)
	}
	outcomes := make([]storage.Outcome, 1)
	app := g.Appender()
	if err := app.Append(t.Context(), []storage.Entry{entry}, outcomes); err != nil {
		t.Fatal(err)
	}
	return outcomes[0], app.Commit(t.Context())
}

// values returns all values of the series, in order.
func values(t *testing.T, g *gate) []float64 {
	t.Helper()
	q, err := g.Querier(0, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }() // only read
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m"))
	var all []float64
	for set.Next() {
		r := set.At().Samples(nil)
		var c storage.Columns
		for r.Read(&c) {
			continue // it appends
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c.F...)
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEarlyBatches: what comes while the storage is opening is there when it is open, before what comes then.
func TestEarlyBatches(t *testing.T) {
	g := &gate{}
	const second = 1000
	for i := range 3 {
		o, err := write(t, g, int64(i+1)*second, float64(i+1), func(e *storage.Entry) {
			if i == 1 {
				e.Exemplars = []sample.Exemplar{{Labels: labels.FromStrings("trace_id", "t"), Value: 1, T: e.T, HasT: true}}
			}
		})
		if err != nil || o.Err != nil || o.Ref != 0 {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	straddling := g.Appender() // staged before the storage opens, committed afterwards
	outcomes := make([]storage.Outcome, 1)
	late := []storage.Entry{{Labels: labels.FromStrings("__name__", "m", "job", "j"), T: 4 * second, V: 4}}
	if err := straddling.Append(t.Context(), late, outcomes); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Querier(0, 1); !errors.Is(err, errNotOpen) {
		t.Errorf("reading before the storage is open: %v", err)
	}
	db, err := tsdb.Open(t.Context(), tsdb.Options{Dir: t.TempDir(), MaxExemplars: 10})
	if err != nil {
		t.Fatal(err)
	}
	g.open(t.Context(), db)
	if err := straddling.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := write(t, g, 5*second, 5); err != nil || o.Err != nil || o.Ref == 0 {
		t.Errorf("afterwards: %+v, %v", o, err)
	}
	if got := values(t, g); len(got) != 5 || got[0] != 1 || got[4] != 5 {
		t.Errorf("values %v", got)
	}
	exemplars, err := g.Exemplars(t.Context(), 0, 1<<40, []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")})
	if err != nil || len(exemplars) != 1 {
		t.Errorf("exemplars %v, %v", exemplars, err)
	}
	g.shut()
	if _, err := write(t, g, 6*second, 6); !errors.Is(err, errNotOpen) {
		t.Errorf("after the end: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestEarlyReferences: a storage that is not open knows no series.
func TestEarlyReferences(t *testing.T) {
	g := &gate{}
	o, _ := write(t, g, 1, 1, func(e *storage.Entry) { e.Ref, e.Labels = 7, labels.Labels{} })
	if !errors.Is(o.Err, storage.ErrUnknownSeries) {
		t.Errorf("%+v", o)
	}
}

// TestEarlyBound: a storage that takes long to open does not cost more and more memory.
func TestEarlyBound(t *testing.T) {
	e := &early{}
	batch := make([]earlySample, 1<<20)
	for i := range batch {
		batch[i].labels = labels.FromStrings("__name__", "m")
	}
	var err error
	batches := 0
	for ; err == nil && batches < 100; batches++ {
		err = e.add(batch)
	}
	if !errors.Is(err, errEarlyFull) || batches < 3 || batches > 10 {
		t.Errorf("after %d batches of a million: %v", batches, err)
	}
	if stored, rejected := storeEarly(context.Background(), nil, (&early{}).take(), nil); stored+rejected != 0 {
		t.Error("nothing waits in a new one")
	}
}

// slowFS is a file system in which nothing is listed before ready is closed.
type slowFS struct {
	vfs.OS
	ready <-chan struct{}
}

// List implements vfs.FS.
func (f slowFS) List(dir string) ([]string, error) {
	<-f.ready
	return f.OS.List(dir)
}

// TestScrapesBeginBeforeTheStorageIsOpen: here, the storage does not open before the fifth scrape.
func TestScrapesBeginBeforeTheStorageIsOpen(t *testing.T) {
	ready := make(chan struct{})
	var scrapes atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		if n == 5 {
			close(ready)
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "scrapes_total %d\n", n)
	}))
	defer srv.Close()
	s := start(t, "scrape_configs:\n"+job("one", strings.TrimPrefix(srv.URL, "http://")), func(o *Options) {
		o.Storage.FS = slowFS{ready: ready}
	})
	s.eventually("/api/v1/query?query=scrapes_total%3E7", `"job":"one"`)
	s.eventually("/api/v1/query?query=min_over_time(scrapes_total[5m])", `,"1"]`)
	s.eventually("/api/v1/query?query=min_over_time(up[5m])", `,"1"]`)
}
