package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/host/httpclient"
	"github.com/narthex-io/narthex/internal/strictyaml"
	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a manager between a test and the Alertmanagers that the test plays.
type world struct {
	t       *testing.T
	m       *Manager
	reg     *prometheus.Registry
	updates chan map[string][]sdk.Group
	cancel  context.CancelFunc
	done    chan error
	log     syncBuffer

	mu sync.Mutex
	// answer plays the Alertmanagers, by host.
	answer func(ctx context.Context, host string, alerts []postableAlert) (status int, err error)
	got    []request
	header http.Header

	notifiers []sdk.Notifier
}

// request is what an Alertmanager received, at a time since the world began.
type request struct {
	host, path string
	alerts     []string
	at         time.Duration
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// inWorld runs a test in a bubble, with a manager that runs with the section alerting given as YAML.
func inWorld(t *testing.T, opts Options, section string, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, reg: prometheus.NewRegistry(), updates: make(chan map[string][]sdk.Group), done: make(chan error, 1), header: http.Header{}}
		w.answer = func(context.Context, string, []postableAlert) (int, error) { return 200, nil }
		begin := time.Now()
		opts.Log, opts.Registerer = slog.New(slog.NewTextHandler(&w.log, nil)), w.reg
		opts.NewClient = func(httpclient.Config) (*http.Client, error) {
			return &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) { return w.serve(begin, r) })}, nil
		}
		var err error
		if w.m, err = New(opts); err != nil {
			t.Fatal(err)
		}
		var ctx context.Context
		ctx, w.cancel = context.WithCancel(t.Context())
		go func() { w.done <- w.m.Run(ctx, w.updates) }()
		w.load(section)
		test(t, w)
		w.stop()
	})
}

// stop ends the manager and waits for it.
func (w *world) stop() {
	w.cancel()
	if w.done == nil {
		return
	}
	if err := <-w.done; err != nil {
		w.t.Error(err)
	}
	w.done = nil
}

// load applies a section, and has discovery say what is static in it.
func (w *world) load(section string) {
	w.t.Helper()
	doc, err := strictyaml.Parse([]byte(section))
	if err != nil {
		w.t.Fatal(err)
	}
	var cfg Config
	if err := errors.Join(doc.Decode(&cfg), cfg.Complete("", false)); err != nil {
		w.t.Fatal(err)
	}
	change, err := w.m.Prepare(&cfg, labels.FromStrings("region", "eu"), w.notifiers)
	if err != nil {
		w.t.Fatal(err)
	}
	change.Apply()
	groups := map[string][]sdk.Group{}
	for i, am := range cfg.Alertmanagers {
		groups[JobName(i)] = am.Discovery.Groups()
	}
	w.updates <- groups
	synctest.Wait()
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (w *world) serve(begin time.Time, r *http.Request) (*http.Response, error) {
	var alerts []postableAlert
	if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil {
		w.t.Error(err)
	}
	req := request{host: r.Host, path: r.URL.Path, at: time.Since(begin)}
	for _, a := range alerts {
		req.alerts = append(req.alerts, a.Labels["alertname"]+a.Annotations["is"])
	}
	w.mu.Lock()
	w.got = append(w.got, req)
	answer := w.answer
	w.mu.Unlock()
	status, err := answer(r.Context(), r.Host, alerts)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: w.header, Request: r, Body: io.NopCloser(strings.NewReader("said so")),
	}, nil
}

// as plays the Alertmanagers from now on.
func (w *world) as(answer func(ctx context.Context, host string, alerts []postableAlert) (int, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// status plays Alertmanagers that all answer the same.
func (w *world) status(code int) {
	w.as(func(context.Context, string, []postableAlert) (int, error) { return code, nil })
}

// requests returns what has come since the last call.
func (w *world) requests() []request {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

// send sends firing alerts by name, good for four minutes; a name such as a=2 is the alert a in the state 2.
func (w *world) send(names ...string) {
	var alerts []Alert
	for _, name := range names {
		name, state, _ := strings.Cut(name, "=")
		alerts = append(alerts, Alert{
			Labels: labels.FromStrings("alertname", name), Annotations: map[string]string{"is": state},
			StartsAt: time.Now(), EndsAt: time.Now().Add(4 * time.Minute),
		})
	}
	w.m.Send(context.Background(), alerts...)
}

// sent returns the alerts of all requests in one line: those of a request joined by commas.
func (w *world) sent() string {
	var lines []string
	for _, r := range w.requests() {
		lines = append(lines, strings.Join(r.alerts, ","))
	}
	return strings.Join(lines, " ")
}

// counted returns the sum of a metric's series.
func (w *world) counted(name string) float64 {
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
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

func (w *world) wantCounts(want map[string]float64) {
	w.t.Helper()
	synctest.Wait()
	for name, n := range want {
		full := "prometheus_notifications_" + name
		if name == "superseded_total" {
			full = "narthex_notifications_" + name
		}
		if got := w.counted(full); got != n {
			w.t.Errorf("%s is %v, want %v", full, got, n)
		}
	}
}

func (w *world) wantSent(want string) {
	w.t.Helper()
	if got := w.sent(); got != want {
		w.t.Errorf("sent %q, want %q", got, want)
	}
}

func (w *world) wantLog(text string) {
	w.t.Helper()
	if !strings.Contains(w.log.String(), text) {
		w.t.Errorf("%q is not in the log:\n%s", text, w.log.String())
	}
}
