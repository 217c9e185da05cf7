package plugin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/plugin"
	"github.com/narthex-io/narthex/host/plugin/internal/runtimetest"
	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// TestShare runs several sections of a plugin in one process.
func TestShare(t *testing.T) {
	guests, err := runtimetest.NewGuests()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guests.Close() })
	for name, run := range map[string]func(*testing.T, *kitchen){
		"reloads": sharedReloads, "grants": sharedGrants, "crashes": sharedCrashes, "hangs": sharedHangs, "kill": sharedKill,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Link(guests.Native(t, runtimetest.Shared), filepath.Join(dir, "kitchen")); err != nil {
				t.Fatal(err)
			}
			run(t, open(t, dir, guests.CacheDir(), "process", ""))
		})
	}
}

// processes returns the process of each use, in order.
func (k *kitchen) processes() []int {
	var ids []int
	for _, u := range k.Plugins()[0].Uses {
		ids = append(ids, u.Process)
	}
	return ids
}

// wantProcesses compares the number of guests and processes with what the metrics say.
func (k *kitchen) wantProcesses(guests, processes string) {
	k.Helper()
	err := testutil.GatherAndCompare(k.registry, strings.NewReader(`
# HELP narthex_plugin_guests Guests of the plugin that run.
# TYPE narthex_plugin_guests gauge
narthex_plugin_guests{plugin="kitchen"} `+guests+`
# HELP narthex_plugin_processes Processes of their own in which the plugin's guests run.
# TYPE narthex_plugin_processes gauge
narthex_plugin_processes{plugin="kitchen"} `+processes+`
`), "narthex_plugin_guests", "narthex_plugin_processes")
	if err != nil {
		k.Error(err)
	}
}

func once(text string) plugin.Use {
	return plugin.Use{Key: "kitchen_sd_configs", Config: []byte(`{"do": "once", "text": "` + text + `"}`), Position: "p.yml:2: " + text}
}

// following is a discovery in use.
type following struct {
	updates chan []sdk.Group
	cancel  context.CancelFunc
	ended   chan error
}

func follow(d *plugin.Discovery) following {
	ctx, cancel := context.WithCancel(context.Background())
	f := following{updates: make(chan []sdk.Group), cancel: cancel, ended: make(chan error, 1)}
	go func() { f.ended <- d.Run(ctx, f.updates) }()
	return f
}

func (f following) stop() error {
	f.cancel()
	return <-f.ended
}

// residentBytes reads a process's memory from Linux's /proc.
func residentBytes(t *testing.T, pid int) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Skip("no /proc here:", err)
	}
	var size, resident uint64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * uint64(os.Getpagesize())
}

// sharedReloads: sections come and go without a word to the others, and a new file or new settings mean a new process.
func sharedReloads(t *testing.T, k *kitchen) {
	t.Helper()
	a, b := cook(`{"do": "echo", "text": "a 1\n"}`), cook(`{"do": "echo", "text": "b 2\n"}`)
	ch := k.apply(a, b, once("x"))
	d := follow(ch.Discovery(2))
	if got := <-d.updates; got[0].Targets[0] != "x" {
		t.Errorf("found %v", got)
	}
	first := k.processes()
	if first[0] == 0 || first[0] != first[1] || first[1] != first[2] {
		t.Fatalf("the processes are %v", first)
	}
	k.wantProcesses("3", "1")
	if memory, own := k.Plugins()[0].MemoryBytes, residentBytes(t, first[0]); memory > own+own/2 {
		t.Errorf("%d bytes of memory, the process has %d", memory, own)
	}

	// Added and removed ones leave those that stay alone, and so does one that is refused.
	if _, err := k.Prepare(t.Context(), plugin.Config{}, []plugin.Use{a, once("x"), once("y"), cook(`{}`)}); err == nil {
		t.Error("a bad section is taken")
	}
	ch = k.apply(a, once("x"), once("y"), cook(`{"do": "echo", "text": "c 3\n"}`))
	e := follow(ch.Discovery(2))
	if got := <-e.updates; got[0].Targets[0] != "y" {
		t.Errorf("found %v", got)
	}
	for _, id := range k.processes() {
		if id != first[0] {
			t.Errorf("the processes are %v, they were %v", k.processes(), first)
		}
	}
	if i := k.Plugins()[0]; i.Restarts != 0 || i.LastError != "" {
		t.Errorf("%+v", i)
	}
	if got, err := collect(t.Context(), ch.Exporter(3)); got != "c 3\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}

	// All move together when the plugin changes.
	settings := plugin.Config{Settings: map[string]plugin.Settings{"kitchen": {Limits: plugin.Limits{Requests: 7}}}}
	next, err := k.Prepare(t.Context(), settings, []plugin.Use{a, once("x")})
	if err != nil {
		t.Fatal(err)
	}
	next.Apply()
	if err := d.stop(); err == nil {
		t.Error("the old discovery ended without an error")
	}
	_ = e.stop()
	if got, err := collect(t.Context(), next.Exporter(0)); got != "a 1\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	last := k.processes()
	if last[0] == first[0] || last[0] != last[1] {
		t.Errorf("the processes are %v, they were %v", last, first)
	}
	k.until(func() bool { return syscall.Kill(first[0], 0) != nil }) // when what drains has ended
}

// sharedGrants: a section has what its own fields grant, and the credentials that stand beside them, whoever else is in the process.
func sharedGrants(t *testing.T, k *kitchen) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("token=" + r.Header.Get("Authorization")))
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := cook(`{"do": "get", "url": "` + server.URL + `"}`)
	with.HTTPClient, with.HTTPKey = &http.Client{Transport: bearer{}}, "secret"
	uses := []plugin.Use{
		with, cook(`{"do": "get", "url": "` + server.URL + `"}`), cook(`{"do": "get", "text": "` + server.URL + `"}`),
		cook(`{"do": "read", "path": "` + path + `"}`), cook(`{"do": "read", "text": "` + path + `"}`),
	}
	ch := k.apply(uses...)
	answers := make([]string, len(uses))
	for i := range uses {
		out, err := collect(t.Context(), ch.Exporter(i))
		answers[i] = out
		if err != nil {
			answers[i] = err.Error()
		}
	}
	for i, want := range []string{"token=secret", "token=\n", "not granted", "content", "not granted"} {
		if !strings.Contains(answers[i], want) {
			t.Errorf("section %d gets %q, want %q", i, answers[i], want)
		}
	}
	k.wantProcesses("5", "1")
}

// sharedCrashes: whoever crashes the process again and again does so alone.
func sharedCrashes(t *testing.T, k *kitchen) {
	t.Helper()
	ch := k.apply(cook(`{"do": "exit"}`), cook(`{"do": "echo", "text": "b 2\n"}`))
	ready := func(restarts uint64) func() bool {
		return func() bool {
			p := k.Plugins()[0]
			return p.Restarts == restarts && p.Uses[0].State == plugin.StateReady && p.Uses[1].State == plugin.StateReady
		}
	}
	for crashes := range uint64(2) {
		k.until(ready(2 * crashes))
		if ids := k.processes(); ids[0] != ids[1] {
			t.Errorf("the processes are %v", ids)
		}
		if _, err := collect(t.Context(), ch.Exporter(0)); session.ReasonOf(err) != session.ReasonExit {
			t.Errorf("error %v", err)
		}
	}
	k.until(ready(4))
	ids := k.processes()
	if ids[0] == ids[1] {
		t.Errorf("after two crashes, the processes are %v", ids)
	}
	if _, err := collect(t.Context(), ch.Exporter(0)); session.ReasonOf(err) != session.ReasonExit {
		t.Errorf("error %v", err)
	}
	if got, err := collect(t.Context(), ch.Exporter(1)); got != "b 2\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if now := k.processes(); now[1] != ids[1] {
		t.Errorf("the third crash met both: %v, then %v", ids, now)
	}
}

// sharedHangs: a call that hangs costs the process, once, and its siblings are not blamed.
func sharedHangs(t *testing.T, k *kitchen) {
	t.Helper()
	settings := plugin.Config{Settings: map[string]plugin.Settings{"kitchen": {Limits: plugin.Limits{CallTimeout: model.Duration(50 * time.Millisecond)}}}}
	ch, err := k.Prepare(t.Context(), settings, []plugin.Use{cook(`{"do": "ignore-cancel"}`), once("x")})
	if err != nil {
		t.Fatal(err)
	}
	ch.Apply()
	d := follow(ch.Discovery(1))
	<-d.updates
	if _, err := collect(t.Context(), ch.Exporter(0)); session.ReasonOf(err) != session.ReasonDeadline {
		t.Errorf("error %v", err)
	}
	<-d.updates // of the next guest
	if err := d.stop(); err == nil {
		t.Error("the discovery ended without an error")
	}
	k.until(func() bool { return k.Plugins()[0].Restarts == 2 })
	err = testutil.GatherAndCompare(k.registry, strings.NewReader(`
# HELP narthex_plugin_traps_total Guests that ended without being asked to, or did not start, by reason.
# TYPE narthex_plugin_traps_total counter
narthex_plugin_traps_total{plugin="kitchen",reason="deadline"} 1
narthex_plugin_traps_total{plugin="kitchen",reason="sibling"} 1
`), "narthex_plugin_traps_total")
	if err != nil {
		t.Error(err)
	}
}

// sharedKill: when the process dies, each discovery starts anew, in one process again.
func sharedKill(t *testing.T, k *kitchen) {
	t.Helper()
	ch := k.apply(once("x"), once("y"), cook(`{"do": "echo"}`))
	x, y := follow(ch.Discovery(0)), follow(ch.Discovery(1))
	<-x.updates
	<-y.updates
	if err := syscall.Kill(k.processes()[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-x.updates
	<-y.updates
	if ids := k.processes(); ids[0] != ids[1] || ids[0] == 0 {
		t.Errorf("the processes are %v", ids)
	}
	_, _ = x.stop(), y.stop()
}
