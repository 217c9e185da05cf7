package merge

import (
	"fmt"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// BenchmarkMerge reads 200 series of 2,400 samples from storages that follow each other in time.
func BenchmarkMerge(b *testing.B) {
	const series, samples = 200, 2400
	for _, stores := range []int64{1, 2, 8} {
		b.Run(fmt.Sprintf("storages=%d", stores), func(b *testing.B) {
			var qs []storage.Querier
			for k := range stores {
				s := storagetest.NewStore()
				app := s.Appender()
				for i := range series {
					ls := labels.FromStrings("i", fmt.Sprint(i))
					var entries []storage.Entry
					for at := k * samples / stores; at < (k+1)*samples/stores; at++ {
						entries = append(entries, storage.Entry{Labels: ls, T: at, V: float64(at)})
					}
					if err := app.Append(b.Context(), entries, make([]storage.Outcome, len(entries))); err != nil {
						b.Fatal(err)
					}
				}
				if err := app.Commit(b.Context()); err != nil {
					b.Fatal(err)
				}
				q, err := s.Querier(0, samples)
				if err != nil {
					b.Fatal(err)
				}
				qs = append(qs, q)
			}
			q := Queriers(qs...)
			var c storage.Columns
			var r storage.ColumnReader
			b.ReportAllocs()
			for b.Loop() {
				set := q.Select(b.Context(), true, nil)
				for set.Next() {
					c.Reset()
					r = set.At().Samples(r)
					for r.Read(&c) {
					}
					if c.Len() != samples {
						b.Fatalf("got %d samples", c.Len())
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*series*samples), "ns/sample")
		})
	}
}
