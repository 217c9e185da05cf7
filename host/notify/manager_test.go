package notify

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/sdk"
)

// hosts returns which Alertmanagers got what since the last call: "a:x,y b:x".
func (w *world) hosts() string {
	var out []string
	for _, r := range w.requests() {
		out = append(out, r.host+":"+strings.Join(r.alerts, ","))
	}
	return strings.Join(out, " ")
}

// TestReloadKeepsQueues has what waits for an Alertmanager survive reloads that keep it, wherever its entry stands then.
func TestReloadKeepsQueues(t *testing.T) {
	check := func(before, after, want string) {
		t.Helper()
		inWorld(t, Options{}, before, func(t *testing.T, w *world) {
			t.Helper()
			w.as(down)
			w.send("x")
			w.requests()
			w.status(200)
			w.load(after)
			time.Sleep(time.Second)
			if got := w.hosts(); got != want {
				t.Errorf("%s\n%s\n got %s, want %s", before, after, got, want)
			}
		})
	}
	check(one, one, "am:9093:x")
	check(one, `alertmanagers: [{timeout: 3s, static_configs: [{targets: ["am:9093"]}]}]`, "am:9093:x")
	check(one, `alertmanagers: [{static_configs: [{targets: ["new", "am:9093"]}]}]`, "am:9093:x")
	check(one, `alertmanagers: [{static_configs: [{targets: [new]}]}, {static_configs: [{targets: ["am:9093"]}]}]`, "am:9093:x")
	check(`alertmanagers: [{static_configs: [{targets: [gone]}]}, {scheme: https, static_configs: [{targets: [am]}]}]`,
		`alertmanagers: [{scheme: https, static_configs: [{targets: [am]}]}]`, "am:x")
}

// TestRemovedAlertmanagerIsServedOnceMore has the rest of a queue delivered when its Alertmanager goes, in the background.
func TestRemovedAlertmanagerIsServedOnceMore(t *testing.T) {
	inWorld(t, Options{Drain: true}, one, func(_ *testing.T, w *world) {
		w.as(func(context.Context, string, []postableAlert) (int, error) {
			time.Sleep(3 * time.Second)
			return 200, nil
		})
		w.send("a")
		w.requests()
		w.send("b")
		w.load(`{}`)
		w.send("c")
		time.Sleep(3 * time.Second)
		w.wantSent("b")
		time.Sleep(time.Minute)
		w.wantSent("")
		w.wantCounts(map[string]float64{"alertmanagers_discovered": 0, "sent_total": 0}) // Its series are gone.
		w.load(one)
		w.send("d")
		w.wantSent("d")
	})
}

// TestReturningAlertmanagerKeepsItsSeries has an Alertmanager come back while its last sender is still busy.
func TestReturningAlertmanagerKeepsItsSeries(t *testing.T) {
	inWorld(t, Options{Drain: true}, one, func(_ *testing.T, w *world) {
		w.as(func(context.Context, string, []postableAlert) (int, error) {
			time.Sleep(3 * time.Second)
			return 200, nil
		})
		w.send("a")
		w.requests()
		w.load(`{}`)
		w.load(one)
		w.send("b")
		time.Sleep(time.Minute)
		w.wantCounts(map[string]float64{"sent_total": 2})
	})
}

func TestDiscovery(t *testing.T) {
	const section = `
alertmanagers:
- path_prefix: /prefix/
  static_configs: [{targets: [a, b]}]
  relabel_configs:
  - {source_labels: [__address__], regex: b, action: drop}
  - {source_labels: [__address__], regex: c, target_label: __address__, replacement: a}
  - {source_labels: [__address__], regex: d, target_label: __scheme__, replacement: https}
  - {source_labels: [path], regex: (.+), target_label: __alerts_path__, replacement: $1}
`
	inWorld(t, Options{}, section, func(t *testing.T, w *world) {
		t.Helper()
		check := func(active, dropped string) {
			t.Helper()
			synctest.Wait()
			if got := strings.Join(w.m.Alertmanagers(), " "); got != active {
				t.Errorf("active are %s, want %s", got, active)
			}
			if got := strings.Join(w.m.DroppedAlertmanagers(), " "); got != dropped {
				t.Errorf("dropped are %s, want %s", got, dropped)
			}
		}
		update := func(groups ...sdk.Group) {
			w.updates <- map[string][]sdk.Group{JobName(0): groups}
		}
		check("http://a/prefix/api/v2/alerts", "http://b/prefix/api/v2/alerts")
		update(sdk.Group{Targets: []string{"a", "c", "d"}}) // c becomes a second a.
		check("http://a/prefix/api/v2/alerts https://d/prefix/api/v2/alerts", "")
		update(sdk.Group{Targets: []string{"e"}, Labels: map[string]string{"__scheme__": "https", "path": "/x"}},
			sdk.Group{Targets: []string{"user:hidden@f"}}, sdk.Group{Targets: []string{"", "http://bad"}})
		check("https://e/x", "")
		w.wantLog("Alertmanagers could not be made")
		w.wantLog("basic_auth")
		if strings.Contains(w.log.String(), "hidden") {
			t.Error("a password is in the log")
		}
		update()
		check("", "")
		w.send("nobody")
		w.wantSent("")
	})
}

// TestLabels has external labels added where a label is missing, then the rules for all alerts, then those of an entry.
func TestLabels(t *testing.T) {
	const section = `
alert_relabel_configs:
- {source_labels: [region], regex: eu, target_label: site, replacement: one}
- {source_labels: [alertname], regex: never, action: drop}
alertmanagers:
- static_configs: [{targets: [a]}]
- static_configs: [{targets: [b]}]
  alert_relabel_configs:
  - {regex: region, action: labeldrop}
  - {source_labels: [site], target_label: copy}
  - {source_labels: [alertname], regex: notb, action: drop}
`
	inWorld(t, Options{}, section, func(t *testing.T, w *world) {
		t.Helper()
		check := func(alert labels.Labels, want string) {
			t.Helper()
			var mu sync.Mutex
			got := map[string]string{}
			w.as(func(_ context.Context, host string, alerts []postableAlert) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				got[host] += labels.FromMap(alerts[0].Labels).String()
				return 200, nil
			})
			w.m.Send(t.Context(), Alert{Labels: alert, StartsAt: time.Now()})
			synctest.Wait()
			if text := "a" + got["a"] + " b" + got["b"]; text != want {
				t.Errorf("got %s, want %s", text, want)
			}
		}
		check(labels.FromStrings("alertname", "x"),
			`a{alertname="x", region="eu", site="one"} b{alertname="x", copy="one", site="one"}`)
		check(labels.FromStrings("alertname", "x", "region", "us"), `a{alertname="x", region="us"} b{alertname="x"}`)
		check(labels.FromStrings("alertname", "never"), "a b")
		check(labels.FromStrings("alertname", "notb", "region", "us"), `a{alertname="notb", region="us"} b`)
	})
}

// TestAlertsThatBecomeOne has relabelling make two alerts one: the later is sent.
func TestAlertsThatBecomeOne(t *testing.T) {
	inWorld(t, Options{}, "alert_relabel_configs: [{regex: n, action: labeldrop}]\n"+one, func(t *testing.T, w *world) {
		t.Helper()
		alert := func(n, state string) Alert {
			return Alert{Labels: labels.FromStrings("alertname", "a", "n", n), Annotations: map[string]string{"is": state}, StartsAt: time.Now()}
		}
		w.m.Send(t.Context(), alert("1", "first"), alert("2", "second"))
		w.wantSent("asecond")
	})
}
