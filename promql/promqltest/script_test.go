package promqltest_test

import (
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql/promqltest"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// TestScriptsThatMakeNoSense parses what upstream's runner refuses, too.
func TestScriptsThatMakeNoSense(t *testing.T) {
	refused := func(script, message string) {
		t.Helper()
		if _, err := promqltest.Parse("x.test", script); err == nil || !strings.HasPrefix(err.Error(), message) {
			t.Errorf("%q: got error %v, want %s", script, err, message)
		}
	}
	refused("\n# comment\nfoo 1m", `x.test:3: unknown command "foo"`)
	refused("clearly", `x.test:1: unknown command "clearly"`)
	refused("load", "x.test:1: want load STEP")
	refused("load_with_NHCB 1m", "x.test:1: want load STEP")
	refused("load -1m\n m 1", "x.test:1: step of load: ")
	refused("load 1m\n m 1\n m {a=\"b\"} 1", "x.test:3: ")
	refused("load 1m\n m {{schema:0 sum:+5}}", "x.test:2: ")
	refused("load 1m\n m {{ count:1}}", "x.test:2: ")
	refused("load 1m\n m {{buckets:[]}}", "x.test:2: ")
	refused("load 1m\n m@st -1m\n m 1 2", "x.test:3: 1 start timestamps for 2 values")
	refused("load 1m\n m@st -1m\n n 1", "x.test:3: start timestamps must stand right above")
	refused("load 1m\n m 1\n m@st -1m", "x.test:3: start timestamps must stand right above")
	refused("load 1m\n m@st -1m30s\n m 1", `x.test:2: start timestamp "-1m30s": `)
	refused("load 1m\n m@st -1m+10s\n m 1", `x.test:2: start timestamp "-1m+10s": `)
	refused("load 1m\n m@st _x0\n m 1", `x.test:2: start timestamp "_x0": `)

	refused("eval instant m", "x.test:1: want eval instant at T QUERY")
	refused("eval instant at -5m m", "x.test:1: time of m: ")
	refused("eval_later instant at 5m m", "x.test:1: want eval instant")
	refused("eval_ordered range from 0 to 1m step 1m m", "x.test:1: want eval instant")
	refused("eval range from 1m to 0 step 1m m", "x.test:1: times of m: end 0 is before start 1m")
	refused("eval_fail instant at 5m rate(m)", "x.test:1: rate(m): 1:6: parse error: expected type range vector")

	refused("eval instant at 5m m\n m 1 2", "x.test:2: expectation of m: an instant query has one value")
	refused("eval instant at 5m m\n m 1x1", "x.test:2: expectation of m: an instant query has one value")
	refused("eval instant at 5m 5\n 5\n m 1", `x.test:3: unknown command "m"`)
	refused("eval instant at 5m 5\n 5\n expect no_warn", `x.test:3: unknown command "expect"`)
	refused("eval_fail instant at 5m m\n expected_fail_message a\n m 1", `x.test:3: unknown command "m"`)
	refused("eval instant at 5m m\n expected_fail_message a", "x.test:2: expectation of m: ")
	refused("eval instant at 5m m\n expect 5", "x.test:2: expectation of m: want expect WHAT")
	refused("eval instant at 5m m\n expect ordered twice", "x.test:2: expectation of m: want expect WHAT")
	refused("eval instant at 5m m\n expect warn msg:", "x.test:2: expectation of m: want expect WHAT")
	refused("eval instant at 5m m\n expect warn regex: (", "x.test:2: expectation of m: error parsing regexp")
	refused("eval instant at 5m m\n expect no_warn\n expect warn", "x.test:3: expectation of m: expects annotations of a kind, and none of it")
	refused("eval instant at 5m m\n expect fail\n expect fail", "x.test:3: expectation of m: only one line can say how a query fails")
	refused("eval instant at 5m m\n expect range vector", "x.test:2: expectation of m: want expect range vector from A to B step S")
	refused("eval instant at 5m m\n expect  range vector from 0 to 1m step 1m", "x.test:2: expectation of m: want expect WHAT")
	refused("eval instant at 5m \"a\"\n expect string a", "x.test:2: expectation of \"a\": want a quoted string")
	refused("eval instant at 5m 'ab'\n expect string 'ab'", "x.test:2: expectation of 'ab': want a quoted string")
}

// TestLoadsThatMakeNoSense loads what no storage would take.
func TestLoadsThatMakeNoSense(t *testing.T) {
	refused := func(script, message string) {
		t.Helper()
		if _, err := run(t, script); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%q: got error %v, want %s", script, err, message)
		}
	}
	refused("load 1m\n {} 1", "series without labels")
	refused("load 1m\n m 1 2\n\nload 30s\n m 1 3", "out of order")
	refused("load 1m\n m {{schema:9}}", "invalid schema")
	refused("load 1m\n m {{count:1 buckets:[-1]}}", "negative")
	refused("load 1m\n m {{schema:-53 custom_values:[2 1] buckets:[1 2 3] count:6}}", "increasing")
	refused("load_with_nhcb 1m\n h_bucket 1", "has no label le")
	refused("load_with_nhcb 1m\n h_bucket{le=\"1\"} 3\n h_bucket{le=\"2\"} 2", "bucket up to 2 has 2 observations, the one below 3")
	refused("load_with_nhcb 1m\n h_bucket{le=\"+Inf\"} 3\n h_count 4", "4 observations, but 3 in all buckets")
	refused("load_with_nhcb 1m\n h_bucket{le=\"+Inf\"} -3", "observations")
}

// TestWrongExpectations holds results against expectations that differ from them in one thing.
func TestWrongExpectations(t *testing.T) {
	const load = `load 1m
  m{a="b"} 0+1x10
  c{x="1"} 1x10
  c{x="2"} 2x10
  h {{schema:0 sum:5 count:4 buckets:[1 2 1]}}x10
  w {{schema:-53 sum:5 count:4 buckets:[1 2 1] custom_values:[1 2]}}x10

`
	check := func(pass bool, query string, expectation ...string) {
		t.Helper()
		outcomes, err := run(t, load+"eval "+query+"\n"+strings.Join(expectation, "\n"))
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if got := outcomes[0].Err == nil; got != pass {
			t.Errorf("%s %q: passes %v, want %v (%v)", query, expectation, got, pass, outcomes[0].Err)
		}
	}
	right := func(query string, expectation ...string) { t.Helper(); check(true, query, expectation...) }
	wrong := func(query string, expectation ...string) { t.Helper(); check(false, query, expectation...) }

	right("instant at 5m m", `m{a="b"} 5`)
	right("instant at 5m m", `m{a="b"} 6`, `m{a="b"} 5`)
	wrong("instant at 5m m", `m{a="b"} 5`, `m{a="b"} 6`)
	wrong("instant at 5m m", `m{a="b"} 5.0001`)
	wrong("instant at 5m m", `m{a="c"} 5`)
	wrong("instant at 5m m", `m{a="b"} {{}}`)
	wrong("instant at 5m m", `m{a="b"}`)
	wrong("instant at 5m m")
	wrong("instant at 5m m", "5")
	wrong("instant at 5m m", "expect warn", `m{a="b"} 5`)
	wrong("instant at 5m m", "expect fail")
	wrong("instant at 5m nothing", `{} _`)
	wrong("instant at 5m nothing", `expect string "a"`)
	wrong("instant at 5m 0 * (m / 0)", `{a="b"} stale`)
	right("instant at 5m 0 * (m / 0)", `{a="b"} NaN`)
	right("instant at 5m sort_desc(c)", "expect ordered", `c{x="2"} 2`, `c{x="1"} 1`)
	right("instant at 5m sort_desc(c)", `c{x="2"} 2`, "expect ordered", `c{x="1"} 1`)
	wrong("instant at 5m sort_desc(c)", "expect ordered", `c{x="1"} 1`, `c{x="2"} 2`)
	right("instant at 5m 5", "0x5")
	wrong("instant at 5m 5", "{} 5")
	wrong("instant at 5m 5", "5.0001")
	right(`instant at 5m "a"`, `expect string "a"`)
	wrong(`instant at 5m "a"`, `expect string "b"`)
	wrong(`instant at 5m "a"`)

	right("range from 0 to 2m step 1m m", `m{a="b"} 0 1 2`)
	wrong("range from 0 to 2m step 1m m", `m{a="b"} 0 1 2 _`)
	wrong("range from 0 to 2m step 1m m", `m{a="b"} 0 1`)
	wrong("range from 0 to 2m step 1m m", `m{a="b"} 0 1 2`, `n _ _ _`)
	wrong("range from 0 to 2m step 1m m", "expect ordered", `m{a="b"} 0 1 2`)
	wrong("range from 0 to 2m step 1m 5", "5")
	right("instant at 5m m[2m]", "expect range vector from 4m to 5m step 1m", `m{a="b"} 4 5`)
	right("instant at 7m m[2m]", "expect range vector from 4m to 5m step 1m", `m{a="b"} 4 5`)
	wrong("instant at 5m m[2m]", "expect range vector from 4m to 6m step 1m", `m{a="b"} 4 5`)
	wrong("instant at 5m m[2m]", "expect range vector from 4m to 5m step 1m", "expect ordered", `m{a="b"} 4 5`)
	wrong("instant at 5m m[2m]", "expect range vector from 4m to 5m step 1m", `m{a="b"} 4`)
	wrong("instant at 5m m[2m]")

	right("instant at 5m h", "h {{sum:5 count:4 offset:-1 buckets:[0 1 2 1 0]}}")
	wrong("instant at 5m h", "h {{sum:5 count:4 buckets:[1 2 2]}}")
	wrong("instant at 5m h", "h {{sum:5 count:4 offset:1 buckets:[1 2 1]}}")
	wrong("instant at 5m h", "h {{sum:5 count:4 buckets:[1 2 1] z_bucket_w:1e-9}}")
	wrong("instant at 5m h", "h {{sum:5 count:4 buckets:[1 2 1] counter_reset_hint:gauge}}")
	wrong("instant at 5m h", "h 5")
	wrong("instant at 5m w", "w {{schema:-53 sum:5 count:4 buckets:[1 2 1] custom_values:[1 2.0000001]}}")

	right("instant at 5m histogram_quantile(2, h)", "expect warn regex: got 2", "{} Inf")
	right("instant at 5m histogram_quantile(2, h)", "expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)", "{} Inf")
	wrong("instant at 5m histogram_quantile(2, h)", "expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:21)", "{} Inf")
	wrong("instant at 5m histogram_quantile(2, h)", "expect warn", "expect warn regex: got 3", "{} Inf")
	wrong("instant at 5m histogram_quantile(2, h)", "expect no_warn", "{} Inf")
	wrong("instant at 5m histogram_quantile(2, h)", "expect info", "{} Inf")
	wrong("instant at 5m m + on () group_left c", "expect fail msg: found duplicate series")
	right("instant at 5m m + on () group_left c", "expect fail regex: ^found duplicate series")
}

// run runs a script over a storage in memory.
func run(t *testing.T, text string) ([]promqltest.Outcome, error) {
	t.Helper()
	script, err := promqltest.Parse("x.test", text)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := promqltest.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	runner := &promqltest.Runner{Engine: engine, NewStorage: func() (promqltest.Storage, error) { return storagetest.NewStore(), nil }}
	return runner.Run(t.Context(), script)
}
