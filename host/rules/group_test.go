package rules

import (
	"strings"
	"testing"
	"time"
)

const oneRule = "- name: g\n  rules:\n  - {record: r, expr: a}\n"

func TestRecording(t *testing.T) {
	t.Run("labels", func(t *testing.T) {
		inWorld(t, "- name: g\n  labels: {x: group, y: group}\n  rules:\n  - {record: r, expr: a, labels: {y: rule, z: rule, drop: ''}}\n", func(w *world) {
			w.keep(20*time.Second, `a{drop="1",x="0",y="0"}`, 3)
			w.expect("r", `{__name__="r", drop="1", x="group", y="rule", z="rule"} 0=3 1=3`)
		})
	})
	t.Run("order", func(t *testing.T) {
		inWorld(t, "- name: g\n  rules:\n  - {record: one, expr: a}\n  - {record: two, expr: one * 2}\n", func(w *world) {
			w.keep(20*time.Second, "a", 1)
			w.expect("two", `{__name__="two"} 0=2 1=2`)
		})
	})
	t.Run("scalar", func(t *testing.T) {
		inWorld(t, "- name: g\n  rules:\n  - {record: r, expr: '42'}\n", func(w *world) {
			w.wait(20 * time.Second)
			w.expect("r", `{__name__="r"} 0=42 1=42`)
		})
	})
	t.Run("query offset", func(t *testing.T) {
		inWorld(t, "- name: g\n  query_offset: 20s\n  rules:\n  - {record: r, expr: time() - 946684800}\n", func(w *world) {
			w.wait(30 * time.Second)
			got := w.series("r")
			if len(got) != 1 || !strings.HasPrefix(got[0], `{__name__="r"} -1=-17.8`) || !strings.Contains(got[0], " 0=2.1") {
				w.Error(got)
			}
		})
	})
	t.Run("vanished series", func(t *testing.T) {
		inWorld(t, "- name: g\n  rules:\n  - {record: r, expr: a > 0}\n", func(w *world) {
			w.keep(20*time.Second, "a", 1)
			w.keep(20*time.Second, "a", 0)
			w.keep(20*time.Second, "a", 1)
			got := strings.Join(w.series("r"), "\n")
			if strings.Count(got, "stale") != 1 || !strings.HasSuffix(got, "=1") {
				w.Error(got)
			}
		})
	})
}

// TestFailures has each sort of failure show on its rule alone.
func TestFailures(t *testing.T) {
	fails := func(name, group, rule, want string) {
		t.Run(name, func(t *testing.T) {
			inWorld(t, "- name: g\n"+group+"  rules:\n  - "+rule+"\n  - {record: after, expr: vector(1)}\n", func(w *world) {
				w.write(`a{i="1"}`, 1)
				w.write(`a{i="2"}`, 1)
				w.wait(20 * time.Second)
				if r := w.rule("r"); r.Health != HealthBad || !strings.HasPrefix(r.LastError, want) {
					w.Errorf("health %s, error %q, want %q", r.Health, r.LastError, want)
				}
				if r := w.rule("after"); r.Health != HealthGood || r.LastError != "" {
					w.Errorf("the next rule has health %s, error %q", r.Health, r.LastError)
				}
				w.expect("r")
				w.expect("after", `{__name__="after"} 0=1 1=1`)
				if n := w.counter("prometheus_rule_evaluation_failures_total"); n != 2 {
					w.Errorf("%v failures counted", n)
				}
			})
		})
	}
	fails("query", "", `{record: r, expr: 'a * on(x) group_left() a'}`, "found duplicate series for the match group")
	fails("same labels", "", `{record: r, expr: a, labels: {i: '0'}}`, "vector contains metrics with the same labelset after applying rule labels")
	fails("same alert", "", `{alert: r, expr: a, labels: {i: '0'}}`, "vector contains metrics with the same labelset after applying alert labels")
	fails("limit", "  limit: 1\n", `{record: r, expr: a}`, "exceeded limit of 1 with 2 series")
	fails("alert limit", "  limit: 1\n", `{alert: r, expr: a}`, "exceeded limit of 1 with 2 alerts")
	fails("no vector", "", `{record: r, expr: 'a[1m]'}`, "rule result is not a vector or scalar")
	fails("no number", "", `{record: r, expr: '"x"'}`, "rule result is not a vector or scalar")
}

func TestPanicIsContained(t *testing.T) {
	inWorld(t, "- name: g\n  rules:\n  - {record: r, expr: a}\n  - {record: after, expr: vector(1)}\n", func(w *world) {
		w.slow(func(query string) {
			if query == "a" {
				panic("bug")
			}
		})
		w.wait(20 * time.Second)
		if r := w.rule("r"); !strings.HasPrefix(r.LastError, "panic: bug\n") {
			w.Error(r.LastError)
		}
		w.expect("after", `{__name__="after"} 0=1 1=1`)
	})
}

// TestFailureMarksNothing has a rule fail in between: its series go on.
func TestFailureMarksNothing(t *testing.T) {
	inWorld(t, "- name: g\n  rules:\n  - {record: r, expr: 'a * on() b'}\n", func(w *world) {
		w.write("b", 1)
		w.keep(20*time.Second, "a", 1)
		w.write(`b{x="1"}`, 1)
		w.keep(10*time.Second, "a", 1)
		w.write(`b{x="1"}`, staleValue())
		w.keep(10*time.Second, "a", 1)
		w.expect("r", `{__name__="r"} 0=1 1=1 3=1`)
	})
}

func TestMissedIterations(t *testing.T) {
	inWorld(t, oneRule, func(w *world) {
		calls := 0
		w.slow(func(string) {
			if calls++; calls == 2 {
				time.Sleep(35 * time.Second) // The clock is the bubble's.
			}
		})
		w.write("a", 1)
		w.wait(80 * time.Second)
		// The second evaluation, 1, ends half-way between 4 and 5: 2 and 3 are left out, and 4 is made late.
		w.expect("r", `{__name__="r"} 0=1 1=1 4=1 5=1 6=1 7=1`)
		if missed, all := w.counter("prometheus_rule_group_iterations_missed_total"), w.counter("prometheus_rule_group_iterations_total"); missed != 2 || all != 8 {
			w.Errorf("%v of %v iterations missed", missed, all)
		}
	})
}

// TestSlowGroupDelaysNobody evaluates a group while another one hangs.
func TestSlowGroupDelaysNobody(t *testing.T) {
	inWorld(t, oneRule+"- name: slow\n  rules:\n  - {record: s, expr: b}\n", func(w *world) {
		release := make(chan struct{})
		w.slow(func(query string) {
			if query == "b" {
				<-release
			}
		})
		w.write("a", 1)
		w.wait(40 * time.Second)
		w.expect("r", `{__name__="r"} 0=1 1=1 2=1 3=1`)
		close(release)
	})
}
