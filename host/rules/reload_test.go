package rules

import (
	"strings"
	"testing"
	"time"
)

func TestReload(t *testing.T) {
	t.Run("unchanged group is not touched", func(t *testing.T) {
		inWorld(t, oneRule, func(w *world) {
			before := w.m.places["r.yml;g"].current
			w.keep(15*time.Second, "a", 1)
			w.configure(oneRule + "- name: h\n  rules: []\n")
			w.keep(15*time.Second, "a", 1)
			if w.m.places["r.yml;g"].current != before {
				t.Error("the group was replaced")
			}
			w.expect("r", `{__name__="r"} 0=1 1=1 2=1`)
		})
	})
	t.Run("alert of a changed group stays", func(t *testing.T) {
		inWorld(t, alertRule, func(w *world) {
			w.keep(15*time.Second, `a{i="1"}`, 1)
			w.configure(alertRule + "  - {record: r, expr: a}\n")
			w.keep(10*time.Second, `a{i="1"}`, 1)
			if got := w.states("A"); got != "1firing@2" {
				t.Error(got)
			}
			w.expect("r", `{__name__="r", i="1"} 2=1`)
		})
	})
	t.Run("shown while it is exchanged", func(t *testing.T) {
		inWorld(t, alertRule, func(w *world) {
			w.keep(15*time.Second, `a{i="1"}`, 1)
			w.configure(alertRule + "  - {record: r, expr: a}\n")
			if got := w.states("A"); got != "1pending@2" {
				t.Error(got)
			}
		})
	})
	t.Run("longer for", func(t *testing.T) {
		inWorld(t, alertRule, func(w *world) {
			w.keep(35*time.Second, `a{i="1"}`, 1)
			w.configure(strings.Replace(alertRule, "15s", "45s", 1))
			w.keep(10*time.Second, `a{i="1"}`, 1)
			if got := w.states("A"); got != "1pending@2" {
				t.Error(got)
			}
			w.keep(10*time.Second, `a{i="1"}`, 1)
			if got := w.states("A"); got != "1firing@2" {
				t.Error(got)
			}
		})
	})
	t.Run("series of a rule that is gone", func(t *testing.T) {
		inWorld(t, oneRule+"  - {record: s, expr: a}\n", func(w *world) {
			w.keep(15*time.Second, "a", 1)
			w.configure(oneRule)
			w.keep(10*time.Second, "a", 1)
			w.expect("r", `{__name__="r"} 0=1 1=1 2=1`)
			w.expect("s", `{__name__="s"} 0=1 1=1 2=stale`)
		})
	})
	t.Run("one of two equal rules is gone", func(t *testing.T) {
		two := "- name: g\n  rules:\n  - {record: r, expr: 'a{i=\"1\"}'}\n  - {record: r, expr: 'a{i=\"2\"}'}\n"
		inWorld(t, two, func(w *world) {
			w.write(`a{i="1"}`, 1)
			w.write(`a{i="2"}`, 2)
			w.wait(15 * time.Second)
			w.configure("- name: g\n  rules:\n  - {record: r, expr: 'a{i=\"1\"}'}\n")
			w.wait(10 * time.Second)
			w.expect("r", `{__name__="r", i="1"} 0=1 1=1 2=1`, `{__name__="r", i="2"} 0=2 1=2 2=stale`)
		})
	})
	t.Run("group that is gone", func(t *testing.T) {
		inWorld(t, oneRule, func(w *world) {
			w.keep(15*time.Second, "a", 1)
			w.configure("- name: h\n  rules: []\n")
			w.expect("r", `{__name__="r"} 0=1 1=1`)
			w.wait(20 * time.Second) // Its series are ended after two intervals, as of the time when it went.
			w.expect("r", `{__name__="r"} 0=1 1=1 1=stale`)
			if n := w.counter("prometheus_rule_group_rules"); n != 0 || len(w.m.Groups()) != 1 {
				t.Errorf("%v rules, %d groups", n, len(w.m.Groups()))
			}
		})
	})
	t.Run("renamed group goes on with the series", func(t *testing.T) {
		inWorld(t, oneRule, func(w *world) {
			w.keep(15*time.Second, "a", 1)
			w.configure(strings.Replace(oneRule, "name: g", "name: other", 1))
			w.keep(40*time.Second, "a", 1)
			if got := w.series("r"); len(got) != 1 || strings.Contains(got[0], "stale") {
				t.Error(got)
			}
		})
	})
	t.Run("evaluation under way is finished", func(t *testing.T) {
		inWorld(t, oneRule, func(w *world) {
			release := make(chan struct{})
			w.slow(func(string) { <-release })
			w.write("a", 1)
			w.wait(3 * time.Second)
			w.configure(oneRule + "  - {record: s, expr: a}\n")
			w.configure(oneRule + "  - {record: t, expr: a}\n") // A second change finds the first one not yet in force.
			w.wait(time.Second)
			close(release)
			w.wait(10 * time.Second)
			w.expect("r", `{__name__="r"} 0=1 1=1`)
			w.expect("s")
			w.expect("t", `{__name__="t"} 1=1`)
		})
	})
	t.Run("during restoring", func(t *testing.T) {
		inWorld(t, alertRule, func(w *world) {
			w.keep(5*time.Second, `a{i="1"}`, 1)
			w.configure(alertRule + "  - {record: r, expr: a}\n")
			w.keep(20*time.Second, `a{i="1"}`, 1)
			if len(w.series("ALERTS")) == 0 {
				t.Error("no series of alerts")
			}
		})
	})
}

func TestShutdownEndsNoSeries(t *testing.T) {
	inWorld(t, oneRule, func(w *world) {
		w.keep(15*time.Second, "a", 1)
		w.stop()
		w.expect("r", `{__name__="r"} 0=1 1=1`)
		w.stop = func() {}
	})
}
