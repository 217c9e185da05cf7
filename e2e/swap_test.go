//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// swapped is a plugin that is exchanged again and again, and where it is used.
type swapped struct {
	name   string
	native bool
	// job is its entry of scrape_configs; rest are other sections.
	job, rest string
	// target is whom its job scrapes, if that is not the guest itself.
	target *recorder
	// versions are the files that take turns.
	versions [2][]byte
}

const swapInterval = 100 * time.Millisecond

// TestSwapUnderLoad exchanges a plugin of each kind a hundred times, each time for another file, while everything that needs them is
// scraped or asked ten times a second and more. Nobody notices, and nothing stays behind. SWAPS sets another number.
func TestSwapUnderLoad(t *testing.T) {
	swaps := 100
	if text := os.Getenv("SWAPS"); text != "" {
		var err error
		if swaps, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	control, plugins := newRecorder(t), t.TempDir()
	all := swappedPlugins(t)
	config := "global: {scrape_failure_log_file: failures}\nscrape_configs:\n" + staticJob("control", swapInterval.String(), control.address)
	rest := ""
	for _, p := range all {
		config, rest = config+p.job, rest+p.rest
		p.install(t, plugins, 0)
		p.install(t, plugins, 1) // so that both are compiled before it counts
	}
	s := start(t, options{config: config + rest, plugins: plugins})
	reload := func() {
		t.Helper()
		if status, body := s.reload(); status != http.StatusOK {
			t.Fatalf("reload answers %d %s", status, body)
		}
	}
	swap := func(version int) {
		t.Helper()
		for _, p := range all {
			p.install(t, plugins, version)
		}
		reload()
	}
	swap(0)
	swap(1)
	s.awaitCalm(t)
	before := s.holdings(t)

	requests := askContinuously(t, s)
	begin, digests := time.Now(), map[string]string{}
	for i := range swaps {
		swap(i % 2)
		for _, p := range all {
			info := s.plugin(p.name)
			if info.State != "ready" || info.LastError != "" || info.Digest == digests[p.name] {
				t.Fatalf("after %d swaps %s is listed as %+v", i+1, p.name, info)
			}
			digests[p.name] = info.Digest
		}
	}
	took := time.Since(begin)
	asked, refused := requests()
	t.Logf("%d swaps of %d plugins in %v; %d requests, %d refused", swaps, len(all), took, asked, refused)
	if refused > 0 {
		t.Errorf("%d of %d requests were refused", refused, asked)
	}
	wantNoFailures(t, filepath.Join(s.dir, "failures"))
	wantSteady(t, s, control, all)
	s.awaitCalm(t)
	after := s.holdings(t)
	t.Logf("before %v; after %v", before, after)
	const few = 10
	if after.children != before.children || after.descriptors > before.descriptors+few || after.goroutines > before.goroutines+few {
		t.Errorf("something stayed behind: before %v; after %v", before, after)
	}
}

// swappedPlugins builds the plugins.
func swappedPlugins(t *testing.T) []*swapped {
	t.Helper()
	built := buildAttacker(t)
	target, body := newRecorder(t), newRecorder(t)
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		if r.Header.Get("X-Signed") != "yes" {
			http.Error(w, "not signed", http.StatusUnauthorized)
		}
	}))
	t.Cleanup(guarded.Close)
	job := func(name, rest string) string {
		return fmt.Sprintf("  - job_name: %s\n    scrape_interval: %v\n    scrape_timeout: %[2]v\n    %s\n", name, swapInterval, rest)
	}
	all := []*swapped{
		{name: "sd-found", target: target, job: job("found", "found_sd_configs: [{do: peace, target: '"+target.address+"'}]")},
		{name: "exporter-work", job: job("worker", "exporters: [{plugin: exporter-work, config: {do: peace}}]")},
		{name: "exporter-native", native: true, job: job("process", "exporters: [{plugin: exporter-native, config: {do: peace}}]")},
		{name: "parser-swap", target: body, job: job("parsed", "static_configs: [{targets: ['"+body.address+"']}]\n    parser: {plugin: parser-swap, config: {do: peace}}")},
		{name: "auth-sign", job: job("signed", "static_configs: [{targets: ['"+guarded.Listener.Addr().String()+"']}]\n    sign_auth: {do: peace}")},
		{name: "auth-gate", rest: "web: {auth: [{gate_auth: {do: peace}}]}\n"},
	}
	for _, p := range all {
		source, extension := filepath.Join(built.wasm, "exporter-attacker.wasm"), ".wasm"
		if p.native {
			source, extension = filepath.Join(built.native, "exporter-attacker"), ""
		}
		for i := range p.versions {
			file := filepath.Join(t.TempDir(), fmt.Sprintf("%s-%d%s", p.name, i, extension))
			disguise(t, source, file)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p.versions[i] = text
		}
	}
	return all
}

// install puts a version in place as a package manager does.
func (p *swapped) install(t *testing.T, plugins string, version int) {
	t.Helper()
	path := filepath.Join(plugins, p.name)
	if !p.native {
		path += ".wasm"
	}
	if err := os.WriteFile(path+".new", p.versions[version], 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// askContinuously sends requests until the function that it returns is called, which says how many there were, and how many were
// answered badly.
func askContinuously(t *testing.T, s *server) func() (asked, refused int64) {
	t.Helper()
	var all, bad atomic.Int64
	quit := make(chan struct{})
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-quit:
					return
				}
				status, body, err := s.try(http.MethodGet, "/api/v1/query?query=1", nil)
				all.Add(1)
				if err != nil || status != http.StatusOK {
					bad.Add(1)
					t.Logf("a request is answered %d %s, %v", status, body, err)
				}
			}
		})
	}
	stop := sync.OnceFunc(func() {
		close(quit)
		wait.Wait()
	})
	t.Cleanup(stop)
	return func() (int64, int64) {
		stop()
		return all.Load(), bad.Load()
	}
}

// wantNoFailures looks at each scrape that failed. With a tenth of a second for a scrape a busy machine makes some late, whoever is
// scraped; any other reason is the server's fault.
func wantNoFailures(t *testing.T, log string) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	late, jobs := regexp.MustCompile(`context deadline exceeded|Client.Timeout`), map[string]int{}
	for line := range strings.Lines(string(text)) {
		if !late.MatchString(line) {
			t.Errorf("a scrape failed: %s", line)
			continue
		}
		if match := regexp.MustCompile(`"job_name":"(\w+)"`).FindStringSubmatch(line); match != nil {
			jobs[match[1]]++
		}
	}
	t.Logf("scrapes that were late: %v", jobs)
}

// wantSteady compares jobs of swapped plugins with a job that has nothing to do with them: as many scrapes, and no wider gaps. What
// the machine does to them all is nobody's fault.
func wantSteady(t *testing.T, s *server, control *recorder, all []*swapped) {
	t.Helper()
	counts := map[string]float64{}
	for _, found := range s.query(`count_over_time(up[1h])`) {
		counts[found.Metric["job"]] = found.Value.v
	}
	t.Logf("scrapes: %v", counts)
	for job, n := range counts {
		if n < 0.97*counts["control"]-10 {
			t.Errorf("job %s was scraped %v times, the control job %v times", job, n, counts["control"])
		}
	}
	most := max(control.widest(), swapInterval*7/4) + swapInterval + control.longestStall()
	for _, p := range all {
		if p.target == nil {
			continue
		}
		gap := p.target.widest()
		t.Logf("widest gap of %s %v, of the control job %v", p.name, gap, control.widest())
		if gap > most {
			t.Errorf("the target of %s was not scraped for %v; the control job's widest gap is %v", p.name, gap, control.widest())
		}
	}
}

// widest is the widest gap between two scrapes.
func (r *recorder) widest() (gap time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.times); i++ {
		gap = max(gap, r.times[i].Sub(r.times[i-1]))
	}
	return gap
}

// holdings are what a server holds that guests could leave behind.
type holdings struct {
	children, descriptors, goroutines int
}

func (h holdings) String() string {
	return fmt.Sprintf("%d processes, %d descriptors, %d goroutines", h.children, h.descriptors, h.goroutines)
}

func (s *server) holdings(t *testing.T) (h holdings) {
	t.Helper()
	pid := s.cmd.Process.Pid
	h.children = len(slices.DeleteFunc(children(t, pid), func(c child) bool { return !c.runs() }))
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	h.descriptors = len(descriptors)
	goroutines, _ := s.metric("go_goroutines", "")
	h.goroutines = int(goroutines)
	return h
}

// awaitCalm waits until retired guests are gone, which have ten seconds to answer those who have not noticed yet: until what the
// server holds has not changed for longer than that takes.
func (s *server) awaitCalm(t *testing.T) {
	t.Helper()
	const calm = 12 * time.Second
	last, since := s.holdings(t), time.Now()
	eventually(t, time.Minute, "retired guests end", func() error {
		if h := s.holdings(t); h.children != last.children || h.goroutines > last.goroutines+5 || h.goroutines < last.goroutines-5 {
			last, since = h, time.Now()
		}
		if d := time.Since(since); d < calm {
			return fmt.Errorf("there are %v, for %v", last, d)
		}
		return nil
	})
}
