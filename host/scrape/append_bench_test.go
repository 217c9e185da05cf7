package scrape

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/storage"
)

// taking is a storage that takes everything and keeps nothing.
type taking struct{ next storage.SeriesRef }

func (s *taking) Appender() storage.Appender { return s }

func (s *taking) Append(_ context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	for i := range entries {
		ref := entries[i].Ref
		if ref == 0 {
			s.next++
			ref = s.next
		}
		outcomes[i] = storage.Outcome{Ref: ref, Created: entries[i].Ref == 0}
	}
	return nil
}

func (*taking) Commit(context.Context) error { return nil }
func (*taking) Rollback() error              { return nil }

// benchBody is a body of n series, of which those from changed on are others in each generation.
func benchBody(n, changed, generation int) []byte {
	var b strings.Builder
	for i := range n {
		if i%100 == 0 {
			fmt.Fprintf(&b, "# HELP http_requests_%d_total How many requests there were.\n# TYPE http_requests_%d_total counter\n", i/100, i/100)
		}
		pod := i
		if i >= changed {
			pod += generation * 1_000_000
		}
		fmt.Fprintf(&b, "http_requests_%d_total{code=\"200\",handler=\"/api/v1/query\",method=\"GET\",pod=\"app-%08d\"} %d.5\n", i/100, pod, i*17+generation)
	}
	return []byte(b.String())
}

// BenchmarkAppend takes in bodies of one target again and again, without fetching, into a storage that costs nothing.
// churn is the share of series that are new in each body.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		for _, churn := range []int{0, 5, 100} {
			b.Run(fmt.Sprintf("series=%d/churn=%d", n, churn), func(b *testing.B) { benchAppend(b, n, churn) })
		}
	}
}

// BenchmarkAppendMany takes in the bodies of many targets in turn, so that none of their caches is in the processor's.
func BenchmarkAppendMany(b *testing.B) {
	const targets, n = 160, 1250
	metrics, err := newMetrics(prometheus.NewRegistry(), &Manager{})
	if err != nil {
		b.Fatal(err)
	}
	e := &env{metrics: metrics}
	a, out, meta := newAppender(), &taking{}, &metadata{}
	a.body.bytes = benchBody(n, n, 0)
	tg := &target{labels: labels.FromStrings("instance", "localhost:8080", "job", "bench")}
	var caches [targets]*cache
	for i := range caches {
		caches[i] = newCache(&sampleRules{honorTimestamps: true}, exposition.Options{Seed: maphash.MakeSeed()})
	}
	scrape := func() {
		for _, c := range caches {
			a.start(e, out, c, tg, sampleLimits{}, 1000)
			if err := a.appendBody(b.Context(), meta); err != nil {
				b.Fatal(err)
			}
			c.endGood()
		}
	}
	scrape()
	b.ReportAllocs()
	for b.Loop() {
		scrape()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*targets*n), "ns/sample")
}

func benchAppend(b *testing.B, n, churn int) {
	b.Helper()
	metrics, err := newMetrics(prometheus.NewRegistry(), &Manager{})
	if err != nil {
		b.Fatal(err)
	}
	var bodies [16][]byte
	for i := range bodies {
		bodies[i] = benchBody(n, n-n*churn/100, i)
	}
	e := &env{metrics: metrics}
	a, out, meta := newAppender(), &taking{}, &metadata{}
	c := newCache(&sampleRules{honorTimestamps: true}, exposition.Options{Seed: maphash.MakeSeed()})
	tg := &target{labels: labels.FromStrings("instance", "localhost:8080", "job", "bench")}
	scrape := func(i int) {
		a.body.bytes = bodies[i%len(bodies)]
		a.start(e, out, c, tg, sampleLimits{}, int64(i)*1000)
		if err := a.appendBody(b.Context(), meta); err != nil {
			b.Fatal(err)
		}
		c.endGood()
	}
	scrape(0)
	b.ReportAllocs()
	b.SetBytes(int64(len(bodies[0])))
	i := 0
	for b.Loop() {
		i++
		scrape(i)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/sample")
}

// BenchmarkScrape is a whole scrape of an unchanged target: request, body, samples, report; only the network and the
// storage are left out.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			body := benchBody(n, n, 0)
			m, err := New(Options{
				Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Storage: &taking{},
				NewClient: func(string, httpclient.Config, string) (*http.Client, error) {
					return &http.Client{Transport: bodyTransport(body)}, nil
				},
			})
			if err != nil {
				b.Fatal(err)
			}
			cfgs := parseConfigs(b, oneTarget)
			change, err := m.Prepare(cfgs, labels.EmptyLabels(), nil)
			if err != nil {
				b.Fatal(err)
			}
			change.Apply()
			m.update(map[string][]sdk.Group{"j": cfgs[0].Discovery.Groups()})
			l := m.pools["j"].active[0]
			tg, _ := l.current()
			b.ReportAllocs()
			for b.Loop() {
				l.scrape(b.Context(), tg, time.Now())
			}
			if l.status.err != nil {
				b.Fatal(l.status.err)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/sample")
		})
	}
}

// bodyTransport answers with itself.
type bodyTransport []byte

func (body bodyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"text/plain; version=0.0.4"}},
		Body:       io.NopCloser(bytes.NewReader(body)),
		Request:    r,
	}, nil
}
