package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	upstreamhistogram "github.com/prometheus/prometheus/model/histogram"
	upstreamlabels "github.com/prometheus/prometheus/model/labels"
	upstream "github.com/prometheus/prometheus/scrape"
	upstreamstorage "github.com/prometheus/prometheus/storage"
	"google.golang.org/protobuf/proto"

	"github.com/narthex-io/narthex/host/discovery"
	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/host/scrape"
	"github.com/narthex-io/narthex/host/scrape/exposition"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/storage"
)

// cost is what a sample costs to be scraped: from the request to a storage that keeps nothing.
type cost struct {
	cpu    time.Duration
	allocs float64
	bytes  float64
}

// counter counts what arrives at a storage.
type counter struct {
	samples, refs atomic.Int64
	commits       chan struct{}
}

func newCounter() counter { return counter{commits: make(chan struct{}, 1000)} }

// await waits for n more commits.
func (c *counter) await(t *testing.T, n int64) {
	t.Helper()
	timeout := time.After(60 * time.Second)
	for range n {
		select {
		case <-c.commits:
		case <-timeout:
			t.Fatal("scrapes do not come")
		}
	}
}

// measure returns the cost of the samples of n scrapes, the first ones left out.
func (c *counter) measure(t *testing.T, n int64) cost {
	t.Helper()
	c.await(t, 3)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, samples := cpuTime(t), c.samples.Load()
	c.await(t, n)
	cpu, samples = cpuTime(t)-cpu, c.samples.Load()-samples
	runtime.ReadMemStats(&after)
	return cost{
		cpu:    cpu / time.Duration(samples),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(samples),
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(samples),
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ourStorage takes everything.
type ourStorage struct{ counter }

func (s *ourStorage) Appender() storage.Appender { return s }

func (s *ourStorage) Append(_ context.Context, entries []storage.Entry, outcomes []storage.Outcome) error {
	for i := range entries {
		ref := entries[i].Ref
		if ref == 0 {
			ref = storage.SeriesRef(s.refs.Add(1))
		}
		outcomes[i] = storage.Outcome{Ref: ref, Created: entries[i].Ref == 0}
	}
	s.samples.Add(int64(len(entries)))
	return nil
}

func (s *ourStorage) Commit(context.Context) error {
	s.commits <- struct{}{}
	return nil
}

func (*ourStorage) Rollback() error { return errors.New("a scrape failed") }

// theirStorage takes everything.
type theirStorage struct{ counter }

type theirAppender struct {
	upstreamstorage.AppenderV2
	*theirStorage
}

func (s *theirStorage) AppenderV2(context.Context) upstreamstorage.AppenderV2 {
	return theirAppender{theirStorage: s}
}

func (a theirAppender) Append(ref upstreamstorage.SeriesRef, _ upstreamlabels.Labels, _, _ int64, _ float64, _ *upstreamhistogram.Histogram, _ *upstreamhistogram.FloatHistogram, _ upstreamstorage.AOptions) (upstreamstorage.SeriesRef, error) {
	if ref == 0 {
		ref = upstreamstorage.SeriesRef(a.refs.Add(1))
	}
	a.samples.Add(1)
	return ref, nil
}

func (a theirAppender) Commit() error {
	a.commits <- struct{}{}
	return nil
}

func (theirAppender) Rollback() error { return nil }

// network is a target in memory: each connection answers each request with the next body, at no cost but copying.
type network struct {
	answers [][]byte
	next    atomic.Int64
}

func newNetwork(format exposition.Format, bodies [][]byte) *network {
	n := &network{}
	for _, b := range bodies {
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", contentTypes[format], len(b))
		n.answers = append(n.answers, append([]byte(head), b...))
	}
	return n
}

func (n *network) dial(context.Context, string, string) (net.Conn, error) {
	return &connection{network: n, asked: make(chan struct{}, 1), closed: make(chan struct{})}, nil
}

type connection struct {
	net.Conn
	network       *network
	asked, closed chan struct{}
	rest          []byte
	once          sync.Once
}

func (c *connection) Write(p []byte) (int, error) {
	if bytes.HasSuffix(p, []byte("\r\n\r\n")) {
		c.asked <- struct{}{}
	}
	return len(p), nil
}

func (c *connection) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		select {
		case <-c.asked:
			c.rest = c.network.answers[int(c.network.next.Add(1))%len(c.network.answers)]
		case <-c.closed:
			return 0, io.EOF
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *connection) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (*connection) SetDeadline(time.Time) error      { return nil }
func (*connection) SetReadDeadline(time.Time) error  { return nil }
func (*connection) SetWriteDeadline(time.Time) error { return nil }
func (*connection) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*connection) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

const address = "target:80"

func ourCost(t *testing.T, target *network, interval time.Duration, n int64) cost {
	t.Helper()
	s := &ourStorage{newCounter()}
	m, err := scrape.New(scrape.Options{
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Storage: s,
		NewClient: func(job string, cfg httpclient.Config, _ string) (*http.Client, error) {
			return httpclient.New(cfg, httpclient.Options{Name: job, Dial: target.dial, Direct: true})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := scrape.DefaultConfig()
	cfg.JobName, cfg.EnableCompression = "j", false
	global := scrape.Inherited{ScrapeInterval: model.Duration(interval)}
	native := true
	cfg.ScrapeNativeHistograms = &native
	if err := errors.Join(global.CompleteGlobal(), cfg.Complete(global)); err != nil {
		t.Fatal(err)
	}
	cfg.Discovery = discovery.Configs{}
	change, err := m.Prepare([]*scrape.Config{&cfg}, labels.EmptyLabels(), nil)
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	ctx, cancel := context.WithCancel(t.Context())
	updates := make(chan map[string][]sdk.Group, 1)
	updates <- map[string][]sdk.Group{"j": {{Targets: []string{address}}}}
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx, updates) }()
	defer func() {
		cancel()
		<-done
	}()
	return s.measure(t, n)
}

func theirCost(t *testing.T, target *network, interval time.Duration, n int64) cost {
	t.Helper()
	s := &theirStorage{newCounter()}
	m, err := upstream.NewManager(&upstream.Options{
		DiscoveryReloadInterval: model.Duration(10 * time.Millisecond), DiscoveryReloadOnStartup: true,
		HTTPClientOptions: []httpconfig.HTTPClientOption{httpconfig.WithDialContextFunc(target.dial)},
	},
		slog.New(slog.DiscardHandler), nil, nil, s, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(fmt.Sprintf("global: {scrape_interval: %s, scrape_timeout: %[1]s, scrape_native_histograms: true}\nscrape_configs: [{job_name: j, enable_compression: false}]\n",
		model.Duration(interval)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.ApplyConfig(cfg); err != nil {
		t.Fatal(err)
	}
	groups := make(chan map[string][]*targetgroup.Group, 1)
	groups <- map[string][]*targetgroup.Group{"j": {{Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(address)}}}}}
	done := make(chan error, 1)
	go func() { done <- m.Run(groups) }()
	defer func() {
		m.Stop()
		<-done
	}()
	return s.measure(t, n)
}

// synthetic makes bodies of n series, of which a share, in percent, is another one in each.
func synthetic(n, churn int, format exposition.Format) (all [][]byte) {
	for generation := range 6 {
		var text strings.Builder
		var families []*dto.MetricFamily
		for i := range n {
			if i%100 == 0 {
				name := fmt.Sprintf("http_requests_%d_total", i/100)
				fmt.Fprintf(&text, "# HELP %s How many requests there were.\n# TYPE %[1]s counter\n", name)
				families = append(families, &dto.MetricFamily{
					Name: proto.String(name), Help: proto.String("How many requests there were."), Type: dto.MetricType_COUNTER.Enum(),
				})
			}
			pod := fmt.Sprintf("app-%08d", i)
			if i >= n-n*churn/100 {
				pod = fmt.Sprintf("app-%08d", i+1_000_000*(generation+1))
			}
			value := float64(i*17+generation) + 0.5
			fmt.Fprintf(&text, "http_requests_%d_total{code=\"200\",handler=\"/api/v1/query\",method=\"GET\",pod=\"%s\"} %v\n", i/100, pod, value)
			f := families[len(families)-1]
			f.Metric = append(f.Metric, &dto.Metric{
				Label:   []*dto.LabelPair{pair("code", "200"), pair("handler", "/api/v1/query"), pair("method", "GET"), pair("pod", pod)},
				Counter: &dto.Counter{Value: proto.Float64(value)},
			})
		}
		if format == exposition.Protobuf {
			all = append(all, delimited(families...))
		} else {
			all = append(all, []byte(text.String()))
		}
	}
	return all
}

// TestCost prints what a sample costs with either, in the same run. It needs COST=1, some minutes and a quiet machine.
func TestCost(t *testing.T) {
	if os.Getenv("COST") == "" {
		t.Skip("set COST=1 to measure")
	}
	out := io.Writer(os.Stdout)
	fmt.Fprintln(out, "| body | ours, ns CPU/sample | Prometheus | ratio | allocations/sample | Prometheus | bytes/sample | Prometheus |\n|---|--:|--:|--:|--:|--:|--:|--:|")
	logs, rows := 0.0, 0
	row := func(name string, format exposition.Format, bodies [][]byte, interval time.Duration, n int64) {
		t.Helper()
		target := newNetwork(format, bodies)
		theirs := theirCost(t, target, interval, n)
		ours := ourCost(t, target, interval, n)
		ratio := float64(ours.cpu) / float64(theirs.cpu)
		logs, rows = logs+math.Log(ratio), rows+1
		fmt.Fprintf(out, "| %s | %d | %d | %.2f | %.3f | %.3f | %.0f | %.0f |\n", name, ours.cpu.Nanoseconds(), theirs.cpu.Nanoseconds(), ratio,
			ours.allocs, theirs.allocs, ours.bytes, theirs.bytes)
	}
	for _, b := range realBodies(t) {
		row(b.name, b.format, [][]byte{b.bytes}, 25*time.Millisecond, 30)
	}
	for _, format := range []exposition.Format{exposition.Text, exposition.Protobuf} {
		for _, size := range []struct {
			n        int
			interval time.Duration
			scrapes  int64
		}{{1_000, 25 * time.Millisecond, 40}, {10_000, 200 * time.Millisecond, 8}, {100_000, 2 * time.Second, 3}} {
			for _, churn := range []int{0, 5, 100} {
				name := fmt.Sprintf("%s, %d series, %d %% churn", []string{"text", "OpenMetrics", "protobuf"}[format], size.n, churn)
				row(name, format, synthetic(size.n, churn, format), size.interval, size.scrapes)
			}
		}
	}
	fmt.Fprintf(out, "\ngeometric mean of the ratios of CPU: %.2f\n", math.Exp(logs/float64(rows)))
}
