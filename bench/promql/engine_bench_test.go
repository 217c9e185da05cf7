package promql_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/narthex-io/narthex/promql"
)

// BenchmarkEngine asks both engines the same questions about 1,000 series of 6 hours.
func BenchmarkEngine(b *testing.B) {
	const n, samples = 1000, 1440
	e := newEngines(b, counters(rand.New(rand.NewPCG(1, 2)), "requests_total", n, samples), false)
	end := time.UnixMilli(samples * interval)
	start := end.Add(-5 * time.Hour)
	const step = time.Minute
	for _, query := range []string{
		"requests_total",
		"rate(requests_total[5m])",
		"sum by (job) (rate(requests_total[5m]))",
		"sum_over_time(requests_total[1h])",
		"quantile_over_time(0.9, requests_total[1h])",
		"max_over_time(requests_total[1h])",
		"topk(5, requests_total)",
		"requests_total / on (instance) group_left sum by (instance) (requests_total)",
		"requests_total > requests_total offset 5m",
	} {
		b.Run("kind=range/query="+query+"/engine=narthex", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := e.ours.Range(b.Context(), e.store, query, promql.QueryOptions{}, start, end, step)
				if err != nil {
					b.Fatal(err)
				}
				res.Release()
			}
		})
		b.Run("kind=range/query="+query+"/engine=prometheus", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q, err := e.upstream.NewRangeQuery(b.Context(), e.upstreamStore, nil, query, start, end, step)
				if err != nil {
					b.Fatal(err)
				}
				if res := q.Exec(b.Context()); res.Err != nil {
					b.Fatal(res.Err)
				}
				q.Close()
			}
		})
		b.Run("kind=instant/query="+query+"/engine=narthex", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := e.ours.Instant(b.Context(), e.store, query, promql.QueryOptions{}, end)
				if err != nil {
					b.Fatal(err)
				}
				res.Release()
			}
		})
		b.Run("kind=instant/query="+query+"/engine=prometheus", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q, err := e.upstream.NewInstantQuery(b.Context(), e.upstreamStore, nil, query, end)
				if err != nil {
					b.Fatal(err)
				}
				if res := q.Exec(b.Context()); res.Err != nil {
					b.Fatal(res.Err)
				}
				q.Close()
			}
		})
	}
}
