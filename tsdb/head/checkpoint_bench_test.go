package head

import (
	"errors"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// BenchmarkShortenLog forgets two hours of 5,000 series that are scraped each 30 s, and shortens the log by them.
func BenchmarkShortenLog(b *testing.B) {
	const series, step = 5000, 30_000
	h := openHead(b, b.TempDir())
	entries, outcomes := make([]storage.Entry, series), make([]storage.Outcome, series)
	for i := range entries {
		entries[i].Labels = metric(i)
	}
	at := int64(0)
	scrape := func(until int64) {
		for ; at < until; at += step {
			for i := range entries {
				entries[i].T, entries[i].V = at, entries[i].V+float64(int64(i)*(at/step)%17)
			}
			app := h.Appender()
			if err := errors.Join(app.Append(b.Context(), entries, outcomes), app.Commit(b.Context())); err != nil {
				b.Fatal(err)
			}
			for i := range entries {
				entries[i].Labels, entries[i].Ref = labels.EmptyLabels(), outcomes[i].Ref
			}
		}
	}
	shorten := func() {
		if err := h.Truncate(b.Context(), at-hour); err != nil {
			b.Fatal(err)
		}
	}
	for range 2 {
		scrape(at + 2*hour)
		shorten()
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		scrape(at + 2*hour)
		b.StartTimer()
		shorten()
	}
	size, err := h.LogSize()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size)/1000, "log-kB")
}
