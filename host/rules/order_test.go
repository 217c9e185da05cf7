package rules

import (
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/narthex-io/narthex/promql/parser"
)

func TestBatches(t *testing.T) {
	check := func(rules, want string) {
		t.Helper()
		f, err := Parse("r.yml", []byte("groups: [{name: g, rules: ["+rules+"]}]"), LoadOptions{Parser: parser.New(parser.Options{})})
		if err != nil {
			t.Fatal(err)
		}
		var all []*rule
		for _, cfg := range f.Groups[0].Rules {
			r, err := newRule(cfg, nil, nil, &url.URL{})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		if got := fmt.Sprint(batches(all)); got != want {
			t.Errorf("%s\n got %s\nwant %s", rules, got, want)
		}
	}
	check(`{record: a, expr: x}, {record: b, expr: y}`, "[[0 1]]")
	check(`{record: a, expr: x}, {record: b, expr: a}, {record: c, expr: x}, {record: d, expr: b + c}`, "[[0 2] [1] [3]]")
	check(`{record: a, expr: b}, {record: b, expr: x}`, "[[0] [1]]") // a is made of the former b.
	check(`{record: a, expr: x}, {record: b, expr: '{__name__=~"a.*"}'}`, "[[0] [1]]")
	check(`{record: a, expr: x}, {record: b, expr: '{job="x"}'}`, "[[0] [1]]")
	check(`{record: a, expr: x, labels: {job: y}}, {record: b, expr: '{job="x"}'}`, "[[0 1]]")
	check(`{record: a, expr: x}, {record: a, expr: y}`, "[[0] [1]]")
	check(`{record: a, expr: x, labels: {q: '0.5'}}, {record: a, expr: y, labels: {q: '0.9'}}`, "[[0 1]]")
	check(`{alert: A, expr: x}, {record: b, expr: 'ALERTS{alertname="A"}'}, {record: c, expr: 'ALERTS{alertname="B"}'}`, "[[0 2] [1]]")
	check(`{alert: A, expr: x}, {record: b, expr: count(ALERTS_FOR_STATE)}`, "[[0] [1]]")
	check(`{alert: A, expr: x, annotations: {a: '{{ query "y" }}'}}, {record: b, expr: z}`, "[[0] [1]]")
	check(`{record: a, expr: x}, {record: b, expr: vector(1)}, {record: c, expr: 'sum(rate(a[5m:1m]))'}`, "[[0 1] [2]]")
}

// TestConcurrency evaluates as many rules at once as there are places, and one more.
func TestConcurrency(t *testing.T) {
	text := "- name: g\n  rules:\n  - {record: a, expr: '1'}\n  - {record: b, expr: '2'}\n  - {record: c, expr: '3'}\n  - {record: d, expr: '4'}\n  - {record: e, expr: a + b + c + d}\n"
	inWorld(t, text, func(w *world) {
		w.stop()
		w.opts.Concurrency = 2
		var now, most atomic.Int32
		w.slow(func(string) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second) // The clock is the bubble's.
			now.Add(-1)
		})
		w.boot(text)
		w.wait(10 * time.Second)
		w.expect("e", `{__name__="e"} 0=10`)
		if most.Load() != 3 {
			t.Errorf("%d rules at once", most.Load())
		}
	})
}
