package plugin

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/narthex-io/narthex/host/plugin/session"
	"github.com/narthex-io/narthex/sdk"
)

// bubble runs a test in synctest, where the catalogue is closed before the end.
func bubble(t *testing.T, play func(*testing.T, *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		play(t, b)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestDiscoveryRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch := b.apply(on("a_sd_configs", `1`))
		r := runDiscovery(ch.Discovery(0))
		first := b.last()
		first.groups <- []sdk.Group{group("s1", "x:1"), group("s2", "y:1"), group("s3", "z:1")}
		want(t, "update", <-r.updates, []sdk.Group{group("s1", "x:1"), group("s2", "y:1"), group("s3", "z:1")})
		first.groups <- []sdk.Group{group("s3")}
		want(t, "update", <-r.updates, []sdk.Group{group("s3")})

		first.trap()
		synctest.Wait()
		want(t, "state", b.info("sd-a").State, StateDegraded)
		if i := b.info("sd-a"); !strings.Contains(i.LastError, "trap") {
			t.Errorf("last error %q", i.LastError)
		}
		b.wantAlive()
		time.Sleep(firstPause) // the pause is at most that
		synctest.Wait()
		b.wantAlive("sd-a1")
		want(t, "state", b.info("sd-a").State, StateReady)
		want(t, "restarts", b.info("sd-a").Restarts, 1)

		// What the new guest does not know any more is emptied, once.
		b.last().groups <- []sdk.Group{group("s1", "x:2")}
		want(t, "update", <-r.updates, []sdk.Group{group("s1", "x:2"), group("s2")})
		b.last().groups <- []sdk.Group{group("s4", "w:1")}
		want(t, "update", <-r.updates, []sdk.Group{group("s4", "w:1")})

		want(t, "Run", r.stop(), context.Canceled)
		b.wantAlive()
	})
}

func TestGuestThatEndsAgainAndAgainFails(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch := b.apply(on("a_sd_configs", `1`))
		r := runDiscovery(ch.Discovery(0))
		synctest.Wait()
		begin := time.Now()
		for range failedAfter {
			b.last().trap()
			n := b.count()
			for b.count() == n {
				synctest.Wait()
				time.Sleep(10 * time.Millisecond)
			}
		}
		synctest.Wait()
		if d := time.Since(begin); d < 7*time.Second || d > 16*time.Second {
			t.Errorf("5 restarts took %v: the pauses do not grow as they should", d)
		}
		b.last().trap()
		synctest.Wait()
		want(t, "state", b.info("sd-a").State, StateFailed)

		time.Sleep(longestWait) // restarts go on
		synctest.Wait()
		b.wantAlive("sd-a1")
		want(t, "state", b.info("sd-a").State, StateReady)
		time.Sleep(steadyAfter) // a guest that ran for long starts over
		b.last().trap()
		synctest.Wait()
		want(t, "state", b.info("sd-a").State, StateDegraded)
		want(t, "Run", r.stop(), context.Canceled)
	})
}

func TestDiscoveryThatFindsTooMuch(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch, err := b.Prepare(t.Context(), Config{Settings: map[string]Settings{"sd-a": {Limits: Limits{Targets: 3}}}}, []Use{on("a_sd_configs", `1`)})
		if err != nil {
			t.Fatal(err)
		}
		ch.Apply()
		r := runDiscovery(ch.Discovery(0))
		accepted := func(groups ...sdk.Group) {
			t.Helper()
			b.last().groups <- groups
			want(t, "update", <-r.updates, groups)
		}
		accepted(group("s1", "a:1", "b:1"), group("s2", "c:1"))
		accepted(group("s1", "a:1"), group("s3", "d:1")) // what an update replaces does not count
		accepted(group("s2"), group("s4", "e:1"))
		b.last().groups <- []sdk.Group{group("s5", "f:1")}
		synctest.Wait()
		i := b.info("sd-a")
		want(t, "state", i.State, StateDegraded)
		want(t, "last error", i.LastError, "guest ended (target_limit): found 4 targets in 4 sources; the limit is 3")
		want(t, "Run", r.stop(), context.Canceled)
	})
}

func TestExporterRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch := b.apply(on("exporter-x", `"v"`))
		x := ch.Exporter(0)
		want(t, "content type", x.ContentType(), "text/plain; version=0.0.4")
		collect := func() (string, error) {
			var out strings.Builder
			err := x.Collect(t.Context(), &out)
			return out.String(), err
		}
		if got, err := collect(); got != `"v"` || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		b.last().trap()
		synctest.Wait()
		_, err := collect()
		if err == nil || !strings.Contains(err.Error(), "plugin exporter-x is being restarted") || session.ReasonOf(err) != session.ReasonTrap {
			t.Errorf("error %v", err)
		}
		want(t, "state", b.info("exporter-x").State, StateDegraded)
		b.setRefusal("exporter-x", errors.New("changed on disk"))
		time.Sleep(firstPause)
		synctest.Wait()
		if _, err := collect(); err == nil || !strings.Contains(err.Error(), "changed on disk") {
			t.Errorf("error %v", err)
		}
		b.setRefusal("exporter-x", nil)
		time.Sleep(longestWait)
		synctest.Wait()
		if got, err := collect(); got != `"v"` || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestSwapKeepsTheOldUntilItIsLetGo(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		old := b.apply(on("a_sd_configs", `1`), on("b_sd_configs", `1`))
		r := runDiscovery(old.Discovery(0))
		same := runDiscovery(old.Discovery(1))
		synctest.Wait()

		ch := b.apply(on("a_sd_configs", `2`), on("b_sd_configs", `1`))
		if ch.Discovery(1) != old.Discovery(1) {
			t.Error("the unchanged discovery was replaced")
		}
		b.wantAlive("sd-a1", "sd-a2", "sd-b1") // side by side
		next := runDiscovery(ch.Discovery(0))
		go func() { b.guest("sd-a", "1").groups <- []sdk.Group{group("old", "x:1")} }()
		want(t, "update of the old one", <-r.updates, []sdk.Group{group("old", "x:1")})
		b.last().groups <- []sdk.Group{group("new", "x:2")}
		want(t, "update of the new one", <-next.updates, []sdk.Group{group("new", "x:2")})
		want(t, "Run", r.stop(), context.Canceled)
		b.wantAlive("sd-a2", "sd-b1")
		want(t, "Run of a retired one", old.Discovery(0).Run(t.Context(), nil), ErrClosed)

		b.write("sd-b.wasm", "b2") // new bytes are a new guest
		b.prepare(on("a_sd_configs", `2`), on("b_sd_configs", `1`)).Discard()
		b.wantAlive("sd-a2", "sd-b1")
		b.apply(on("a_sd_configs", `2`), on("b_sd_configs", `1`))
		b.wantAlive("sd-a2", "sd-b1", "sd-b1")
		want(t, "Run", same.stop(), context.Canceled)
		want(t, "Run", next.stop(), context.Canceled)
	})
}

func TestRetiredExporterDrains(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch := b.apply(on("exporter-x", `"slow"`))
		old := b.last()
		ended := make(chan error, 2)
		go func() { ended <- ch.Exporter(0).Collect(t.Context(), io.Discard) }()
		synctest.Wait()
		b.apply()
		go func() { ended <- ch.Exporter(0).Collect(t.Context(), io.Discard) }() // a scrape that has not switched yet
		synctest.Wait()
		time.Sleep(drainTime + time.Second)
		synctest.Wait()
		b.wantAlive(`exporter-x"slow"`) // collections still run
		close(old.release)
		for range 2 {
			want(t, "Collect", <-ended, nil)
		}
		synctest.Wait()
		b.wantAlive()
		want(t, "Collect afterwards", errors.Is(ch.Exporter(0).Collect(t.Context(), io.Discard), ErrClosed), true)
		want(t, "state", b.info("exporter-x").State, StateUnused)
	})
}

func TestCloseDoesNotWaitForCollections(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch := b.apply(on("exporter-x", `"slow"`), on("a_sd_configs", `1`))
		ended := make(chan error, 1)
		go func() { ended <- ch.Exporter(0).Collect(context.Background(), io.Discard) }()
		r := runDiscovery(ch.Discovery(1))
		synctest.Wait()
		begin := time.Now()
		want(t, "Close", b.Close(), nil)
		want(t, "time", time.Since(begin), 0)
		want(t, "Collect", <-ended, nil) // the fake's way to say that it is closed
		want(t, "Run", <-r.ended, ErrClosed)
		r.cancel()
	})
}

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		reg := prometheus.NewPedanticRegistry()
		b.options.Registerer = reg
		if err := b.metrics.register(reg, b.Catalogue); err != nil {
			t.Fatal(err)
		}
		ch := b.apply(on("exporter-x", `"v"`), on("exporter-x", `"fail"`))
		_ = ch.Exporter(0).Collect(t.Context(), io.Discard)
		_ = ch.Exporter(1).Collect(t.Context(), io.Discard)
		b.guest("exporter-x", `"fail"`).trap()
		synctest.Wait()
		err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP narthex_plugin_calls_total Calls of exporters and notifiers, by result.
# TYPE narthex_plugin_calls_total counter
narthex_plugin_calls_total{plugin="exporter-x",result="error"} 1
narthex_plugin_calls_total{plugin="exporter-x",result="success"} 1
# HELP narthex_plugin_traps_total Guests that ended without being asked to, or did not start, by reason.
# TYPE narthex_plugin_traps_total counter
narthex_plugin_traps_total{plugin="exporter-x",reason="trap"} 1
# HELP narthex_plugin_received_bytes_total Bytes that came from the plugin's guests.
# TYPE narthex_plugin_received_bytes_total counter
narthex_plugin_received_bytes_total{plugin="exporter-x"} 20
narthex_plugin_received_bytes_total{plugin="sd-a"} 0
narthex_plugin_received_bytes_total{plugin="sd-b"} 0
# HELP narthex_plugin_memory_bytes Memory that the plugin's guests hold.
# TYPE narthex_plugin_memory_bytes gauge
narthex_plugin_memory_bytes{plugin="exporter-x"} 1.048576e+06
narthex_plugin_memory_bytes{plugin="sd-a"} 0
narthex_plugin_memory_bytes{plugin="sd-b"} 0
`), "narthex_plugin_calls_total", "narthex_plugin_traps_total", "narthex_plugin_received_bytes_total", "narthex_plugin_memory_bytes")
		if err != nil {
			t.Error(err)
		}
		if n, err := testutil.GatherAndCount(reg, "narthex_plugin_state"); n != 15 || err != nil {
			t.Errorf("%d states, %v", n, err)
		}
		i := b.info("exporter-x")
		want(t, "state", i.State, StateDegraded)
		want(t, "given", i.Given.Files, []string{"/granted/exporter-x/*.json"})
		want(t, "uses", i.Uses, []UseInfo{
			{Name: "exporter exporter-x", Position: "p.yml:7: jobs[0].exporter-x", State: StateReady, Place: "process"},
			{Name: "exporter exporter-x", Position: "p.yml:7: jobs[0].exporter-x", State: StateDegraded, Place: "process"},
		})
	})
}

// TestApart: a section whose guest ends twice in a row is apart from the others then, and one that a sibling took with it is not blamed.
func TestApart(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		ch := b.apply(on("a_sd_configs", `1`))
		r := runDiscovery(ch.Discovery(0))
		next := func(end error) bool {
			b.last().die(end)
			time.Sleep(maxPause)
			synctest.Wait()
			return b.last().apart
		}
		sibling := &session.EndError{Reason: session.ReasonSibling}
		trap := &session.EndError{Reason: session.ReasonTrap}
		synctest.Wait()
		for range 2 * failedAfter {
			want(t, "apart after a sibling", next(sibling), false)
			want(t, "state", b.info("sd-a").State, StateReady)
		}
		b.Catalogue.pause = func(int) time.Duration { return 2 * time.Second }
		soon := func(end error) bool {
			b.last().die(end)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			return b.last().apart
		}
		want(t, "apart after an end", soon(trap), false)
		want(t, "apart after a sibling, again", soon(sibling), false)
		want(t, "apart after two ends", soon(trap), true)
		time.Sleep(steadyAfter)
		want(t, "apart after a steady time", soon(trap), false)
		_ = r.stop()
	})
}
