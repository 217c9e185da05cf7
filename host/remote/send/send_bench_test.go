package send

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// sink takes everything at once.
type sink struct{ bytes int64 }

func (s *sink) RoundTrip(r *http.Request) (*http.Response, error) {
	s.bytes += r.ContentLength
	h := http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"2000"}}
	return &http.Response{StatusCode: http.StatusNoContent, Header: h, Body: http.NoBody, Request: r}, r.Body.Close()
}

// benchSeries is like what node exporters and the like have.
func benchSeries(i int) labels.Labels {
	return ls("__name__", fmt.Sprintf("node_network_transmit_packets_%d_total", i%300), "instance", fmt.Sprintf("host-%d.example.com:9100", i/300),
		"job", "node", "device", fmt.Sprintf("eth%d", i%7), "cluster", "production-eu-1")
}

// BenchmarkFollow measures the way from the log to compressed requests, for each sample.
func BenchmarkFollow(b *testing.B) {
	const series, batches = 30_000, 5
	db, err := tsdb.Open(b.Context(), tsdb.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	at := time.Now().UnixMilli()
	refs := make([]storage.SeriesRef, series)
	var start wal.Position
	for k := range batches + 1 {
		if k == 1 {
			start = db.Log().End() // Behind the names of the series.
		}
		entries, outcomes := make([]storage.Entry, series), make([]storage.Outcome, series)
		for i := range entries {
			entries[i] = storage.Entry{Ref: refs[i], Labels: benchSeries(i), T: at + int64(k)*15_000, V: float64(i*k) * 1.5}
		}
		app := db.Appender()
		if err := app.Append(b.Context(), entries, outcomes); err != nil {
			b.Fatal(err)
		}
		if err := app.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		for i := range outcomes {
			refs[i] = outcomes[i].Ref
		}
	}
	for _, message := range []Message{V1, V2} {
		b.Run("message="+string(message), func(b *testing.B) {
			to := &sink{}
			m, err := New(Options{
				Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
				NewClient: func(*Config) (*http.Client, error) { return &http.Client{Transport: to}, nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			c, err := m.Prepare(configs(b, `[{url: "http://x/write", protobuf_message: `+string(message)+`}]`), labels.EmptyLabels())
			if err != nil {
				b.Fatal(err)
			}
			c.Apply()
			q := m.queues[0]
			from := start
			f := newFollower(q, db, &from, nil)
			f.think = time.NewTicker(time.Hour)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				f.startShards(ctx, 1)
				f.tail = db.Log().Tail(start, nil, nil)
				if !f.readAll(ctx, endOf(db)) {
					b.Fatal("not read")
				}
				f.stopShards()
			}
			q.couriers.Wait()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(series*batches), "ns/sample")
			b.ReportMetric(float64(to.bytes)/float64(b.N)/(series*batches), "bytes/sample")
		})
	}
}
