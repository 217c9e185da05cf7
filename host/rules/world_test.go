package rules

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/notify"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/promql"
	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a manager with a storage, in a bubble whose clock starts at the beginning of the year 2000.
type world struct {
	*testing.T
	store    *storagetest.Store
	registry *prometheus.Registry
	log      bytes.Buffer
	opts     Options
	m        *Manager
	stop     func()
	start    time.Time

	mu   sync.Mutex
	hook func(query string)
	sent []notify.Alert
}

// Send makes the world a [Notifier].
func (w *world) Send(_ context.Context, alerts ...notify.Alert) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, alerts...)
}

// Instant makes the world an [Engine].
func (w *world) Instant(ctx context.Context, q storage.Queryable, query string, opts promql.QueryOptions, at time.Time) (*promql.Result, error) {
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if hook != nil {
		hook(query)
	}
	engine, err := promql.New(promql.Options{Parallelism: 1})
	if err != nil {
		return nil, err
	}
	return engine.Instant(ctx, q, query, opts, at)
}

// slow has each query begin with f.
func (w *world) slow(f func(query string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = f
}

// inWorld runs f with a manager that evaluates the groups of a file named r.yml every 10 s, at moments that are multiples
// of that.
func inWorld(t *testing.T, text string, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, store: storagetest.NewStore(), start: time.Now()}
		w.opts = Options{
			Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelWarn})), Engine: w, Storage: w.store, Notifier: w,
			ResendDelay: time.Minute, GracePeriod: 10 * time.Minute, OutageTolerance: time.Hour,
		}
		w.boot(text)
		f(w)
		w.stop()
	})
}

// boot starts a manager.
func (w *world) boot(text string) {
	w.Helper()
	w.registry = prometheus.NewRegistry()
	w.opts.Registerer = w.registry
	var err error
	if w.m, err = New(w.opts); err != nil {
		w.Fatal(err)
	}
	w.configure(text)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.m.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	}
}

// parse reads groups, given without the word groups and less two columns of indentation.
func (w *world) parse(text string) *File {
	w.Helper()
	f, err := Parse("r.yml", []byte("groups:\n"+text), LoadOptions{Parser: parser.New(parser.Options{})})
	if err != nil {
		w.Fatal(err)
	}
	return f
}

func (w *world) configure(text string) {
	w.Helper()
	c, err := w.m.Prepare(Config{Files: []*File{w.parse(text)}, Interval: 10 * time.Second, ExternalLabels: labels.FromStrings("dc", "x")})
	if err != nil {
		w.Fatal(err)
	}
	c.Apply()
}

// wait lets time pass, and what is to happen meanwhile happen.
func (w *world) wait(d time.Duration) {
	time.Sleep(d) // The clock is the bubble's.
	synctest.Wait()
}

// write stores a sample of the current time.
func (w *world) write(metric string, v float64) {
	w.Helper()
	ls, err := parser.New(parser.Options{}).ParseMetric(metric)
	if err != nil {
		w.Fatal(err)
	}
	app := w.store.Appender()
	out := make([]storage.Outcome, 1)
	if err := app.Append(w.Context(), []storage.Entry{{Labels: ls, T: time.Now().UnixMilli(), V: v}}, out); err != nil || out[0].Err != nil {
		w.Fatal(err, out)
	}
	if err := app.Commit(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// keep writes a series every 5 s until the time has passed.
func (w *world) keep(d time.Duration, metric string, v float64) {
	w.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		w.write(metric, v)
		w.wait(5 * time.Second)
	}
}

// series returns what the selector finds, one line a series, with times as tens of seconds since the start, rounded down.
func (w *world) series(selector string) (lines []string) {
	w.Helper()
	ms, err := parser.New(parser.Options{}).ParseMetricSelector(selector)
	if err != nil {
		w.Fatal(err)
	}
	q, err := w.store.Querier(0, math.MaxInt64)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	set := q.Select(w.Context(), true, nil, ms...)
	for set.Next() {
		var c storage.Columns
		for r := set.At().Samples(nil); r.Read(&c); {
		}
		line := set.At().Labels().String()
		for i, t := range c.T {
			value := fmt.Sprint(c.F[i])
			if sample.IsStale(c.F[i]) {
				value = "stale"
			}
			line += fmt.Sprintf(" %d=%s", (t-w.start.UnixMilli())/10_000, value)
		}
		lines = append(lines, line)
	}
	return lines
}

// expect compares what a selector finds.
func (w *world) expect(selector string, want ...string) {
	w.Helper()
	got := w.series(selector)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.Errorf("%s\n got %s\nwant %s", selector, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// rule returns the status of the rule of that name.
func (w *world) rule(name string) RuleStatus {
	w.Helper()
	for _, g := range w.m.Groups() {
		for _, r := range g.Rules {
			if r.Name == name {
				return r
			}
		}
	}
	w.Fatalf("no rule %s", name)
	return RuleStatus{}
}

// states describes the alerts of a rule as STATE@SECONDS since the start, by the label i.
func (w *world) states(name string) string {
	var all []string
	for _, a := range w.rule(name).Alerts {
		all = append(all, fmt.Sprintf("%s%s@%d", a.Labels.Get("i"), a.State, a.ActiveAt.Sub(w.start)/time.Second))
	}
	return strings.Join(all, " ")
}

// counter returns the value of a metric, summed over its series.
func (w *world) counter(name string) float64 {
	w.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func staleValue() float64 { return sample.StaleNaN() }
