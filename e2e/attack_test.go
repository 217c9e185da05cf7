//go:build e2e && linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What a server may suffer from a guest that attacks it.
const (
	controlInterval = 200 * time.Millisecond
	// collectWithin is how long a garbage collection may take from the request for it to its end. A guest that holds one up
	// holds it up for as long as it runs.
	collectWithin = time.Second
	// longestPause is for which the collector may stop the server. Idle, it is a fraction of a millisecond.
	longestPause = 50 * time.Millisecond
	// mostMemoryKiB is what a server may have resident at its peak.
	mostMemoryKiB = 400 << 10
	// promptly is how long a server may take to stop while it is under attack: a guest gets two seconds to end by itself.
	promptly = 3 * time.Second
	// mostLogBytes is what a server may log in the seconds that an attack takes.
	mostLogBytes = 256 << 10
)

// attack is one case.
type attack struct {
	name string
	// places are where the guest runs: inline, worker, process, and shared, a process that could have others in it and is a place
	// for whatever process is one for. None means all.
	places []string
	// plugin is the attacker's name; empty means exporter-attacker.
	plugin string
	// kind is exporter, which is the default, discovery, auth, sign or parser; a parser reads what the target at body says, and
	// requests there are signed.
	kind, body string
	// config is the attacker's section, in YAML's short form, such as {do: loop}.
	config string
	// settings are the plugin's settings, such as limits: {memory: 64MiB}, without the isolation.
	settings string
	// args are more flags for the server.
	args []string
	// Exactly one of the following says how the attack ends. reason is a pattern for what /api/v1/plugins says; refused one for
	// the answer to the reload that was to bring the attacker in; down one for the error of the attacker's target; and alive an
	// expression that has a result when the guest has done its worst and lives.
	reason, refused, down, alive string
	// on is done to the server before the end of the attack is looked for.
	on func(t *testing.T, s *server)
	// in makes what the server finds around it; nil is what the test itself has.
	in func(t *testing.T) place
}

// row is what is reported about a case.
type row struct {
	name, place, outcome string
	scrapes, missed      int
	pauseBefore          time.Duration
	collector            // during the attack
	memoryKiB            int
	stop                 time.Duration
	wait                 time.Duration // for which a thread of the server could have run and did not get a processor
	slow                 []string      // what took longer than it should
	failed               bool
}

// attackers are what the cases run, built once: folders with modules, with executables, and with a folder for each liar of both.
type attackers struct{ wasm, native, shared, liars string }

// TestAttacks lets guests attack a server in each of the places where they can run. Beside each, a job that has nothing to do with
// it is scraped as if nothing was.
func TestAttacks(t *testing.T) {
	built := buildAttacker(t)
	built.disguises(t)
	target := attackTargets(t)
	var mu sync.Mutex
	var rows []row
	t.Cleanup(func() { report(t, rows) })
	t.Run("case", func(t *testing.T) {
		for _, a := range append(attacks(t, target), rebinding(t)...) {
			places := a.places
			if len(places) == 0 {
				places = []string{"inline", "worker", "process"}
			}
			if slices.Contains(places, "process") && !strings.Contains(a.plugin, "-lie-") {
				places = append(slices.Clone(places), "shared")
			}
			for _, place := range places {
				if filter := os.Getenv("ATTACK_PLACE"); filter != "" && filter != place {
					continue
				}
				t.Run(strings.ReplaceAll(a.name, " ", "-")+"/"+place, func(t *testing.T) {
					t.Parallel()
					r := a.try(t, place, built)
					r.failed = t.Failed()
					mu.Lock()
					defer mu.Unlock()
					rows = append(rows, r)
				})
			}
		}
	})
}

// buildAttacker builds the guest for both ways of running it.
func buildAttacker(t *testing.T) attackers {
	t.Helper()
	built := attackers{wasm: t.TempDir(), native: t.TempDir(), shared: t.TempDir(), liars: t.TempDir()}
	build := func(out, tags string, env ...string) {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-tags="+tags, "-o", out, "./host/plugin/internal/attacker")
		cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	module, executable := filepath.Join(built.wasm, "exporter-attacker.wasm"), filepath.Join(built.native, "exporter-attacker")
	build(module, "", "GOOS=wasip1", "GOARCH=wasm")
	build(executable, "", "CGO_ENABLED=0")
	build(filepath.Join(built.shared, "exporter-attacker"), "shared", "CGO_ENABLED=0")
	return built
}

// disguises adds copies of the attacker under the names of their lies, and the guest in C.
func (built attackers) disguises(t *testing.T) {
	t.Helper()
	module, executable := filepath.Join(built.wasm, "exporter-attacker.wasm"), filepath.Join(built.native, "exporter-attacker")
	for _, lie := range lies {
		disguise(t, module, filepath.Join(built.folder("inline", lie.plugin()), lie.plugin()+".wasm"))
		disguise(t, executable, filepath.Join(built.folder("process", lie.plugin()), lie.plugin()))
	}
	if clang, err := exec.LookPath("clang"); err == nil {
		text, err := exec.CommandContext(t.Context(), clang, "--target=wasm32-wasi", "--sysroot=/usr", "-O2",
			"-o", filepath.Join(built.wasm, "exporter-c.wasm"), filepath.Join("testdata", "attacker.c")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	} else {
		component(t, "clang", "clang lld wasi-libc libclang-rt-14-dev-wasm32")
	}
	warm := exec.CommandContext(t.Context(), narthex, "plugin", "list", "--plugins.cache-directory="+cache, "--plugins.directory="+built.wasm)
	warm.Env = environment()
	if text, err := warm.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// folder returns the folder with a plugin for a place. Each liar has one of its own, because a server reads all plugins that it finds.
func (built attackers) folder(place, plugin string) string {
	switch {
	case strings.Contains(plugin, "-lie-"):
		return filepath.Join(built.liars, plugin+"-"+place)
	case place == "process":
		return built.native
	case place == "shared":
		return built.shared
	default:
		return built.wasm
	}
}

// disguise copies a guest under another name. What the server knows about a plugin it keeps by the digest of the file, so the copy
// gets a few bytes more: a section of a module that means nothing, and nothing at all to an executable.
func disguise(t *testing.T, guest, name string) {
	t.Helper()
	code, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(name)
	code = append(append(append(code, 0, byte(len(base)+2), byte(len(base))), base...), '.')
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, code, 0o755); err != nil {
		t.Fatal(err)
	}
}

// try runs a case in one place. A machine that is too busy may make one run of it slow, but not all.
func (a attack) try(t *testing.T, place string, built attackers) (r row) {
	t.Helper()
	const tries = 3
	for range tries {
		if r = a.run(t, place, built); len(r.slow) == 0 || t.Failed() {
			return r
		}
		t.Logf("%s", strings.Join(r.slow, "; "))
	}
	t.Errorf("in each of %d tries, and last: %s", tries, strings.Join(r.slow, "; "))
	return r
}

// run runs a case in one place.
func (a attack) run(t *testing.T, place string, built attackers) row {
	t.Helper()
	r := row{name: a.name, place: place}
	control := newRecorder(t)
	peace := "scrape_configs:\n" + staticJob("control", controlInterval.String(), control.address)
	o := options{config: peace, plugins: built.folder(place, a.guest()), args: a.args}
	if a.in != nil {
		o.in = a.in(t)
	}
	s := start(t, o)
	control.awaitMore(t, 2)
	waited := s.runDelays(t)
	before := watchCollector(t, s)
	before.until(2)
	r.pauseBefore = before.end(t).pause

	collector := watchCollector(t, s)
	r.outcome = a.launch(t, s, peace+a.section(place))
	if a.on != nil {
		a.on(t, s)
	}
	if text := a.await(t, s); text != "" {
		r.outcome = text
	}
	control.awaitMore(t, 3)
	r.collector = collector.end(t)
	r.wait = s.longestDelay(t, waited)
	a.finish(t, s, control, &r)
	return r
}

// launch brings the attacker in and returns the answer.
func (a attack) launch(t *testing.T, s *server, config string) string {
	t.Helper()
	write(t, s.config, config)
	status, body := s.reload()
	switch {
	case a.refused == "" && status != http.StatusOK:
		t.Fatalf("reload answers %d %s\nof\n%s", status, body, config)
	case a.refused == "":
		return ""
	case status == http.StatusOK || !regexp.MustCompile(a.refused).MatchString(body):
		t.Errorf("reload answers %d %s, want %s", status, body, a.refused)
	}
	return "reload refused: " + strings.TrimSpace(body)
}

// section is the part of the configuration that brings the attacker in.
func (a attack) section(place string) string {
	name, settings := a.guest(), a.settings
	if place != "process" && place != "shared" {
		settings = strings.TrimSuffix("isolation: "+place+", "+settings, ", ")
	}
	if a.kind == "auth" {
		return fmt.Sprintf("web: {auth: [{attacker_auth: %s}], public_paths: ['/api/*', '/metrics', '/debug/*', '/-/*']}\n"+
			"plugins: {settings: {%s: {%s}}}\n", a.config, name, settings)
	}
	job := fmt.Sprintf("  - job_name: attack\n    scrape_interval: %v\n    scrape_timeout: %[1]v\n", controlInterval)
	switch a.kind {
	case "discovery":
		job += "    attacker_sd_configs: [" + a.config + "]\n"
	case "sign":
		job += fmt.Sprintf("    static_configs: [{targets: ['%s']}]\n    attacker_auth: %s\n", a.body, a.config)
	case "parser":
		job += fmt.Sprintf("    static_configs: [{targets: ['%s']}]\n    parser: {plugin: %s, config: %s}\n", a.body, name, a.config)
	default:
		job += fmt.Sprintf("    exporters: [{plugin: %s, config: %s}]\n", name, a.config)
	}
	return job + fmt.Sprintf("plugins: {settings: {%s: {%s}}}\n", name, settings)
}

func (a attack) guest() string {
	if a.plugin == "" {
		return "exporter-attacker"
	}
	return a.plugin
}

// await waits until the attack has ended as it should, and returns what the server says about it.
func (a attack) await(t *testing.T, s *server) (outcome string) {
	t.Helper()
	const within = 20 * time.Second
	switch {
	case a.reason != "":
		want := regexp.MustCompile(a.reason)
		eventually(t, within, "the API says why", func() error {
			if outcome = s.plugin(a.guest()).LastError; !want.MatchString(outcome) {
				return fmt.Errorf("it says %q", outcome)
			}
			return nil
		})
	case a.down != "":
		want := regexp.MustCompile(a.down)
		eventually(t, within, "the target's error says why", func() error {
			outcome = ""
			for _, target := range s.targets("attack") {
				outcome = target.LastError
			}
			if !want.MatchString(outcome) {
				return fmt.Errorf("it says %q", outcome)
			}
			return nil
		})
	case a.alive != "":
		eventually(t, within, "the guest lives", func() error {
			if len(s.query(a.alive)) > 0 {
				return nil
			}
			for _, target := range s.targets("attack") {
				outcome = target.LastError
			}
			return fmt.Errorf("%s has no result; there are %v; error of the target: %q; plugin: %+v",
				a.alive, s.query(`{__name__=~"attacker_.*"}`), outcome, s.plugin(a.guest()))
		})
		outcome = "no harm done: " + a.alive
	}
	return outcome
}

// finish stops the server while it is under attack, and looks at what is left.
func (a attack) finish(t *testing.T, s *server, control *recorder, r *row) {
	t.Helper()
	r.memoryKiB = peakKiB(t, s.cmd.Process.Pid)
	logged := len(s.output())
	control.awaitMore(t, 1)
	begin := time.Now()
	s.stop()
	r.stop = time.Since(begin)
	r.scrapes, r.missed = control.missed(controlInterval, r.wait)
	stall := control.longestStall()
	t.Logf("%s: %d scrapes, %d missed; pause %v, before %v; collection %v; peak %d KiB; logged %d bytes; stopped in %v; stall %v; wait %v",
		r.outcome, r.scrapes, r.missed, r.pause, r.pauseBefore, r.took, r.memoryKiB, logged, r.stop, stall, r.wait)
	slow := func(is bool, format string, args ...any) {
		if is {
			r.slow = append(r.slow, fmt.Sprintf(format, args...))
		}
	}
	stall += r.wait
	slow(r.missed > 0, "%d scrapes of the control job were missed", r.missed)
	slow(r.pause > longestPause+stall, "the collector stopped the server for %v; before the attack for %v", r.pause, r.pauseBefore)
	slow(r.took > collectWithin+5*stall, "a collection took %v", r.took)
	slow(r.stop > promptly+stall, "the server took %v to stop", r.stop)
	if r.memoryKiB > mostMemoryKiB {
		t.Errorf("the server had %d KiB resident", r.memoryKiB)
	}
	if logged > mostLogBytes {
		t.Errorf("the server logged %d bytes", logged)
	}
}

// collector is what a server's garbage collector does.
type collector struct {
	pause time.Duration // the longest stop since the server's start
	took  time.Duration // the longest collection
	err   error
}

// watch has a server collect garbage again and again.
type watch struct {
	quit, done chan struct{}
	rounds     chan struct{}
	once       sync.Once
	seen       collector
}

func watchCollector(t *testing.T, s *server) *watch {
	t.Helper()
	w := &watch{quit: make(chan struct{}), done: make(chan struct{}), rounds: make(chan struct{})}
	go func() {
		defer close(w.done)
		for w.seen.err == nil {
			w.seen.collect(s)
			select {
			case w.rounds <- struct{}{}:
			case <-time.After(100 * time.Millisecond):
			case <-w.quit:
				return
			}
		}
	}()
	t.Cleanup(w.stop)
	return w
}

// until waits for n collections.
func (w *watch) until(n int) {
	for range n {
		select {
		case <-w.rounds:
		case <-w.done:
		}
	}
}

func (w *watch) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.done
}

func (w *watch) end(t *testing.T) collector {
	t.Helper()
	if w.stop(); w.seen.err != nil {
		t.Errorf("watch the collector: %v", w.seen.err)
	}
	return w.seen
}

func (c *collector) collect(s *server) {
	begin := time.Now()
	if _, _, c.err = s.try(http.MethodGet, "/debug/pprof/heap?gc=1", nil); c.err != nil {
		return
	}
	c.took = max(c.took, time.Since(begin))
	var body string
	if _, body, c.err = s.try(http.MethodGet, "/metrics", nil); c.err != nil {
		return
	}
	_, rest, _ := strings.Cut(body, `go_gc_duration_seconds{quantile="1"} `)
	text, _, _ := strings.Cut(rest, "\n")
	var seconds float64
	seconds, c.err = strconv.ParseFloat(text, 64)
	c.pause = max(c.pause, time.Duration(seconds*float64(time.Second)))
}

// peakKiB is the most memory that a process has had in RAM.
func peakKiB(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nVmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// runDelays returns for how long each thread of the server has waited for a processor. What the machine does to the server is not
// the attacker's doing; a guest that holds the server up from inside does not show here.
func (s *server) runDelays(t *testing.T) map[string]time.Duration {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	delays := map[string]time.Duration{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
			nanoseconds, _ := strconv.ParseInt(fields[1], 10, 64) // none when the kernel does not count
			delays[path] = time.Duration(nanoseconds)
		}
	}
	return delays
}

// longestDelay is for how long one thread has waited since before, at most.
func (s *server) longestDelay(t *testing.T, before map[string]time.Duration) (most time.Duration) {
	t.Helper()
	for path, d := range s.runDelays(t) {
		most = max(most, d-before[path])
	}
	return most
}

// missed counts scrapes, and those that should have come and did not, by gaps that the machine does not explain.
func (r *recorder) missed(interval, wait time.Duration) (scrapes, missed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.times); i++ {
		if gap := r.times[i].Sub(r.times[i-1]); gap > interval*7/4+r.stall+wait {
			missed += int((gap+interval/2)/interval) - 1
		}
	}
	return len(r.times), missed
}

func (r *recorder) longestStall() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stall
}

// report writes the table of all cases to the file that ATTACK_TABLE names.
func report(t *testing.T, rows []row) {
	t.Helper()
	path := os.Getenv("ATTACK_TABLE")
	if path == "" {
		return
	}
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.name+a.place, b.name+b.place) })
	var out bytes.Buffer
	out.WriteString("| attack | place | how it ends, as the server says it | control scrapes | missed | longest GC pause before; during | longest collection | server's peak memory | stopped in | |\n")
	out.WriteString("|---|---|---|--:|--:|--:|--:|--:|--:|---|\n")
	for _, r := range rows {
		verdict := "held"
		if r.failed {
			verdict = "FAILED"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %d | %d | %.2f; %.2f ms | %d ms | %d MiB | %.1f s | %s |\n", r.name, r.place, cell(r.outcome), r.scrapes, r.missed,
			float64(r.pauseBefore.Microseconds())/1000, float64(r.pause.Microseconds())/1000, r.took.Milliseconds(), r.memoryKiB>>10, r.stop.Seconds(), verdict)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Error(err)
	}
}

var temporary = regexp.MustCompile(`/\S*/`)

// cell makes a text fit in a table.
func cell(text string) string {
	text = temporary.ReplaceAllString(strings.NewReplacer("|", "\\|", "\n", " ").Replace(text), "")
	if len(text) > 160 {
		text = strings.ToValidUTF8(text[:160], "") + "…"
	}
	return text
}

// targets are what guests try to reach: a server that they may ask, and what they may not.
type targets struct {
	allowed, forbidden *httptest.Server
	dir                string // with the granted folder in, and files around it
}

// attackTargets makes them, and checks at the end that nobody reached what is forbidden.
func attackTargets(t *testing.T) targets {
	t.Helper()
	x := targets{dir: t.TempDir()}
	x.forbidden = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a forbidden host was reached") }))
	t.Cleanup(x.forbidden.Close)
	quit := make(chan struct{})
	x.allowed = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/leave":
			http.Redirect(w, r, x.forbidden.URL, http.StatusFound)
		case "/wait":
			select {
			case <-quit:
			case <-r.Context().Done():
			}
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(func() {
		close(quit)
		x.allowed.Close()
	})
	write(t, filepath.Join(x.dir, "in", "good"), "good")
	write(t, filepath.Join(x.dir, "out", "secret"), "secret")
	for name, to := range map[string]string{
		"link": "../out/secret", "folder": "../out", "absolute": "/etc/passwd", "loop": "loop", "proc": "/proc/self/environ", "root": "/proc/self/root",
	} {
		if err := os.Symlink(to, filepath.Join(x.dir, "in", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(x.dir, "in", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	return x
}

// askForMore sends requests that the attacker has to judge, until the test ends.
func askForMore(t *testing.T, s *server) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			if status, body, err := s.try(http.MethodGet, "/graph", nil); err == nil && status < 400 {
				t.Errorf("a request is answered %d %s", status, body)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-quit:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(quit)
		<-done
	})
}

// signalChild sends a signal to the attacker's process, which is the server's only child.
func signalChild(sig syscall.Signal) func(t *testing.T, s *server) {
	return func(t *testing.T, s *server) {
		t.Helper()
		s.await(10*time.Second, `attacker_up`)
		eventually(t, 5*time.Second, "the attacker runs", func() error {
			for _, c := range children(t, s.cmd.Process.Pid) {
				if c.runs() {
					return syscall.Kill(c.pid, sig)
				}
			}
			return errors.New("there is no child")
		})
	}
}
