//go:build e2e && linux

package e2e

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a target that notes when it was scraped, and for how long the machine kept this process waiting: a test of
// cadence must not blame the server for a machine that is too busy.
type recorder struct {
	address string // host:port
	mu      sync.Mutex
	times   []time.Time
	stall   time.Duration // the longest delay of a timer
}

// newRecorder starts a target with one counter.
func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		r.times = append(r.times, time.Now())
		n := len(r.times)
		r.mu.Unlock()
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# TYPE e2e_scrapes_total counter\ne2e_scrapes_total %d\n", n)
	}))
	t.Cleanup(srv.Close)
	r.address = strings.TrimPrefix(srv.URL, "http://")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		r.watchStalls(stop)
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return r
}

func (r *recorder) watchStalls(stop <-chan struct{}) {
	const beat = 10 * time.Millisecond
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ticker.C:
			now := time.Now()
			r.mu.Lock()
			r.stall = max(r.stall, now.Sub(last)-beat)
			r.mu.Unlock()
			last = now
		case <-stop:
			return
		}
	}
}

// count is how often the target was scraped.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.times)
}

// awaitMore waits for n further scrapes.
func (r *recorder) awaitMore(t *testing.T, n int) {
	t.Helper()
	begin := r.count()
	eventually(t, 10*time.Second, "scrapes go on", func() error {
		if got := r.count() - begin; got < n {
			return fmt.Errorf("%d of %d more", got, n)
		}
		return nil
	})
}

// wantCadence checks that no scrape was missed since the first one. A gap of nearly two intervals, and what the machine may
// have added to it, is a missed scrape.
func (r *recorder) wantCadence(t *testing.T, interval time.Duration) {
	t.Helper()
	r.awaitMore(t, 2)
	r.mu.Lock()
	defer r.mu.Unlock()
	var widest time.Duration
	for i := 1; i < len(r.times); i++ {
		gap := r.times[i].Sub(r.times[i-1])
		widest = max(widest, gap)
		if gap > interval*7/4+r.stall {
			t.Errorf("no scrape for %v, after %v: the interval is %v", gap, r.times[i-1].Sub(r.times[0]), interval)
		}
	}
	t.Logf("%d scrapes of %s every %v; widest gap %v; timers were late by up to %v", len(r.times), r.address, interval, widest, r.stall)
}

// staticJob is a job with static targets, as an entry of scrape_configs.
func staticJob(name, interval string, addresses ...string) string {
	return fmt.Sprintf("  - job_name: %s\n    scrape_interval: %s\n    scrape_timeout: %[2]s\n    static_configs: [{targets: ['%s']}]\n",
		name, interval, strings.Join(addresses, "', '"))
}

// history is a target that tells the same story to every server: moment after moment, timestamps included, each on a path
// of its own and at its own pace. What two servers store is therefore equal.
type history struct {
	address string
	start   time.Time // of the first moment; whole minutes
	step    time.Duration
	moments int

	mu   sync.Mutex
	told map[string]int // the moment that each path is at
}

// newHistory tells the last 50 minutes in 100 moments, which is young enough for a head.
func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{step: 30 * time.Second, moments: 100, told: map[string]int{}}
	h.start = time.Now().Add(-time.Duration(h.moments) * h.step).Truncate(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte(h.body(h.at(r.URL.Path))))
	}))
	t.Cleanup(srv.Close)
	h.address = strings.TrimPrefix(srv.URL, "http://")
	return h
}

// at returns the moment that a path is at.
func (h *history) at(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told[path]
}

// end is the time of the last moment.
func (h *history) end() time.Time { return h.start.Add(time.Duration(h.moments-1) * h.step) }

// job is the configuration of a server that is told the history under a path.
func (h *history) job(path string) string {
	return fmt.Sprintf("scrape_configs:\n  - job_name: history\n    scrape_interval: 20ms\n    scrape_timeout: 20ms\n"+
		"    metrics_path: %s\n    static_configs: [{targets: ['%s']}]\n", path, h.address)
}

// tell tells a server everything under a path: the next moment when it knows the last one.
func (h *history) tell(c client, path string) {
	c.t.Helper()
	for i := range h.moments {
		h.mu.Lock()
		h.told[path] = i
		h.mu.Unlock()
		at := h.start.Add(time.Duration(i) * h.step)
		eventually(c.t, 20*time.Second, fmt.Sprintf("moment %d is stored", i), func() error {
			if got := c.query("e2e_moment", at); len(got) != 1 || got[0].Value.v != float64(i) {
				return fmt.Errorf("e2e_moment is %v", got)
			}
			return nil
		})
	}
}

// body is the exposition of a moment.
func (h *history) body(i int) string {
	var b strings.Builder
	at := h.start.Add(time.Duration(i) * h.step).UnixMilli()
	family := func(name, kind string) {
		fmt.Fprintf(&b, "# HELP %s Part of the history.\n# TYPE %[1]s %s\n", name, kind)
	}
	line := func(series string, v float64) { fmt.Fprintf(&b, "%s %v %d\n", series, v, at) }
	family("e2e_moment", "gauge")
	line("e2e_moment", float64(i))
	family("e2e_requests_total", "counter")
	for j, method := range []string{"get", "post", "put"} {
		for k, code := range []string{"200", "404", "500"} {
			n := i
			if j == 1 && i >= 60 {
				n = i - 60 // a restart
			}
			line(fmt.Sprintf(`e2e_requests_total{method=%q,code=%q}`, method, code), float64(n*(7*j+3*k+1)))
		}
	}
	family("e2e_temperature_celsius", "gauge")
	for j, room := range []string{"attic", "cellar", "größe \\\"L\\\"\\n"} {
		line(fmt.Sprintf(`e2e_temperature_celsius{room="%s"}`, room), math.Round(160*math.Sin(float64(i+10*j)/9))/8)
	}
	family("e2e_latency_seconds", "histogram")
	for j, le := range []string{"0.1", "0.5", "1", "2.5", "+Inf"} {
		line(fmt.Sprintf(`e2e_latency_seconds_bucket{le=%q}`, le), float64(i*(j+1)*(j+2)))
	}
	line("e2e_latency_seconds_sum", float64(i)*12.5)
	line("e2e_latency_seconds_count", float64(i*30))
	family("e2e_odd", "untyped")
	line(`e2e_odd{is="nan"}`, math.NaN())
	line(`e2e_odd{is="inf"}`, math.Inf(1))
	line(`e2e_odd{is="tiny"}`, 5e-324)
	line(`e2e_odd{is="negative"}`, -1.0/3)
	if i < h.moments/2 {
		family("e2e_gone", "gauge")
		line("e2e_gone", float64(i%5))
	}
	if i%4 == 0 {
		family("e2e_rare", "gauge")
		line("e2e_rare", float64(i%16))
	}
	return b.String()
}
