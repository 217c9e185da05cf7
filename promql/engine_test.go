package promql_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newStore returns a store with n counters x_total of an hour, a sample each 15 s.
func newStore(tb testing.TB, n int) *storagetest.Store {
	tb.Helper()
	store := storagetest.NewStore()
	app := store.Appender()
	for s := range n {
		ls := labels.FromStrings(labels.MetricName, "x_total", "job", fmt.Sprint("job", s%7), "instance", fmt.Sprint(s))
		entries := make([]storage.Entry, 241)
		for i := range entries {
			entries[i] = storage.Entry{Labels: ls, T: int64(i) * 15_000, V: float64(i) * math.Sqrt(float64(s+1))}
		}
		if err := app.Append(tb.Context(), entries, make([]storage.Outcome, len(entries))); err != nil {
			tb.Fatal(err)
		}
	}
	if err := app.Commit(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return store
}

func newEngine(tb testing.TB, opts promql.Options) *promql.Engine {
	tb.Helper()
	e, err := promql.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

var (
	start = time.Unix(600, 0)
	end   = time.Unix(3600, 0)
)

// ask evaluates a range query.
func ask(ctx context.Context, e *promql.Engine, q storage.Queryable, query string) (*promql.Result, error) {
	return e.Range(ctx, q, query, promql.QueryOptions{}, start, end, time.Minute)
}

func TestResultsDoNotDependOnTheSplit(t *testing.T) {
	store := newStore(t, 500)
	one, many := newEngine(t, promql.Options{Parallelism: 1}), newEngine(t, promql.Options{Parallelism: 8})
	for _, query := range []string{
		"sum by (job) (rate(x_total[5m]))", "avg(x_total)", "stddev by (job) (x_total)", "topk(7, x_total)",
		"quantile(0.3, x_total)", "x_total / on (instance) sum by (instance) (x_total)", "count_values(\"v\", x_total)",
	} {
		a, err := ask(t.Context(), one, store, query)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ask(t.Context(), many, store, query)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(a.Value.(promql.Matrix), b.Value.(promql.Matrix), func(x, y promql.Series) bool {
			return labels.Equal(x.Labels, y.Labels) && slices.Equal(x.Points.T, y.Points.T) && slices.Equal(x.Points.F, y.Points.F)
		}) {
			t.Errorf("%s: results differ", query)
		}
	}
}

func TestErrorKinds(t *testing.T) {
	store := newStore(t, 20)
	fails := func(e *promql.Engine, q storage.Queryable, query string, want promql.ErrorKind) {
		t.Helper()
		_, err := ask(t.Context(), e, q, query)
		if got := promql.KindOf(err); got != want {
			t.Errorf("%s: kind of %v is %q, want %q", query, err, got, want)
		}
	}
	e := newEngine(t, promql.Options{})
	fails(e, store, "sum(", promql.KindBadData)
	fails(e, store, "x_total[5m]", promql.KindBadData)
	fails(e, store, `"text"`, promql.KindBadData)
	fails(e, store, `label_replace(x_total, "a", "b", "c", "(")`, promql.KindExecution)
	fails(e, store, "x_total / on (job) x_total", promql.KindExecution)
	fails(e, brokenStore{}, "x_total", promql.KindInternal)
	if _, err := ask(t.Context(), newEngine(t, promql.Options{MaxSamples: 100}), store, "x_total"); !errors.Is(err, promql.ErrTooManySamples) {
		t.Errorf("got %v, want ErrTooManySamples", err)
	}
	if promql.KindOf(nil) != promql.KindNone {
		t.Error("no error has a kind")
	}
	if _, err := e.Range(t.Context(), store, "1", promql.QueryOptions{}, end, start, time.Minute); promql.KindOf(err) != promql.KindBadData {
		t.Errorf("end before start: %v", err)
	}
	if _, err := e.Range(t.Context(), store, "1", promql.QueryOptions{}, start, end, 0); promql.KindOf(err) != promql.KindBadData {
		t.Errorf("no step: %v", err)
	}
}

// brokenStore fails to select.
type brokenStore struct{ storage.LabelQuerier }

func (b brokenStore) Querier(int64, int64) (storage.Querier, error) { return b, nil }
func (brokenStore) Close() error                                    { return nil }

func (brokenStore) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return brokenSet{}
}

type brokenSet struct{ storage.SeriesSet }

func (brokenSet) Next() bool { return false }
func (brokenSet) Err() error { return errors.New("disk on fire") }

// panickingStore panics at the first selection.
type panickingStore struct{ brokenStore }

func (p panickingStore) Querier(int64, int64) (storage.Querier, error) { return p, nil }

func (panickingStore) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	panic("bug")
}

func TestAPanicIsAnErrorOfOneQuery(t *testing.T) {
	e := newEngine(t, promql.Options{MaxConcurrency: 1})
	if _, err := ask(t.Context(), e, panickingStore{}, "x"); promql.KindOf(err) != promql.KindInternal || err.Error() != "unexpected error: bug" {
		t.Errorf("panic came as %v", err)
	}
	if _, err := ask(t.Context(), e, newStore(t, 1), "x_total"); err != nil {
		t.Errorf("next query: %v", err)
	}
}

// blockingStore holds queries until the context ends.
type blockingStore struct{ brokenStore }

func (b blockingStore) Querier(int64, int64) (storage.Querier, error) { return b, nil }

func (blockingStore) Select(ctx context.Context, _ bool, _ *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	<-ctx.Done()
	return endedSet{err: ctx.Err()}
}

type endedSet struct {
	storage.SeriesSet
	err error
}

func (endedSet) Next() bool   { return false }
func (s endedSet) Err() error { return s.err }

func TestQueriesEndAtTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, promql.Options{Timeout: time.Minute})
		begin := time.Now()
		_, err := ask(t.Context(), e, blockingStore{}, "x")
		if !errors.Is(err, promql.ErrTimeout) || promql.KindOf(err) != promql.KindTimeout || time.Since(begin) != time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestQueriesWaitForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, promql.Options{Timeout: time.Minute, MaxConcurrency: 1})
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := ask(ctx, e, blockingStore{}, "x")
			first <- err
		}()
		synctest.Wait()
		if _, err := ask(t.Context(), e, blockingStore{}, "x"); !errors.Is(err, promql.ErrTimeout) {
			t.Errorf("second query: %v", err)
		}
		cancel()
		if err := <-first; !errors.Is(err, promql.ErrCanceled) && !errors.Is(err, promql.ErrTimeout) {
			t.Errorf("first query: %v", err)
		}
	})
}

func TestResultTypes(t *testing.T) {
	store, e := newStore(t, 3), newEngine(t, promql.Options{})
	instant := func(query string, want promql.ValueType) promql.Value {
		t.Helper()
		res, err := e.Instant(t.Context(), store, query, promql.QueryOptions{}, end)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if res.Value.Type() != want {
			t.Errorf("%s is a %s, want %s", query, res.Value.Type(), want)
		}
		return res.Value
	}
	instant("x_total", promql.TypeVector)
	instant("1 + 1", promql.TypeScalar)
	instant(`"a"`, promql.TypeString)
	m := instant("x_total[1m]", promql.TypeMatrix).(promql.Matrix)
	if len(m) != 3 || m[0].Points.Len() != 4 || m[0].Points.T[3] != end.UnixMilli() {
		t.Errorf("range selector returned %v", m)
	}
	sub := instant("x_total[2m:30s] offset 1m", promql.TypeMatrix).(promql.Matrix)
	if len(sub) != 3 || sub[0].Points.Len() != 4 || sub[0].Points.T[3] != end.UnixMilli()-60_000 {
		t.Errorf("subquery returned %v", sub)
	}
	res, err := ask(t.Context(), e, store, "time()")
	if err != nil || res.Value.Type() != promql.TypeMatrix || res.Value.(promql.Matrix)[0].Points.Len() != 51 {
		t.Errorf("scalar in a range query: %v, %v", res, err)
	}
}

func TestLimitAndStats(t *testing.T) {
	store := newStore(t, 5)
	reg := prometheus.NewRegistry()
	e := newEngine(t, promql.Options{Registerer: reg, EnablePerStepStats: true})
	res, err := e.Instant(t.Context(), store, "rate(x_total[1m])", promql.QueryOptions{Limit: 2, PerStepStats: true}, end)
	if err != nil {
		t.Fatal(err)
	}
	if v := res.Value.(promql.Vector); len(v) != 2 || !slices.Equal(res.Warnings, []string{"results truncated due to limit"}) {
		t.Errorf("got %d series and %q", len(v), res.Warnings)
	}
	s := res.Stats.Samples
	if s.TotalQueryable != 20 || s.Read != 20 || s.Peak <= 0 || len(s.PerStep) != 1 || s.PerStep[0].Count != 20 {
		t.Errorf("stats are %+v", s)
	}
	ranged, err := e.Range(t.Context(), store, "x_total", promql.QueryOptions{Limit: 2}, end.Add(-time.Minute), end, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if m := ranged.Value.(promql.Matrix); len(m) != 2 || labels.Compare(m[0].Labels, m[1].Labels) >= 0 || len(ranged.Stats.Samples.PerStep) != 0 {
		t.Errorf("got %v and %+v", m, ranged.Stats.Samples)
	}
	families, err := reg.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("metrics: %v, %v", families, err)
	}
	if _, err := promql.New(promql.Options{Registerer: reg}); err == nil {
		t.Error("the same registerer was taken twice")
	}
}

func BenchmarkRange(b *testing.B) {
	store, e := newStore(b, 1000), newEngine(b, promql.Options{})
	for _, query := range []string{"x_total", "sum by (job) (rate(x_total[5m]))", "quantile_over_time(0.9, x_total[10m])"} {
		b.Run("query="+query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ask(b.Context(), e, store, query); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
