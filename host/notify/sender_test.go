package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/model/labels"
)

// one is a section with a single Alertmanager.
const one = `alertmanagers: [{static_configs: [{targets: ["am:9093"]}]}]`

var errDown = errors.New("connection refused")

func down(context.Context, string, []postableAlert) (int, error) { return 0, errDown }

func TestDelivery(t *testing.T) {
	inWorld(t, Options{}, one, func(t *testing.T, w *world) {
		t.Helper()
		w.send("a", "b")
		got := w.requests()
		if len(got) != 1 || got[0].host != "am:9093" || got[0].path != "/api/v2/alerts" || strings.Join(got[0].alerts, ",") != "a,b" {
			t.Errorf("requests are %v", got)
		}
		w.send("a")
		w.wantSent("a")
		w.wantCounts(map[string]float64{
			"sent_total": 3, "errors_total": 0, "dropped_total": 0, "queue_length": 0, "queue_capacity": 10000, "alertmanagers_discovered": 1,
		})
	})
}

func TestBatches(t *testing.T) {
	inWorld(t, Options{BatchSize: 2}, one, func(_ *testing.T, w *world) {
		w.send("a", "b", "c", "d", "e")
		w.wantSent("a,b c,d e")
	})
}

// TestRetry has an Alertmanager down for a while: requests come at doubling intervals, nothing is lost, and the newest
// state is what arrives.
func TestRetry(t *testing.T) {
	inWorld(t, Options{}, one, func(t *testing.T, w *world) {
		t.Helper()
		w.as(down)
		w.send("a=1", "b=1")
		time.Sleep(20 * time.Second)
		failed := w.requests()
		if len(failed) < 7 || len(failed) > 10 {
			t.Errorf("%d requests in 20 s", len(failed))
		}
		for i := range failed[:min(7, len(failed)-1)] {
			pause, longest := failed[i+1].at-failed[i].at, minPause<<i
			if pause > longest || pause < longest*4/5 {
				t.Errorf("pause %d is %v, want up to %v", i, pause, longest)
			}
		}
		w.status(200)
		w.send("c=1", "a=2")
		time.Sleep(maxPause)
		w.wantSent("a2,b1,c1")
		w.wantCounts(map[string]float64{"sent_total": 3, "errors_total": float64(2 * len(failed)), "dropped_total": 0, "superseded_total": 1})
		w.wantLog("Alertmanager takes alerts again")
	})
}

// TestNewStateWhileUnderWay has a newer state come while an older one is on its way and fails: only the newer one is sent
// again, in the place of the older.
func TestNewStateWhileUnderWay(t *testing.T) {
	inWorld(t, Options{}, one, func(_ *testing.T, w *world) {
		w.as(func(ctx context.Context, _ string, _ []postableAlert) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		w.send("a=1", "b=1")
		w.wantSent("a1,b1")
		w.send("c=1", "b=2")
		w.status(200)
		time.Sleep(10*time.Second + minPause)
		w.wantSent("a1,b2,c1")
		w.wantCounts(map[string]float64{"superseded_total": 1, "errors_total": 2})
	})
}

// TestDeadline has an Alertmanager down until alerts are out of date: an alert that fires is not sent after its end, when
// it would be taken for resolved, while a resolved one is good for longer.
func TestDeadline(t *testing.T) {
	inWorld(t, Options{}, one, func(_ *testing.T, w *world) {
		w.as(down)
		w.send("fires")
		w.m.Send(context.Background(),
			Alert{Labels: labels.FromStrings("alertname", "resolved"), StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now()},
			Alert{Labels: labels.FromStrings("alertname", "open"), StartsAt: time.Now().Add(-time.Hour)})
		time.Sleep(5*time.Minute + maxPause)
		w.requests()
		w.status(200)
		time.Sleep(maxPause)
		w.wantSent("resolved")
		w.wantCounts(map[string]float64{"sent_total": 1, "dropped_total": 2})
		w.wantLog("out of date")

		w.as(down)
		w.m.Send(context.Background(), Alert{Labels: labels.FromStrings("alertname", "resolved"), EndsAt: time.Now()})
		time.Sleep(resolvedAge + maxPause)
		w.status(200)
		w.requests()
		time.Sleep(maxPause)
		w.wantSent("")
		w.wantCounts(map[string]float64{"dropped_total": 3, "queue_length": 0})
	})
}

func TestOverflowDropsTheOldest(t *testing.T) {
	inWorld(t, Options{QueueCapacity: 3}, one, func(_ *testing.T, w *world) {
		w.as(down)
		w.send("a", "b")
		w.requests()
		w.send("c", "d", "e")
		w.wantCounts(map[string]float64{"dropped_total": 2, "queue_length": 3})
		w.wantLog("queue of notifications is full")
		w.status(200)
		time.Sleep(time.Second)
		w.wantSent("c,d,e")
	})
}

// TestSlowOneDelaysNobody has one Alertmanager hang, another refuse connections, and a third get everything at once.
func TestSlowOneDelaysNobody(t *testing.T) {
	const three = `alertmanagers: [{static_configs: [{targets: [hangs, refuses, works]}]}]`
	inWorld(t, Options{}, three, func(t *testing.T, w *world) {
		t.Helper()
		w.as(func(ctx context.Context, host string, _ []postableAlert) (int, error) {
			switch host {
			case "hangs":
				<-ctx.Done()
				return 0, ctx.Err()
			case "refuses":
				return 0, errDown
			}
			return 200, nil
		})
		for i := range 5 {
			w.send(fmt.Sprint("a", i))
			i := slices.IndexFunc(w.requests(), func(r request) bool { return r.host == "works" })
			if i < 0 {
				t.Error("nothing came to the Alertmanager that works")
			}
			time.Sleep(time.Second)
		}
		time.Sleep(10 * time.Second)
		w.requests()
		w.status(200)
		time.Sleep(maxPause)
		for _, r := range w.requests() {
			if got := strings.Join(r.alerts, ","); got != "a0,a1,a2,a3,a4" {
				t.Errorf("%s gets %s when it is back", r.host, got)
			}
		}
	})
}

// TestRefusedAlert has an Alertmanager that refuses batches with a certain alert: all others arrive, that one is dropped
// and named.
func TestRefusedAlert(t *testing.T) {
	for _, code := range []int{400, 413, 422} {
		inWorld(t, Options{BatchSize: 8}, one, func(t *testing.T, w *world) {
			t.Helper()
			arrived := map[string]bool{}
			w.as(func(_ context.Context, _ string, alerts []postableAlert) (int, error) {
				for _, a := range alerts {
					if a.Labels["alertname"] == "bad" {
						return code, nil
					}
				}
				for _, a := range alerts {
					arrived[a.Labels["alertname"]] = true
				}
				return 200, nil
			})
			w.send("a", "b", "c", "bad", "d", "e", "f", "g", "h", "i")
			time.Sleep(time.Second)
			synctest.Wait()
			if len(arrived) != 9 {
				t.Errorf("%d: arrived: %v", code, arrived)
			}
			w.wantCounts(map[string]float64{"sent_total": 9, "dropped_total": 1, "queue_length": 0})
			w.wantLog("alertname=\\\"bad\\\"")
			w.wantLog("said so")
			w.send("x")
			w.requests()
			w.send("a", "b", "c", "d", "e", "f", "g", "h")
			w.wantSent("a,b,c,d,e,f,g,h")
		})
	}
}

// TestAllRefused has an endpoint that refuses whatever comes: it is not flooded.
func TestAllRefused(t *testing.T) {
	inWorld(t, Options{}, one, func(t *testing.T, w *world) {
		t.Helper()
		w.status(400)
		names := make([]string, 300)
		for i := range names {
			names[i] = fmt.Sprint("a", i)
		}
		w.send(names...)
		time.Sleep(time.Minute)
		if n := len(w.requests()); n > 40 {
			t.Errorf("%d requests in a minute", n)
		}
		time.Sleep(4 * time.Minute)
		w.wantCounts(map[string]float64{"sent_total": 0, "dropped_total": 300, "queue_length": 0})
	})
}

// TestHealingStatus has answers that are no refusals of the alerts: they are sent again.
func TestHealingStatus(t *testing.T) {
	for _, code := range []int{301, 401, 403, 404, 408, 429, 500, 502, 503} {
		inWorld(t, Options{}, one, func(_ *testing.T, w *world) {
			w.status(code)
			w.send("a", "b")
			w.wantSent("a,b")
			w.status(200)
			time.Sleep(minPause)
			w.wantSent("a,b")
			w.wantCounts(map[string]float64{"sent_total": 2, "dropped_total": 0})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	inWorld(t, Options{}, one, func(_ *testing.T, w *world) {
		w.header.Set("Retry-After", "7")
		w.status(429)
		w.send("a")
		w.wantSent("a")
		time.Sleep(7*time.Second - time.Millisecond)
		w.wantSent("")
		time.Sleep(time.Millisecond)
		w.wantSent("a")
	})
}

func TestDrain(t *testing.T) {
	hang := func(ctx context.Context, _ string, _ []postableAlert) (int, error) {
		select {
		case <-time.After(3 * time.Second):
			return 200, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	inWorld(t, Options{BatchSize: 1, Drain: true}, one, func(_ *testing.T, w *world) {
		w.as(hang)
		w.send("a", "b", "c")
		synctest.Wait()
		w.stop()
		w.wantSent("a b c")
	})
	inWorld(t, Options{BatchSize: 1}, one, func(t *testing.T, w *world) {
		t.Helper()
		w.as(hang)
		w.send("a", "b", "c")
		synctest.Wait()
		begin := time.Now()
		w.stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopping without draining took %v", took)
		}
		w.wantSent("a")
		w.wantLog("count=3 drain=false")
	})
	// One that is down is asked once more, and not waited for.
	inWorld(t, Options{Drain: true}, one, func(t *testing.T, w *world) {
		t.Helper()
		w.as(down)
		w.send("a", "b")
		time.Sleep(time.Minute)
		w.requests()
		begin := time.Now()
		w.stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopping took %v", took)
		}
		w.wantSent("a,b")
		w.wantLog("count=2 drain=true")
	})
	// One that hangs for good holds nothing up for longer than the limit.
	const slow = `alertmanagers: [{timeout: 1h, static_configs: [{targets: [am]}]}]`
	inWorld(t, Options{Drain: true}, slow, func(t *testing.T, w *world) {
		t.Helper()
		w.as(func(ctx context.Context, _ string, _ []postableAlert) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		w.send("a")
		synctest.Wait()
		begin := time.Now()
		w.stop()
		if took := time.Since(begin); took != drainTimeout {
			t.Errorf("stopping took %v", took)
		}
	})
}
