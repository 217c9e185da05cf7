package scrape

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a manager with a memory store and targets that live in a function, all inside a synctest bubble.
type world struct {
	*testing.T
	store   *storagetest.Store
	m       *Manager
	reg     *prometheus.Registry
	updates chan map[string][]sdk.Group
	stop    func()
	targets targets
	parsers parserFuncs
	// full makes commits fail.
	full atomic.Bool
}

// targets is the network: what is served at each host.
type targets struct {
	mu       sync.Mutex
	serve    map[string]func(*http.Request) (*http.Response, error)
	requests []request
}

type request struct {
	at     time.Time
	host   string
	header http.Header
}

func (n *targets) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.requests = append(n.requests, request{time.Now(), r.URL.Host, r.Header})
	serve := n.serve[r.URL.Host]
	n.mu.Unlock()
	if serve == nil {
		return nil, errors.New("connection refused")
	}
	resp, err := serve(r)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// times returns when host was asked, in seconds since the first request of all.
func (n *targets) times(host string) (out []float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.requests {
		if r.host == host {
			out = append(out, r.at.Sub(n.requests[0].at).Seconds())
		}
	}
	return out
}

func (w *world) serve(host string, f func(*http.Request) (*http.Response, error)) {
	w.targets.mu.Lock()
	defer w.targets.mu.Unlock()
	w.targets.serve[host] = f
}

// text lets a host serve a body of Prometheus text; lines may be separated by semicolons.
func (w *world) text(host, body string) {
	w.serve(host, func(*http.Request) (*http.Response, error) {
		return answer("text/plain; version=0.0.4", strings.ReplaceAll(body, ";", "\n")+"\n"), nil
	})
}

func answer(contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK,
		Status:     "200 OK",
		Header:     http.Header{"Content-Type": {contentType}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

// inWorld runs f in a bubble with a running manager whose jobs are configured by scrape_configs in YAML.
func inWorld(t *testing.T, config string, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, storagetest.NewStore(), nil)
		w.configure(config)
		w.untilPhase()
		w.run()
		synctest.Wait()
		f(w)
		w.stop()
	})
}

// untilPhase waits until the first target will be scraped in 6 s, so that what a test sees does not depend on the hash of
// the target's labels.
func (w *world) untilPhase() {
	var all []*loop
	w.m.each(func(p *pool) { all = append(all, p.active...) })
	if len(all) == 0 {
		return
	}
	tg, _ := all[0].current()
	const interval = 10 * time.Second
	time.Sleep((tg.offset(time.Now(), w.m.env.seed.Load()) + interval - 6*time.Second) % interval)
}

func newWorld(t *testing.T, store *storagetest.Store, exporters Exporters) *world {
	t.Helper()
	w := &world{T: t, store: store, reg: prometheus.NewRegistry(), updates: make(chan map[string][]sdk.Group)}
	w.targets.serve = map[string]func(*http.Request) (*http.Response, error){}
	var err error
	w.m, err = New(Options{
		Log: slog.New(slog.DiscardHandler), Registerer: w.reg, Storage: sometimesFull{store, &w.full}, Exporters: exporters, Parsers: &w.parsers,
		Hostname: "host", TimestampTolerance: 2 * time.Millisecond,
		NewClient: func(string, httpclient.Config, string) (*http.Client, error) {
			return &http.Client{Transport: &w.targets}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error)
	go func() { done <- w.m.Run(ctx, w.updates) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run: %v", err)
		}
	})
}

// configure applies scrape_configs and hands out their static targets.
func (w *world) configure(config string) {
	w.Helper()
	cfgs := parseConfigs(w.T, config)
	change, err := w.m.Prepare(cfgs, labels.EmptyLabels(), w.parsers.named)
	if err != nil {
		w.Fatal(err)
	}
	change.Apply()
	groups := map[string][]sdk.Group{}
	for _, c := range cfgs {
		groups[c.JobName] = c.Discovery.Groups()
	}
	if w.stop == nil {
		w.m.update(groups)
		return
	}
	w.updates <- groups
	synctest.Wait()
}

func parseConfigs(tb testing.TB, config string) []*Config {
	tb.Helper()
	cfgs, err := loadConfigs(config)
	if err != nil {
		tb.Fatal(err)
	}
	return cfgs
}

// loadConfigs decodes and completes jobs whose global interval is 10 s.
func loadConfigs(config string) ([]*Config, error) {
	doc, err := strictyaml.Parse([]byte("scrape_configs:\n" + strings.ReplaceAll(config, "\t", "  ")))
	if err != nil {
		return nil, err
	}
	var file struct {
		ScrapeConfigs []*Config `yaml:"scrape_configs"`
	}
	if err := doc.Decode(&file); err != nil {
		return nil, doc.Locate(err)
	}
	global := Inherited{ScrapeInterval: model.Duration(10 * time.Second)}
	if err := global.CompleteGlobal(); err != nil {
		return nil, err
	}
	for i, c := range file.ScrapeConfigs {
		if err := c.Complete(global); err != nil {
			return nil, doc.Locate(strictyaml.At(strictyaml.Index("scrape_configs", i), err))
		}
	}
	return file.ScrapeConfigs, nil
}

// expect compares the stored series named by prefix with lines such as
//
//	a{instance="h:1", job="j"} 0=1 10=2 20=stale
//
// in which times are seconds since the first scrape of the job.
func (w *world) expect(prefix string, want ...string) {
	w.Helper()
	got := w.dump(func(name string) bool { return strings.HasPrefix(name, prefix) })
	if !slices.Equal(got, want) {
		w.Errorf("series %s*: got\n%s\nwant\n%s", prefix, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (w *world) dump(want func(name string) bool) (lines []string) {
	w.Helper()
	q, err := w.store.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		w.Fatal(err)
	}
	defer q.Close() //nolint:errcheck // Nothing to release in memory.
	set := q.Select(w.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+"))
	type series struct {
		ls labels.Labels
		c  storage.Columns
	}
	var all []series
	first := map[string]int64{} // By job.
	for set.Next() {
		s := series{ls: set.At().Labels()}
		r := set.At().Samples(nil)
		for r.Read(&s.c) {
			continue
		}
		all = append(all, s)
		if s.ls.Get(labels.MetricName) == "up" {
			job := s.ls.Get(labels.JobName)
			if t, ok := first[job]; !ok || s.c.T[0] < t {
				first[job] = s.c.T[0]
			}
		}
	}
	for _, s := range all {
		name := s.ls.Get(labels.MetricName)
		if !want(name) {
			continue
		}
		line := name + s.ls.DropMetricName().String()
		for i, t := range s.c.T {
			v := fmt.Sprint(s.c.F[i])
			if sample.IsStale(s.c.F[i]) {
				v = "stale"
			}
			line += fmt.Sprintf(" %v=%s", float64(t-first[s.ls.Get(labels.JobName)])/1000, v)
		}
		lines = append(lines, line)
	}
	return lines
}

// wait lets time pass.
func (w *world) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// firstScrapes waits until each target has been scraped n times, and a little longer.
func (w *world) firstScrapes(n int) { w.wait(time.Duration(n)*10*time.Second + time.Millisecond) }

func (w *world) onlyTarget() TargetStatus {
	w.Helper()
	all := w.m.Targets()
	if len(all) != 1 {
		w.Fatalf("%d targets, want 1", len(all))
	}
	return all[0]
}

// counter returns the value of a metric without labels.
func (w *world) counter(name string) float64 {
	w.Helper()
	families, err := w.reg.Gather()
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	w.Fatalf("no metric %s", name)
	return 0
}

// exporterFunc is an exporter plugin in a function; it stands for all plugins.
type exporterFunc func(ctx context.Context, w io.Writer) error

func (f exporterFunc) Collect(ctx context.Context, w io.Writer) error { return f(ctx, w) }

func (f exporterFunc) Exporter(plugin string, config json.RawMessage) (sdk.Exporter, string, error) {
	if !bytes.Contains(config, []byte("known")) {
		return nil, "", fmt.Errorf("exporter plugin %s is not running", plugin)
	}
	return f, "", nil
}

func fmtInt(n int64) string { return fmt.Sprint(n) }
