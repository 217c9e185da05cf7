package strictyaml

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

type job struct {
	Name     string                  `yaml:"job_name"`
	Interval model.Duration          `yaml:"scrape_interval"`
	Limit    int                     `yaml:"sample_limit"`
	Honor    bool                    `yaml:"honor_labels"`
	Params   map[string][]string     `yaml:"params"`
	HTTP     config.HTTPClientConfig `yaml:",inline"`
	Other    map[string]yaml.Node    `yaml:",inline"`
}

type file struct {
	Global struct {
		Labels map[string]string `yaml:"external_labels"`
	} `yaml:"global"`
	Jobs []*job `yaml:"scrape_configs"`
}

func TestDecode(t *testing.T) {
	doc, err := Parse([]byte(`
global: {external_labels: {a: b}}
scrape_configs:
- job_name: x
  scrape_interval: 1m
  honor_labels: true
  params: {module: [a, b]}
  basic_auth: {username: u, password: p}
  acme_sd_configs: [{server: s}]
`))
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := doc.Decode(&f); err != nil {
		t.Fatal(err)
	}
	j := f.Jobs[0]
	if j.Name != "x" || time.Duration(j.Interval) != time.Minute || !j.Honor || j.Params["module"][1] != "b" ||
		j.HTTP.BasicAuth.Password != "p" || f.Global.Labels["a"] != "b" {
		t.Fatalf("got %+v", j)
	}
	node := j.Other["acme_sd_configs"]
	if b, err := JSON(&node); err != nil || string(b) != `[{"server":"s"}]` {
		t.Fatalf("got %s, %v", b, err)
	}
	if got := doc.Locate(At("scrape_configs[0].params.module", errors.New("bad"))).Error(); got != "7: scrape_configs[0].params.module: bad" {
		t.Errorf("got %s", got)
	}
	if got := doc.Locate(At("scrape_configs[0].missing", errors.New("bad"))).Error(); got != "4: scrape_configs[0].missing: bad" {
		t.Errorf("got %s", got)
	}
}

func TestMistakesAreLocated(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		doc, err := Parse([]byte(text))
		if err == nil {
			err = doc.Decode(&file{})
		}
		if err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
	check("global:\n  external_label: {}", "2: global.external_label: unknown field; did you mean external_labels?")
	check("nonsense: 1", "1: nonsense: unknown field")
	check("global: 3", "1: global: a mapping is needed here, not a single value")
	check("scrape_configs: {}", "1: scrape_configs: a list is needed here, not a mapping")
	check("scrape_configs:\n- sample_limit: many", `2: scrape_configs[0].sample_limit: "many" is not a whole number`)
	check("scrape_configs:\n- honor_labels: 7", `2: scrape_configs[0].honor_labels: "7" is not a boolean: write true or false`)
	check("scrape_configs:\n- scrape_interval: 7x", `2: scrape_configs[0].scrape_interval: unknown unit "x" in duration "7x"`)
	check("scrape_configs:\n- job_name: [a]", "2: scrape_configs[0].job_name: a string is needed here, not a list")
	check("scrape_configs:\n- job_name: a\n  job_name: b", "3: scrape_configs[0].job_name: given twice")
	check("scrape_configs:\n- tls_config:\n    ca_fil: x", "3: scrape_configs[0].tls_config.ca_fil: unknown field; did you mean ca_file?")
	check("scrape_configs:\n- tls_config: {ca_file: x, ca: y}", "2: scrape_configs[0].tls_config: at most one of ca, ca_file & ca_ref must be configured")
	check("scrape_configs:\n- proxy_url: [x]", "2: scrape_configs[0].proxy_url: a string is needed here, not a list")
	check("scrape_configs:\n- basic_auth: []", "2: scrape_configs[0].basic_auth: a mapping is needed here, not a list")
	check("scrape_configs:\n- oauth2:\n    tls_config: {ca: {}}", "3: scrape_configs[0].oauth2.tls_config.ca: a string is needed here, not a mapping")
	check("a: b: c", "1: mapping values are not allowed in this context")
	check("a:\n  - b: 1\n    c: 2\n   - b: 2\n  - b: 3\n", "4: did not find expected '-' indicator")
	check("a: 1\nb:\n  c: 1\n d: 2\ne: 3", "4: did not find expected key")
	check("a: 1\n- b", "2: did not find expected key")
	check("a: 1\n---\nb: 2", "2: a second document in the file")
	check("global:\n  # caf\xe9\n  external_labels: {}", "2: byte 0xe9 is not valid UTF-8")
	check("global:\n  external_labels: {a: \"\x00\"}", "2: control character U+0000")
	check("nonsense: 1\nscrape_configs:\n- honor_labels: 7\n  tls_config: {ca_fil: x}\n- sample_limit: many\nglobal: {external_labels: {a: [], a: b}}",
		"1: nonsense: unknown field\n"+
			"3: scrape_configs[0].honor_labels: \"7\" is not a boolean: write true or false\n"+
			"4: scrape_configs[0].tls_config.ca_fil: unknown field; did you mean ca_file?\n"+
			"5: scrape_configs[1].sample_limit: \"many\" is not a whole number\n"+
			"6: global.external_labels.a: a string is needed here, not a list\n"+
			"6: global.external_labels.a: given twice")
}

func TestMerge(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		doc, err := Parse([]byte(text))
		if err != nil {
			if err.Error() != want {
				t.Errorf("%q\n got %v\nwant %s", text, err, want)
			}
			return
		}
		if got, err := JSON(doc.root); err != nil || string(got) != want {
			t.Errorf("%q\n got %s, %v\nwant %s", text, got, err, want)
		}
	}
	check("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", `{"a":{"x":1,"y":2},"b":{"x":1,"y":3}}`)
	check("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}", `{"a":{"x":1,"y":2},"b":{"x":1,"y":3}}`)
	check("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}", `{"a":{"x":1},"b":{"x":1,"y":2},"c":{"x":1,"y":2}}`)
	check("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b], z: 3}", `{"a":{"x":1},"b":{"x":2,"y":2},"c":{"x":1,"y":2,"z":3}}`)
	check("a: &l [{x: 1}, {y: 2}]\nc: {<<: *l}", `{"a":[{"x":1},{"y":2}],"c":{"x":1,"y":2}}`)
	check("a: {<<: {x: 1}, '<<': 2}", `{"a":{"\u003c\u003c":2,"x":1}}`)
	check("a: 1\nb: {<<: 5}", "2: << takes a mapping or a list of mappings, such as *anchor")
	check("a: 1\nb: {<<: [{x: 1}, [2]]}", "2: << takes a mapping or a list of mappings, such as *anchor")
	check("a: &a\n  <<: *a", "2: *a is part of &a itself")
	check("a: &a\n  b: [*a]", "2: *a is part of &a itself")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: &x\n  <<: *x\n"))
	f.Add([]byte("scrape_configs:\n- job_name: x\n  <<: {a: b}\n"))
	f.Add([]byte("a: &x [*x]"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		doc, err := Parse(text)
		if err != nil {
			return
		}
		_ = doc.Decode(&file{})
		_ = doc.Line("scrape_configs[0].job_name")
	})
}
