package jsonmetrics

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

const queues = `{
  "version": "1.4.2", "up": true, "at": 1700000000.25, "total": 12345678901234567890,
  "queues": [
    {"name": "mail", "length": 3, "age": "1.5", "state": "ok", "tags": {"zone": "a"}},
    {"name": "say \"hi\"\n", "length": 0, "age": null, "state": "stuck", "tags": {}}
  ],
  "nodes": {"b": {"disks": {"sda": 10, "sdb": 20}}, "a": {"disks": {"sda": 30}}}
}`

func TestConformance(t *testing.T) {
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(Plugin(), sdktest.NewHost(t).SDK()),
		Kind: sdk.KindParser,
		Good: sdk.Config(`{"metrics": [{"name": "length", "path": "$.queues[*]", "value": "@.length", "labels": {"queue": "@.name"}}]}`),
		Bad:  []sdk.Config{nil, sdk.Config(`{}`), sdk.Config(`{"metrics": [{"name": "a b"}]}`), sdk.Config(`[]`)},
		Bodies: []sdktest.Body{
			{ContentType: "application/json", Text: `{"queues": [{"name": "a", "length": 1}]}`},
			{Text: `{"queues": [{"name": "a", "length": 1}, {"name": "b", "length": true}]}`},
		},
	})
}

func parse(t *testing.T, config, body string) (string, error) {
	t.Helper()
	p, err := Plugin().NewParser(sdk.Config(config), sdktest.NewHost(t).SDK())
	if err != nil {
		t.Fatalf("%s: %v", config, err)
	}
	var out bytes.Buffer
	err = p.Parse(t.Context(), []byte(body), "application/json", &out)
	return out.String(), err
}

func TestRules(t *testing.T) {
	// is compares the samples of one rule; comments are left out.
	is := func(rule string, want ...string) {
		t.Helper()
		out, err := parse(t, `{"metrics": [`+rule+`]}`, queues)
		var got []string
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "#") {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s\n got %s, %v\nwant %s", rule, strings.Join(got, "\n     "), err, strings.Join(want, "\n     "))
		}
	}
	is(`{"name": "up", "path": "$.up"}`, "up 1")
	is(`{"name": "total", "path": "$.total"}`, "total 12345678901234567890")
	is(`{"name": "none", "path": "$.none"}`)
	is(`{"name": "info", "value": 1, "labels": {"version": "$.version", "env": "prod", "price": "$$5", "mail": "@@home", "none": "$.none"}}`,
		`info{env="prod",mail="@home",price="$5",version="1.4.2"} 1`)
	is(`{"name": "length", "path": "$.queues[*]", "value": "@.length", "labels": {"queue": "@.name", "zone": "@.tags.zone", "version": "$.version"}}`,
		`length{queue="mail",version="1.4.2",zone="a"} 3`, `length{queue="say \"hi\"\n",version="1.4.2"} 0`)
	is(`{"name": "q", "path": "$.queues[*]", "values": {"length": "@.length", "age_seconds": "@.age", "seen": 1}, "labels": {"i": "@key"}}`,
		`q_age_seconds{i="0"} 1.5`, `q_length{i="0"} 3`, `q_seen{i="0"} 1`, `q_length{i="1"} 0`, `q_seen{i="1"} 1`)
	is(`{"name": "state", "path": "$.queues[*]", "value": "@.state", "mapping": {"ok": 1, "*": 0}, "labels": {"q": "@key"}}`,
		`state{q="0"} 1`, `state{q="1"} 0`)
	is(`{"name": "age", "path": "$.queues[*].age", "mapping": {"null": -1}, "labels": {"q": "@key[1]"}}`, `age{q="0"} 1.5`, `age{q="1"} -1`)
	is(`{"name": "disk", "path": "$.nodes.*.disks.*", "labels": {"node": "@key[2]", "disk": "@key"}}`,
		`disk{disk="sda",node="a"} 30`, `disk{disk="sda",node="b"} 10`, `disk{disk="sdb",node="b"} 20`)
	is(`{"name": "stuck", "path": "$.queues[?@.state == 'stuck']", "value": "@.length", "labels": {"name": "@['name']"}}`, `stuck{name="say \"hi\"\n"} 0`)
	is(`{"name": "last", "path": "$.queues[-1].length"}`, `last 0`)
	is(`{"name": "sda", "path": "$..sda", "labels": {"node": "@key[2]"}}`, `sda{node="a"} 30`, `sda{node="b"} 10`)
	is(`{"name": "ok", "path": "$.queues[?@.name == 'mail']", "value": "@.tags[?@ == 'a']", "mapping": {"a": 7}}`, `ok 7`)
	is(`{"name": "timed", "path": "$.up", "timestamp": "$.at"}`, `timed 1 1700000000250`)
	is(`{"name": "timed", "path": "$.up", "timestamp": "$.none"}`, `timed 1`)
}

func TestExposition(t *testing.T) {
	got, err := parse(t, `{"metrics": [
		{"name": "a", "type": "gauge", "help": "Say \\ and\nbreak.", "path": "$.queues[*]", "value": "@.length", "labels": {"q": "@key"}},
		{"name": "a", "type": "gauge", "path": "$.up"},
		{"name": "b", "path": "$.up"}]}`, queues)
	const want = "# HELP a Say \\\\ and\\nbreak.\n# TYPE a gauge\na{q=\"0\"} 3\na{q=\"1\"} 0\na 1\n# TYPE b untyped\nb 1\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestTimestamps(t *testing.T) {
	is := func(format, value, want string) {
		t.Helper()
		got, err := parse(t, `{"metrics": [{"name": "a", "value": 1, "timestamp": "$.t", "timestamp_format": "`+format+`"}]}`, `{"t": `+value+`}`)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "metric a: $: $.t: ") {
				t.Errorf("%s %s: %q, %v", format, value, got, err)
			}
		} else if err != nil || !strings.HasSuffix(got, "a 1 "+want+"\n") {
			t.Errorf("%s %s: %q, %v; want %s", format, value, got, err, want)
		}
	}
	is("unix", "1700000000", "1700000000000")
	is("unix", `"1700000000.5"`, "1700000000500")
	is("unix", "-1", "-1000")
	is("unix_ms", "1700000000123", "1700000000123")
	is("unix_us", "1700000000123999", "1700000000123")
	is("unix_ns", "1700000000123999999", "1700000000123")
	is("rfc3339", `"2023-11-14T22:13:20.25Z"`, "1700000000250")
	is("rfc3339", "1700000000", "")
	is("unix", `"soon"`, "")
	is("unix", "true", "")
	is("unix", "[]", "")
	is("unix", "1e30", "")
}

func TestFailures(t *testing.T) {
	fails := func(rule, body, want string) {
		t.Helper()
		got, err := parse(t, `{"metrics": [`+rule+`]}`, body)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %s: %q, %v; want %q", rule, body, got, err, want)
		}
	}
	const a = `{"name": "a"}`
	fails(a, ``, "the body is empty")
	fails(a, "{\n\"a\": 1,\n}", "line 3 is not JSON: invalid character '}'")
	fails(a, "<html>", "line 1 is not JSON")
	fails(a, "1 2", "there is something after the document")
	fails(a, strings.Repeat("[", 100_000), "line 1: the document is nested more than 256 levels deep")
	fails(a, `{"a": 1}`, "metric a: $: @ selects an object, not a number")
	fails(`{"name": "a", "path": "$.x"}`, `{"x": "many"}`, `metric a: $['x']: @ selects the text "many", which is no number: add it to mapping`)
	fails(`{"name": "a", "path": "$.x"}`, `{"x": 1e999}`, "too large")
	fails(`{"name": "a", "path": "$.x[*]", "value": "@.*"}`, `{"x": [{"b": 1}, {"b": 1, "c": 2}]}`, "metric a: $['x'][1]: @.* selects 2 nodes, and only one can be taken")
	fails(`{"name": "a", "path": "$.x[*]", "value": 1, "labels": {"l": "@"}}`, `{"x": [[1]]}`, "metric a: $['x'][0]: label l: @ selects a list")
	fails(`{"name": "a", "value": 1, "labels": {"l": "@key[3]"}}`, `{}`, "label l: the document is not that deep")
	fails(`{"name": "a", "path": "$.x", "required": true}`, `{}`, "metric a: $.x selects nothing, and it is required")
	fails(`{"name": "a", "path": "$", "value": "@.x", "required": true}`, `{}`, "@.x selects nothing")
}

func TestSkipInvalid(t *testing.T) {
	got, err := parse(t, `{"invalid": "skip", "metrics": [{"name": "a", "path": "$[*]", "values": {"x": "@.x", "y": "@.y"}, "labels": {"i": "@key"}}]}`,
		`[{"x": 1, "y": 2}, {"x": 1, "y": []}, {"x": 3}]`)
	if want := "# TYPE a_x untyped\na_x{i=\"0\"} 1\n# TYPE a_y untyped\na_y{i=\"0\"} 2\na_x{i=\"2\"} 3\n"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestMistakes(t *testing.T) {
	fails := func(config, want string) {
		t.Helper()
		if _, err := ParseConfig(sdk.Config(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
	rule := func(fields, want string) {
		t.Helper()
		fails(`{"metrics": [{"name": "a"}, {"name": "b", `+fields+`}]}`, want)
	}
	fails(`{}`, "metrics: there are none")
	fails(`{"metrics": [{"name": "a"}], "invalid": "drop"}`, `invalid: "drop" is neither fail nor skip`)
	fails(`{"metrics": [{"nam": "a"}]}`, "nam: unknown field")
	fails(`{"metrics": [{"name": "9a"}]}`, `metrics[0].name: "9a" is no name`)
	fails(`{"metrics": [{"name": "a", "type": "gauge"}, {"name": "a"}]}`, "metrics[1].type: a is gauge in an earlier entry, and untyped in this one")
	rule(`"type": "histogram"`, `metrics[1].type: "histogram" is none of`)
	rule(`"path": "queues"`, `metrics[1].path: "queues" is no JSONPath`)
	rule(`"path": "@.x"`, "metrics[1].path: \"@.x\": there is no node at hand yet")
	rule(`"path": "$.x["`, `metrics[1].path: "$.x[": `)
	rule(`"value": "length"`, `metrics[1].value: "length" is no JSONPath`)
	rule(`"value": []`, "metrics[1].value: [] is neither a JSONPath nor a number")
	rule(`"value": 1, "values": {"x": 1}`, "metrics[1].value: there are values too")
	rule(`"values": {}`, "metrics[1].values: there are none")
	rule(`"values": {"a-b": 1}`, "metrics[1].values.a-b: ")
	rule(`"labels": {"__x": "y"}`, "metrics[1].labels.__x: ")
	rule(`"labels": {"x": "@key[y]"}`, "metrics[1].labels.x: ")
	rule(`"labels": {"x": "@.["}`, "metrics[1].labels.x: ")
	rule(`"mapping": {"ok": "yes"}`, "")
	rule(`"timestamp": "now"`, "metrics[1].timestamp: ")
	rule(`"timestamp_format": "unix_s"`, "metrics[1].timestamp_format: ")
}

func TestDeadline(t *testing.T) {
	c, err := ParseConfig(sdk.Config(`{"metrics": [{"name": "a", "path": "$[*]"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if err := (&parser{c}).Parse(ctx, []byte("[1]"), "", &bytes.Buffer{}); err == nil {
		t.Error("a deadline that has passed does not matter")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(queues), "$.queues[*]", "@.length", "@.name")
	f.Add([]byte(`{"a": [1, "2", null, true, {"b": 1e5}]}`), "$..*", "@", "@key")
	f.Add([]byte(`[[[["x\u0000\"\n"]]]]`), "$[?@[0]]", "@[0]", "@key[1]")
	f.Fuzz(func(t *testing.T, body []byte, path, value, label string) {
		c, err := ParseConfig(sdk.Config(fmt.Sprintf(
			`{"invalid": "skip", "metrics": [{"name": "a", "path": %q, "value": %q, "labels": {"l": %q, "at": "@key"}}]}`, path, value, label)))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := (&parser{c}).Parse(t.Context(), body, "", &out); err != nil {
			return
		}
		if err := sdktest.CheckExposition(out.Bytes(), ""); err != nil && !strings.Contains(err.Error(), "are the same series") {
			t.Errorf("%q becomes %q: %v", body, out.Bytes(), err)
		}
	})
}

// exampleBody has n queues of three numbers.
func exampleBody(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"queues":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"queue-%d","zone":"eu-west-1","length":%d,"age_seconds":%d.5,"consumers":%d,"state":"running"}`, i, i, i%100, i%7)
	}
	b.WriteString("]}")
	return b.Bytes()
}

const exampleConfig = `{"metrics": [{"name": "queue", "path": "$.queues[*]", "labels": {"queue": "@.name", "zone": "@.zone"},
	"values": {"length": "@.length", "age_seconds": "@.age_seconds", "consumers": "@.consumers"}}]}`

func BenchmarkParse(b *testing.B) {
	c, err := ParseConfig(sdk.Config(exampleConfig))
	if err != nil {
		b.Fatal(err)
	}
	body := exampleBody(10_000)
	p := &parser{c}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := p.Parse(b.Context(), body, "", &out); err != nil {
			b.Fatal(err)
		}
	}
}
