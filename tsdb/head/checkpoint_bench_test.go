package head

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/wal"
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

// BenchmarkCheckpoint writes a checkpoint of 100,000 series, ten containers of 50 series on each machine, with the labels that
// cAdvisor gives them. checkpoint-B is its size for each series.
func BenchmarkCheckpoint(b *testing.B) {
	const series, perTarget = 100_000, 500
	for name, compression := range map[string]wal.Compression{"none": wal.None, "snappy": wal.Snappy, "zstd": wal.ZstdLight} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			h := openHead(b, dir, func(o *Options) { o.WAL.Compression = compression })
			entries, outcomes := make([]storage.Entry, perTarget), make([]storage.Outcome, perTarget)
			at := int64(hour)
			scrape := func() {
				app := h.Appender()
				if err := errors.Join(app.Append(b.Context(), entries, outcomes), app.Commit(b.Context())); err != nil {
					b.Fatal(err)
				}
			}
			for target := range series / perTarget {
				for i := range entries {
					entries[i] = storage.Entry{T: at, V: float64(i), Labels: containerSeries(target, i/50, i%50)}
				}
				scrape()
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				at++
				for i := range entries {
					entries[i].T = at
				}
				scrape() // Nothing is written if the log has nothing new.
				if err := h.log.NextSegment(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				err := h.log.Checkpoint(h.log.Index()-1, func(add func(recs ...[]byte) error) error { return h.writeState(add, 0) })
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(checkpointBytes(b, dir))/series, "checkpoint-B")
		})
	}
}

func containerSeries(target, container, i int) labels.Labels {
	id := sha256.Sum256(fmt.Append(nil, target, container))
	return labels.FromStrings(
		"__name__", fmt.Sprintf("container_%s_%d_seconds_total", []string{"cpu", "network", "memory", "blkio"}[i%4], i/8),
		"cluster", "eu-west-1-production", "container", fmt.Sprintf("app-%d", container%7), "device", fmt.Sprintf("sd%c", 'a'+i%8),
		"id", fmt.Sprintf("/kubepods/burstable/pod%x/%x", id[:16], id), "image", fmt.Sprintf("registry.example.org/app-%d@sha256:%x", container%7, id[:8]),
		"instance", fmt.Sprintf("10.17.%d.%d:10250", target/250, target%250), "job", "kubelet", "namespace", fmt.Sprintf("team-%d", target%12),
		"pod", fmt.Sprintf("app-%d-%x-%x", container%7, id[20:24], id[24:26]))
}

// checkpointBytes returns the size of the checkpoint.
func checkpointBytes(b *testing.B, dir string) (size int64) {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "checkpoint.*", "*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	return size
}
