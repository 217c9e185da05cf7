package promql

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/narthex-io/narthex/storage/storagetest"
)

// BenchmarkLeastQuery is what a query costs at least: the queue, the logs, a goroutine.
func BenchmarkLeastQuery(b *testing.B) {
	e, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Instant(b.Context(), storagetest.NewStore(), "1", QueryOptions{}, time.Unix(0, 0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("plain")
	l, err := OpenActiveLog(filepath.Join(b.TempDir(), "queries.active"), 20, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	e.SetActiveLog(l)
	run("active log")
	e.SetActiveLog(nil)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
