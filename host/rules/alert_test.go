package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// alertRule waits for 15 s, which is two evaluations.
const alertRule = "- name: g\n  rules:\n  - alert: A\n    expr: a > 0\n    for: 15s\n    labels: {severity: '{{ if gt $value 5.0 }}bad{{ else }}mild{{ end }}'}\n" +
	"    annotations: {text: '{{ $labels.i }} is {{ $value }} in {{ $externalLabels.dc }}'}\n"

func TestAlertStates(t *testing.T) {
	inWorld(t, alertRule, func(w *world) {
		if r := w.rule("A"); r.State != StateUnknown || r.Health != HealthUnknown {
			t.Error(r)
		}
		w.m.env.GracePeriod = 0
		w.keep(5*time.Second, `a{i="1"}`, 0)
		if r := w.rule("A"); r.State != StateInactive {
			t.Error(r)
		}
		// The first two evaluations are behind after 20 s: from then on the series are written.
		w.keep(20*time.Second, `a{i="1"}`, 0)
		w.keep(10*time.Second, `a{i="1"}`, 1)
		if got := w.states("A"); got != "1pending@32" {
			t.Error(got)
		}
		w.keep(20*time.Second, `a{i="1"}`, 2)
		if got := w.states("A"); got != "1firing@32" {
			t.Error(got)
		}
		if a := w.rule("A").Alerts[0]; a.Annotations["text"] != "1 is 2 in x" || a.Labels.String() != `{alertname="A", i="1", severity="mild"}` {
			t.Error(a)
		}
		w.keep(10*time.Second, `a{i="1"}`, 0)
		if r := w.rule("A"); r.State != StateInactive || len(r.Alerts) != 0 {
			t.Error(r)
		}
		w.expect("ALERTS",
			`{__name__="ALERTS", alertname="A", alertstate="firing", i="1", severity="mild"} 5=1 6=stale`,
			`{__name__="ALERTS", alertname="A", alertstate="pending", i="1", severity="mild"} 3=1 4=1 5=stale`)
		since := fmt.Sprint(float64(w.start.Unix() + 32))
		w.expect("ALERTS_FOR_STATE", `{__name__="ALERTS_FOR_STATE", alertname="A", i="1", severity="mild"} 3=`+since+" 4="+since+" 5="+since+" 6=stale")
	})
}

func TestKeepFiring(t *testing.T) {
	inWorld(t, "- name: g\n  rules:\n  - {alert: A, expr: a > 0, keep_firing_for: 25s}\n", func(w *world) {
		w.keep(10*time.Second, `a{i="1"}`, 1)
		w.keep(20*time.Second, `a{i="1"}`, 0)
		a := w.rule("A").Alerts[0]
		if a.State != StateFiring || a.KeepFiringSince.Sub(w.start)/time.Second != 12 {
			t.Error(a)
		}
		w.keep(10*time.Second, `a{i="1"}`, 1)
		if a := w.rule("A").Alerts[0]; !a.KeepFiringSince.IsZero() {
			t.Error(a)
		}
		w.keep(30*time.Second, `a{i="1"}`, 0)
		if got := w.states("A"); got != "1firing@2" {
			t.Error(got)
		}
		w.keep(10*time.Second, `a{i="1"}`, 0)
		if got := w.states("A"); got != "" {
			t.Error(got)
		}
	})
}

// TestNotifications follows what an alert that fires, and is over, says to the outside.
func TestNotifications(t *testing.T) {
	inWorld(t, "- name: g\n  rules:\n  - {alert: A, expr: a > 0}\n", func(w *world) {
		// sent returns the times of what was sent: second of the start, of the end or of its expiry.
		sent := func() (all string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, a := range w.sent {
				all += fmt.Sprintf("%d-%d ", a.StartsAt.Sub(w.start)/time.Second, a.EndsAt.Sub(w.start)/time.Second)
			}
			return strings.TrimSpace(all)
		}
		w.keep(150*time.Second, "a", 1)
		// Sent again when more than the delay of a minute has passed; valid for four times that.
		if got := sent(); got != "2-242 2-312 2-382" {
			t.Error(got)
		}
		w.sent = nil
		w.keep(16*time.Minute, "a", 0)
		if got := sent(); got != strings.TrimSpace(strings.Repeat("2-152 ", 13)) {
			t.Error(got)
		}
		w.sent = nil
		w.keep(time.Minute, "a", 0)
		if got := sent(); got != "" {
			t.Error(got)
		}
		if n := len(w.m.places["r.yml;g"].current.rules[0].alerting.active); n != 0 {
			t.Errorf("%d alerts are kept", n)
		}
	})
}

func TestGeneratorURL(t *testing.T) {
	inWorld(t, "- name: g\n  rules:\n  - {alert: A, expr: vector(1) > bool  0}\n", func(w *world) {
		w.wait(10 * time.Second)
		if got := w.sent[0].GeneratorURL; got != "/graph?g0.expr=vector%281%29+%3E+bool+0&g0.tab=1" {
			t.Error(got)
		}
	})
}

// TestBrokenText has an annotation that cannot be expanded: the alert fires all the same.
func TestBrokenText(t *testing.T) {
	inWorld(t, "- name: g\n  rules:\n  - {alert: A, expr: vector(1), annotations: {a: '{{ first (query \"nothing\") }}', b: '{{ query \"vector(2)\" | first | value }}', c: ''}}\n", func(w *world) {
		w.wait(30 * time.Second)
		a := w.rule("A").Alerts[0]
		want := `map[a:<error expanding template: error executing template __alert_A: template: __alert_A:1:115: executing "__alert_A" at <first (query "nothing")>: ` +
			`error calling first: first() called on vector with no elements> b:2 c:]`
		if got := fmt.Sprint(a.Annotations); got != want || w.rule("A").Health != HealthGood {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if failed, all := w.counter("prometheus_template_text_expansion_failures_total"), w.counter("prometheus_template_text_expansions_total"); failed != 3 || all != 9 {
			t.Errorf("%v of %v failed", failed, all)
		}
	})
}

// restarted runs an alert for up, has the server down, then evaluates until the alerts have been restored.
func restarted(t *testing.T, hold, up, down time.Duration, f func(w *world)) {
	t.Helper()
	text := "- name: g\n  rules:\n  - {alert: A, expr: a > 0, for: " + hold.String() + "}\n"
	inWorld(t, text, func(w *world) {
		w.keep(up, `a{i="1"}`, 1)
		w.stop()
		w.wait(down)
		w.boot(text)
		w.keep(20*time.Second, `a{i="1"}`, 1)
		f(w)
	})
}

func TestRestore(t *testing.T) {
	t.Run("was firing", func(t *testing.T) {
		restarted(t, 20*time.Minute, 30*time.Minute, 5*time.Minute, func(w *world) {
			w.keep(10*time.Second, `a{i="1"}`, 1)
			if got := w.states("A"); got != "1firing@2" {
				t.Error(got)
			}
		})
	})
	t.Run("was pending", func(t *testing.T) {
		// It was pending for 602 s when last seen, so that the time of the outage is added.
		restarted(t, 40*time.Minute, 10*time.Minute+5*time.Second, 5*time.Minute, func(w *world) {
			if got := w.states("A"); got != "1pending@322" {
				t.Error(got)
			}
		})
	})
	t.Run("would fire within the grace period", func(t *testing.T) {
		// Restored 922 s after the start, it fires ten minutes later.
		restarted(t, 20*time.Minute, 15*time.Minute, 0, func(w *world) {
			if got := w.states("A"); got != "1pending@312" {
				t.Error(got)
			}
		})
	})
	t.Run("short for", func(t *testing.T) {
		restarted(t, 9*time.Minute, 15*time.Minute, 5*time.Minute, func(w *world) {
			if got := w.states("A"); got != "1pending@1202" {
				t.Error(got)
			}
		})
	})
	t.Run("down for too long", func(t *testing.T) {
		restarted(t, 20*time.Minute, 30*time.Minute, 61*time.Minute, func(w *world) {
			if got := w.states("A"); got != "1pending@5462" {
				t.Error(got)
			}
		})
	})
}
