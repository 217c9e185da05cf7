package head

import (
	"errors"
	"fmt"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// BenchmarkLiveHeap is what a series costs after two hours of scrapes each 15 s, with complete chunks in files and in
// memory.
func BenchmarkLiveHeap(b *testing.B) {
	const series, scrapes = 5000, 480
	for _, files := range []bool{true, false} {
		b.Run(fmt.Sprintf("files=%v", files), func(b *testing.B) {
			for b.Loop() {
				dir := b.TempDir()
				before := liveHeap()
				h := openHead(b, dir, func(o *Options) {
					if files {
						mapping(dir)(o)
					}
				})
				entries, outcomes := make([]storage.Entry, series), make([]storage.Outcome, series)
				for i := range entries {
					entries[i].Labels = metric(i)
				}
				for scrape := range int64(scrapes) {
					for i := range entries {
						entries[i].T, entries[i].V = scrape*15_000, entries[i].V+float64(int64(i)*scrape%17)
					}
					app := h.Appender()
					if err := errors.Join(app.Append(b.Context(), entries, outcomes), app.Commit(b.Context())); err != nil {
						b.Fatal(err)
					}
					for i := range entries {
						entries[i].Labels, entries[i].Ref = labels.EmptyLabels(), outcomes[i].Ref
					}
				}
				if err := h.MapChunks(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(liveHeap()-before)/series, "heap-B/series")
				if err := h.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
