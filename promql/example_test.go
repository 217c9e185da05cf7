package promql_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// requests returns a storage with two counters; any implementation of storage.Queryable will do.
func requests(ctx context.Context) (storage.Queryable, error) {
	store := storagetest.NewStore()
	app := store.Appender()
	var entries []storage.Entry
	for minute := range int64(11) {
		for instance, perMinute := range map[string]float64{"a": 60, "b": 180} {
			entries = append(entries, storage.Entry{
				Labels: labels.FromStrings("__name__", "requests_total", "job", "api", "instance", instance),
				T:      minute * 60_000, V: float64(minute) * perMinute,
			})
		}
	}
	if err := app.Append(ctx, entries, make([]storage.Outcome, len(entries))); err != nil {
		return nil, err
	}
	return store, app.Commit(ctx)
}

// The engine needs nothing but a storage.
func Example() {
	ctx := context.Background()
	store, err := requests(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	engine, err := promql.New(promql.Options{Timeout: 10 * time.Second, MaxBytes: 1 << 30})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	start, end := time.Unix(300, 0), time.Unix(600, 0)
	res, err := engine.Range(ctx, store, "sum by (job) (rate(requests_total[5m]))", promql.QueryOptions{}, start, end, 150*time.Second)
	if err != nil {
		fmt.Println(promql.KindOf(err), err)
		return
	}
	defer res.Release()
	for _, series := range res.Value.(promql.Matrix) {
		for _, p := range series.Points.All() {
			fmt.Printf("%s %.0f s: %g/s\n", series.Labels, float64(p.T)/1000, p.F)
		}
	}
	fmt.Println(res.Stats.Samples.Read, "samples read")
	// Output:
	// {job="api"} 300 s: 4/s
	// {job="api"} 450 s: 4/s
	// {job="api"} 600 s: 4/s
	// 20 samples read
}

// Annotations say what may be wrong with a query that has an answer.
func ExampleEngine_Instant() {
	ctx := context.Background()
	store, err := requests(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	engine, err := promql.New(promql.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	res, err := engine.Instant(ctx, store, `quantile(95, requests_total)`, promql.QueryOptions{}, time.Unix(600, 0))
	if err != nil {
		fmt.Println(promql.KindOf(err), err)
		return
	}
	defer res.Release()
	fmt.Println(res.Value.Type(), res.Value.(promql.Vector)[0].F)
	for _, text := range append(res.Warnings, res.Infos...) {
		fmt.Println(text)
	}
	// Output:
	// vector +Inf
	// PromQL warning: quantile value should be between 0 and 1, got 95 (1:10)
}

// Explain shows how a query is evaluated; with the last argument true, what each operator costs, too.
func ExampleEngine_Explain() {
	ctx := context.Background()
	store, err := requests(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	engine, err := promql.New(promql.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	at := time.Unix(600, 0)
	x, err := engine.Explain(ctx, store, "max(requests_total) * (60 * 60)", promql.QueryOptions{}, at, at, 0, false)
	if err == nil {
		err = x.WriteText(os.Stdout)
	}
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// query  max(requests_total) * (60 * 60)
	// at     1970-01-01T00:10:00Z
	//
	// plan
	//   binary *
	//   ├─ aggregate max
	//   │  └─ selector requests_total
	//   └─ binary *
	//      ├─ number 60
	//      └─ number 60
	//
	// optimized plan
	//   binary *
	//   ├─ aggregate max
	//   │  └─ selector requests_total, labels ()
	//   └─ number 3600
}
