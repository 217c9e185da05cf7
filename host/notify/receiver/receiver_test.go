package receiver

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/relabel"
	"github.com/narthex-io/narthex/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a receiver between a test and the plugin that the test plays.
type world struct {
	t   *testing.T
	dir string
	cfg *Config
	reg *prometheus.Registry
	m   *Metrics
	log bytes.Buffer

	*Receiver
	cancel context.CancelCauseFunc
	ended  chan struct{}

	mu     sync.Mutex
	answer func(ctx context.Context) error
	got    []sdk.Message
}

func inWorld(t *testing.T, groupBy string, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: filepath.Join(t.TempDir(), "notify", "r"), reg: prometheus.NewRegistry()}
		w.cfg = &Config{
			Name: "r", GroupBy: strings.Fields(groupBy), SendResolved: true, GroupWait: model.Duration(10 * time.Second),
			GroupInterval: model.Duration(time.Minute), RepeatInterval: model.Duration(time.Hour),
		}
		var err error
		if w.m, err = NewMetrics(w.reg); err != nil {
			t.Fatal(err)
		}
		w.as(nil)
		w.start()
		test(t, w)
		w.stop(nil)
	})
}

// start starts a receiver over the folder.
func (w *world) start() {
	w.Receiver = New(Options{
		Dir: w.dir, Capacity: 5, ExternalURL: func() string { return "http://narthex" }, Metrics: w.m,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}, w.cfg, w)
	var ctx context.Context
	ctx, w.cancel = context.WithCancelCause(w.t.Context())
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		w.Run(ctx)
	}()
	synctest.Wait()
}

func (w *world) stop(cause error) {
	w.cancel(cause)
	<-w.ended
}

// Notify plays the plugin.
func (w *world) Notify(ctx context.Context, b sdk.Batch) error {
	m, err := b.Message()
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	w.got = append(w.got, m)
	answer := w.answer
	w.mu.Unlock()
	return answer(ctx)
}

// messages returns what was told since the last look, and forgets it.
func (w *world) messages() []sdk.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

func (w *world) as(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = func(context.Context) error { return err }
}

// fire sends alerts that are good for four minutes, as {alertname="a"} or as a/b for {alertname="a", job="b"}; resolve ends
// them.
func (w *world) fire(names ...string)    { w.send(4*time.Minute, names) }
func (w *world) resolve(names ...string) { w.send(0, names) }

func (w *world) send(good time.Duration, names []string) {
	var alerts []Alert
	for _, name := range names {
		name, job, _ := strings.Cut(name, "/")
		alerts = append(alerts, Alert{
			Labels: labels.FromStrings("alertname", name, "job", job), StartsAt: time.Now(), EndsAt: time.Now().Add(good),
		})
	}
	w.Send(alerts)
}

// after waits and returns what was told: "a b -c" for a batch in which a and b fire and c is resolved; batches are joined by
// " | ".
func (w *world) after(d time.Duration) string {
	time.Sleep(d)
	synctest.Wait()
	var batches []string
	for _, m := range w.messages() {
		var names []string
		for _, a := range m.Alerts {
			sign := ""
			if a.Status == sdk.StatusResolved {
				sign = "-"
			}
			names = append(names, sign+a.Labels["alertname"])
		}
		batches = append(batches, strings.Join(names, " "))
	}
	return strings.Join(batches, " | ")
}

func (w *world) wantTold(d time.Duration, want string) {
	w.t.Helper()
	if got := w.after(d); got != want {
		w.t.Errorf("told %q, want %q", got, want)
	}
}

// firingFor has alerts fire, sent again each minute as the rules do, for some minutes, and returns what was told.
func (w *world) firingFor(minutes int, names ...string) string {
	var told []string
	for range minutes {
		w.fire(names...)
		if got := w.after(time.Minute); got != "" {
			told = append(told, got)
		}
	}
	return strings.Join(told, " | ")
}

func (w *world) counted(name string) (sum float64) {
	families, err := w.reg.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "narthex_notify_"+name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// files counts the files that are kept.
func (w *world) files() int {
	found, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	return len(found)
}

var errDown = errors.New("connection refused")

func TestGroupsAndIntervals(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		w.fire("a")
		w.wantTold(5*time.Second, "")
		w.fire("b")
		w.wantTold(5*time.Second, "a b")
		w.fire("c") // Waits for the interval.
		w.wantTold(59*time.Second, "")
		w.wantTold(time.Second, "a b c")
		if got := w.firingFor(5, "a", "b", "c"); got != "" {
			t.Errorf("nothing is new, but told %s", got)
		}
		w.resolve("b")
		w.wantTold(time.Minute, "a -b c")
		w.resolve("a", "c")
		w.wantTold(time.Minute, "-a -c")
		w.wantTold(time.Hour, "")
		if w.files() != 0 || w.counted("alerts") != 0 {
			t.Errorf("%d files and %v alerts are left", w.files(), w.counted("alerts"))
		}
	})
}

func TestGroupBy(t *testing.T) {
	inWorld(t, "job", func(_ *testing.T, w *world) {
		w.fire("a/x", "b/x", "c/y")
		w.after(9 * time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		got := w.after(0)
		if got != "a b | c" && got != "c | a b" {
			w.t.Errorf("told %q", got)
		}
	})
	inWorld(t, "...", func(t *testing.T, w *world) {
		t.Helper()
		w.fire("a/x", "b/x")
		if got := w.after(10 * time.Second); got != "a | b" && got != "b | a" {
			t.Errorf("told %q", got)
		}
	})
}

func TestMessage(t *testing.T) {
	inWorld(t, "job", func(t *testing.T, w *world) {
		t.Helper()
		start := time.Now().UTC()
		for _, name := range []string{"b", "a"} {
			w.Send([]Alert{{
				Labels: labels.FromStrings("alertname", name, "job", "x", "env", "prod"), Annotations: map[string]string{"same": "s", "summary": name},
				StartsAt: start, GeneratorURL: "http://g",
			}})
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		m := w.messages()[0]
		if m.Version != "4" || m.Status != "firing" || m.Receiver != "r" || m.GroupKey != `{job="x"}` || m.GroupLabels["job"] != "x" ||
			m.CommonLabels["env"] != "prod" || m.CommonLabels["alertname"] != "" || len(m.CommonAnnotations) != 1 || m.ExternalURL != "http://narthex" {
			t.Errorf("message is %+v", m)
		}
		// The fingerprint is the one that the Alertmanager shows for these labels.
		if a := m.Alerts[0]; a.Labels["alertname"] != "a" || !a.StartsAt.Equal(start) || !a.EndsAt.IsZero() || a.GeneratorURL != "http://g" ||
			a.Fingerprint != (model.LabelSet{"alertname": "a", "job": "x", "env": "prod"}).Fingerprint().String() {
			t.Errorf("alert is %+v", a)
		}
		if got := w.after(5 * time.Minute); got != "-a -b" { // An alert without an end is over when it is no longer heard of.
			t.Errorf("told %q", got)
		}
	})
}

// TestRetry has a plugin fail: what is delivered in the end is what the alerts have come to, once.
func TestRetry(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		w.as(errDown)
		w.fire("a", "b")
		tries := strings.Count(w.after(30*time.Second), "a b")
		if tries < 4 || tries > 6 {
			t.Errorf("%d tries in 20 s", tries)
		}
		if w.counted("pending_batches") != 1 || w.files() != 1 {
			t.Errorf("%v batches are pending, in %d files", w.counted("pending_batches"), w.files())
		}
		w.resolve("b") // Nobody was told that it fires; but it was to be told.
		w.fire("a", "c")
		w.after(30 * time.Second)
		w.as(nil)
		w.wantTold(time.Minute, "a -b c")
		w.wantTold(time.Minute, "")
		if w.counted("pending_batches") != 0 || !strings.Contains(w.log.String(), "delivered after all") {
			t.Errorf("%v batches are pending; log:\n%s", w.counted("pending_batches"), &w.log)
		}
	})
}

// TestSameBatchKeepsItsID has a batch sent again as it was, and then another.
func TestSameBatchKeepsItsID(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		w.as(errDown)
		w.fire("a")
		time.Sleep(12 * time.Second)
		synctest.Wait()
		got := w.messages()
		if len(got) < 2 || got[0].ID == "" || got[0].ID != got[1].ID {
			t.Fatalf("messages are %+v", got)
		}
		first := got[0].ID
		w.fire("b")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got = w.messages(); len(got) == 0 || got[0].ID == first {
			t.Errorf("messages are %+v, the first was %s", got, first)
		}
	})
}

func TestRejected(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		w.as(sdk.Rejected(errors.New("bad")))
		w.fire("a")
		w.wantTold(10*time.Second, "a")
		if got := w.firingFor(3, "a"); got != "" {
			t.Errorf("what was rejected is told again: %s", got)
		}
		if w.counted("dropped_total") != 1 || w.counted("pending_batches") != 0 {
			t.Errorf("%v are dropped", w.counted("dropped_total"))
		}
		w.as(nil)
		w.fire("a", "b")
		w.wantTold(time.Minute, "a b")
	})
}

func TestRepeat(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		if got := w.firingFor(125, "a"); got != "a | a | a" {
			t.Errorf("told %q in two hours", got)
		}
	})
}

func TestResolvedIsNotWanted(t *testing.T) {
	inWorld(t, "", func(_ *testing.T, w *world) {
		cfg := *w.cfg
		cfg.SendResolved = false
		w.Set(&cfg, w)
		w.fire("a")
		w.wantTold(10*time.Second, "a")
		w.resolve("a")
		w.wantTold(time.Hour, "")
		w.as(errDown)
		w.fire("b")
		w.after(11 * time.Second)
		w.resolve("b")
		w.as(nil)
		w.wantTold(time.Minute, "-b") // It was to be told before.
	})
}

func TestShortAlertIsNotTold(t *testing.T) {
	inWorld(t, "", func(_ *testing.T, w *world) {
		w.fire("a")
		w.resolve("a")
		w.resolve("b")
		w.wantTold(time.Hour, "")
	})
}

// TestFiresAgain has an alert that was told to be resolved fire again, and one that fires again before that was told.
func TestFiresAgain(t *testing.T) {
	inWorld(t, "", func(_ *testing.T, w *world) {
		w.fire("a", "b")
		w.wantTold(10*time.Second, "a b")
		w.resolve("a", "b")
		w.fire("b")
		w.wantTold(time.Minute, "-a b")
		w.fire("a", "b")
		w.wantTold(time.Minute, "a b")
	})
}

// TestRelabel has alerts changed and chosen for the receiver.
func TestRelabel(t *testing.T) {
	inWorld(t, "...", func(t *testing.T, w *world) {
		t.Helper()
		cfg := *w.cfg
		cfg.AlertRelabelConfigs = []*relabel.Config{
			{SourceLabels: []string{"job"}, Regex: "x", Action: relabel.Drop},
			{Regex: "job", Action: relabel.LabelDrop},
		}
		for i, rule := range cfg.AlertRelabelConfigs {
			full := relabel.Default()
			full.SourceLabels, full.Regex, full.Action = rule.SourceLabels, rule.Regex, rule.Action
			cfg.AlertRelabelConfigs[i] = &full
		}
		if err := cfg.Check(false); err != nil {
			t.Fatal(err)
		}
		w.Set(&cfg, w)
		w.fire("a/x", "b/y", "b/z")
		w.wantTold(time.Hour, "b | -b")
	})
}

// TestRestart has a batch undelivered at the end of one run delivered once in the next, and everything else not told again.
func TestRestart(t *testing.T) {
	inWorld(t, "job", func(t *testing.T, w *world) {
		t.Helper()
		w.fire("told/x")
		w.wantTold(10*time.Second, "told")
		w.as(errDown)
		w.fire("late/y")
		w.after(15 * time.Second)
		w.stop(nil)
		w.as(nil)
		time.Sleep(10 * time.Minute)
		w.start()
		w.wantTold(time.Second, "late")
		w.fire("told/x", "late/y")
		w.wantTold(time.Minute, "")
		if got := w.after(14 * time.Minute); len(got) != len("-told | -late") || !strings.Contains(got, "-told") { // Neither was heard of again.
			t.Errorf("told %q", got)
		}

		w.fire("new/z") // Not yet told when the server stops.
		synctest.Wait()
		w.stop(nil)
		w.start()
		w.wantTold(10*time.Second, "new")
		w.stop(nil)
		w.start()
		if got := w.firingFor(20, "new/z"); got != "" {
			t.Errorf("told again: %s", got)
		}
	})
}

// TestStopLetsADeliveryEnd has a delivery under way end, for a while, when the server stops, so that it is not repeated.
func TestStopLetsADeliveryEnd(t *testing.T) {
	slow := func(d time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	check := func(takes time.Duration, cause error, want time.Duration, again string) {
		t.Helper()
		inWorld(t, "", func(t *testing.T, w *world) {
			t.Helper()
			w.answer = slow(takes)
			w.fire("a")
			w.wantTold(11*time.Second, "a")
			begin := time.Now()
			w.stop(cause)
			if took := time.Since(begin); took != want {
				t.Errorf("stopping took %v, want %v", took, want)
			}
			w.as(nil)
			w.start()
			w.wantTold(time.Second, again)
		})
	}
	check(3*time.Second, nil, 2*time.Second, "")
	check(time.Hour, nil, stopGrace, "a")
	check(time.Hour, ErrRemoved, 0, "a")
}

func TestDamagedFiles(t *testing.T) {
	inWorld(t, "job", func(t *testing.T, w *world) {
		t.Helper()
		w.as(errDown)
		w.fire("a/x", "b/y", "c/z")
		w.after(15 * time.Second)
		w.stop(nil)
		files, err := filepath.Glob(filepath.Join(w.dir, "*.group"))
		if err != nil || len(files) != 3 {
			t.Fatal(files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		write := func(path string, text []byte) {
			t.Helper()
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(files[0], text[:len(text)/2])
		write(files[1], nil)
		write(filepath.Join(w.dir, "tmp-1"), text)
		write(filepath.Join(w.dir, "other"), text)
		w.as(nil)
		w.start()
		if got := w.after(time.Second); got != "a" && got != "b" && got != "c" {
			t.Errorf("told %q", got)
		}
		if w.counted("damaged_groups_total") != 2 || strings.Count(w.log.String(), "cannot be used") != 2 {
			t.Errorf("%v are damaged; log:\n%s", w.counted("damaged_groups_total"), &w.log)
		}
		if w.files() != 2 { // The one that is good, and the one of somebody else.
			t.Errorf("%d files are left", w.files())
		}
	})
}

// TestDiskFailure has alerts told that cannot be kept.
func TestDiskFailure(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(w.dir), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.dir, nil, 0o600); err != nil { // A file where the folder belongs.
			t.Fatal(err)
		}
		w.fire("a")
		w.wantTold(10*time.Second, "a")
		w.resolve("a")
		w.wantTold(time.Minute, "-a")
		if n := w.counted("disk_errors_total"); n == 0 || strings.Count(w.log.String(), "cannot be kept") != 1 {
			t.Errorf("%v errors; log:\n%s", n, &w.log)
		}
	})
}

func TestCapacity(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		w.fire("a", "b", "c", "d", "e", "f")
		w.wantTold(10*time.Second, "a b c d e")
		w.fire("a", "b", "c", "d", "e")
		w.resolve("a")
		w.wantTold(time.Minute, "-a b c d e")
		w.fire("f")
		w.wantTold(time.Minute, "b c d e f")
		if w.counted("dropped_total") != 1 {
			t.Errorf("%v are dropped", w.counted("dropped_total"))
		}
	})
}

func TestExpiry(t *testing.T) {
	inWorld(t, "", func(t *testing.T, w *world) {
		t.Helper()
		w.as(errDown)
		w.fire("a")
		w.after(time.Minute)
		w.resolve("a")
		w.after(maxWait + 10*time.Minute)
		if w.counted("dropped_total") != 1 || w.counted("pending_batches") != 0 || w.files() != 0 {
			t.Errorf("%v are dropped, %v pending, %d files", w.counted("dropped_total"), w.counted("pending_batches"), w.files())
		}
	})
}

// TestRegroup has the labels that make groups change while alerts are told and untold.
func TestRegroup(t *testing.T) {
	inWorld(t, "", func(_ *testing.T, w *world) {
		w.fire("a/x", "b/y")
		w.wantTold(10*time.Second, "a b")
		w.as(errDown)
		w.fire("c/y")
		w.after(61 * time.Second)
		other := *w.cfg
		other.GroupBy = []string{"job"}
		w.Set(&other, w)
		w.as(nil)
		w.wantTold(time.Minute, "b c")
		w.wantTold(time.Minute, "")
		if w.files() != 2 {
			w.t.Errorf("%d files", w.files())
		}
		w.stop(nil)
		w.start() // With the groups of before.
		w.fire("a/x", "b/y", "c/y")
		w.wantTold(time.Minute, "")
		w.resolve("a/x", "b/y", "c/y")
		w.wantTold(2*time.Minute, "-a -b -c")
	})
}

func FuzzParse(f *testing.F) {
	g := newGroup(map[string]string{"a": "b"})
	g.put(Alert{Labels: labels.FromStrings("a", "b")}, map[string]string{"a": "b"}, time.Unix(1e9, 0))
	text, err := encode(g)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(magic + "00000000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := parse(text)
		if err != nil {
			return
		}
		g.plan(&Config{SendResolved: true}, time.Unix(1e9, 0))
		_ = g.message("r", "u")
		if _, err := encode(g); err != nil {
			t.Error(err)
		}
	})
}
