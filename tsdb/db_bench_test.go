package tsdb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
)

// scrapeLoad is targets as a server scrapes them: each of width series, in batches of one target.
type scrapeLoad struct {
	targets, width int
	entries        [][]storage.Entry
	outcomes       []storage.Outcome
	values         []float64
	rnd            *rand.Rand
}

func newScrapeLoad(targets, width int) *scrapeLoad {
	l := &scrapeLoad{targets: targets, width: width, outcomes: make([]storage.Outcome, width), rnd: rand.New(rand.NewPCG(1, 1))}
	for target := range targets {
		batch := make([]storage.Entry, width)
		for i := range batch {
			batch[i].Labels = labels.FromStrings(
				"__name__", fmt.Sprintf("metric_of_some_length_total_%d", i/10), "instance", fmt.Sprintf("10.0.%d.%d:9100", target/256, target%256),
				"job", "node", "cluster", "bench", "mode", fmt.Sprintf("mode-%d", i%10), "env", "production", "region", "eu-west-1")
		}
		l.entries = append(l.entries, batch)
	}
	l.values = make([]float64, targets*width)
	return l
}

// scrape appends one sample of each series: a third of them stands still, the rest counts.
func (l *scrapeLoad) scrape(b *testing.B, db *DB, ts int64) {
	b.Helper()
	for target, batch := range l.entries {
		for i := range batch {
			if i%3 != 0 {
				l.values[target*l.width+i] += float64(l.rnd.IntN(1000))
			}
			batch[i].T, batch[i].V = ts, l.values[target*l.width+i]
		}
		app := db.Appender()
		if err := app.Append(context.Background(), batch, l.outcomes); err != nil {
			b.Fatal(err)
		}
		for i := range l.outcomes {
			if l.outcomes[i].Err != nil {
				b.Fatal(l.outcomes[i].Err)
			}
			batch[i].Ref = l.outcomes[i].Ref
		}
		if err := app.Commit(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkAppend is 10,000 series × 100 scrapes, made anew in each round.
func BenchmarkAppend(b *testing.B) {
	const targets, width, scrapes = 20, 500, 100
	for _, c := range []Compression{CompressionDefault, CompressionNone, CompressionSnappy} {
		b.Run("compression="+string(c), func(b *testing.B) {
			var heap, logBytes float64
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				load := newScrapeLoad(targets, width)
				before := liveHeap()
				db := openDB(b, b.TempDir(), func(o *Options) {
					o.MinBlockDuration, o.WALSegmentSize, o.WALCompression = 2*time.Hour, 0, c
				})
				b.StartTimer()
				for s := range scrapes {
					load.scrape(b, db, int64(s)*15_000)
				}
				b.StopTimer()
				heap = float64(liveHeap()-before) / (targets * width)
				runtime.KeepAlive(load)
				size, err := db.head.LogSize()
				if err != nil {
					b.Fatal(err)
				}
				logBytes = float64(size) / (targets * width * scrapes)
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*targets*width*scrapes), "ns/sample")
			b.ReportMetric(heap, "heap-B/series")
			b.ReportMetric(logBytes, "log-B/sample")
		})
	}
}

// BenchmarkReplay opens the directory that such appends left.
func BenchmarkReplay(b *testing.B) {
	const targets, width, scrapes = 20, 500, 100
	dir := b.TempDir()
	open := func() *DB {
		return openDB(b, dir, func(o *Options) { o.MinBlockDuration, o.WALSegmentSize = 2*time.Hour, 0 })
	}
	db, load := open(), newScrapeLoad(targets, width)
	for s := range scrapes {
		load.scrape(b, db, int64(s)*15_000)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := open().Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*targets*width*scrapes), "ns/sample")
}

// BenchmarkCut writes a block from such a head.
func BenchmarkCut(b *testing.B) {
	const targets, width, scrapes = 20, 500, 100
	dir := b.TempDir()
	db := openDB(b, dir, func(o *Options) { o.MinBlockDuration, o.WALSegmentSize = 2*time.Hour, 0 })
	load := newScrapeLoad(targets, width)
	for s := range scrapes {
		load.scrape(b, db, int64(s)*15_000)
	}
	b.ReportAllocs()
	for b.Loop() {
		meta, err := db.writeBlockTo(b.Context(), dir, 0, 7_200_000)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.RemoveAll(filepath.Join(dir, meta.ULID.String())); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*targets*width*scrapes), "ns/sample")
}

// BenchmarkRead selects 1,000 of 10,000 series in the head and reads their 100 samples.
func BenchmarkRead(b *testing.B) {
	const targets, width, scrapes = 20, 500, 100
	db := openDB(b, b.TempDir(), func(o *Options) { o.MinBlockDuration, o.WALSegmentSize = 2*time.Hour, 0 })
	load := newScrapeLoad(targets, width)
	for s := range scrapes {
		load.scrape(b, db, int64(s)*15_000)
	}
	m := labels.MustNewMatcher(labels.MatchEqual, "mode", "mode-3")
	samples := 0
	b.ReportAllocs()
	for b.Loop() {
		q, err := db.Querier(0, scrapes*15_000)
		if err != nil {
			b.Fatal(err)
		}
		set := q.Select(b.Context(), true, nil, m)
		var r storage.ColumnReader
		var c storage.Columns
		for set.Next() {
			c.Reset()
			for r = set.At().Samples(r); r.Read(&c); {
				continue
			}
			samples += c.Len()
		}
		if err := q.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
}
