package plugin

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/sdk"
)

// failing is a discovery with targets whose guests have ended one time less than it takes to be failed.
func failing(t *testing.T, b *bench, o OnFailure) *running {
	t.Helper()
	ch, err := b.Prepare(t.Context(), Config{Settings: map[string]Settings{"sd-a": {OnFailure: o}}}, []Use{on("a_sd_configs", `1`)})
	if err != nil {
		t.Fatal(err)
	}
	ch.Apply()
	r := runDiscovery(ch.Discovery(0))
	b.last().groups <- []sdk.Group{group("s1", "x:1"), group("s2", "y:1", "y:2")}
	<-r.updates
	for n := range failedAfter - 1 {
		b.last().trap()
		synctest.Wait()
		want(t, "state", b.info("sd-a").State, StateDegraded)
		for b.count() == n+1 {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
	}
	return r
}

func TestFailedDiscoveryDropsItsTargets(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		r := failing(t, b, OnFailureDrop)
		b.last().trap()
		want(t, "what is dropped", <-r.updates, []sdk.Group{group("s1"), group("s2")})
		want(t, "state", b.info("sd-a").State, StateFailed)
		if !strings.Contains(b.log.String(), `msg="plugin has failed, dropping its targets"`) || !strings.Contains(b.log.String(), "targets=3") {
			t.Error(b.log)
		}
		time.Sleep(longestWait) // until a guest runs again
		synctest.Wait()
		want(t, "state", b.info("sd-a").State, StateReady)
		b.last().groups <- []sdk.Group{group("s2", "y:3")}
		want(t, "what the new guest finds", <-r.updates, []sdk.Group{group("s2", "y:3")})
		want(t, "Run", r.stop(), context.Canceled)
	})
}

func TestFailedDiscoveryKeepsItsTargets(t *testing.T) {
	for _, o := range []OnFailure{"", OnFailureKeepLast} {
		bubble(t, func(t *testing.T, b *bench) {
			t.Helper()
			r := failing(t, b, o)
			b.last().trap()
			time.Sleep(longestWait)
			synctest.Wait()
			b.last().groups <- []sdk.Group{group("s2", "y:3")}
			want(t, "first update since", <-r.updates, []sdk.Group{group("s2", "y:3"), group("s1")})
			want(t, "Run", r.stop(), context.Canceled)
		})
	}
}

func TestOnFailureIsForDiscoveries(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		t.Helper()
		_, err := b.Prepare(t.Context(), Config{Settings: map[string]Settings{"exporter-x": {OnFailure: OnFailureDrop}}}, []Use{on("exporter-x", `1`)})
		if err == nil || !strings.Contains(err.Error(), "plugins.settings.exporter-x.on_failure: it is for discoveries") {
			t.Error(err)
		}
	})
}
