package httpsd_test

import (
	"strings"
	"testing"

	"github.com/narthex-io/narthex/sdk/guest/httpsd"
)

func TestParse(t *testing.T) {
	entries, err := httpsd.Parse([]byte(`[{"targets": ["a:1", "a:2"], "labels": {"env": "prod"}}, {"targets": []}] `))
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	g := entries[0].Group("src", "__meta_from", "here")
	if g.Source != "src" || len(g.Targets) != 2 || g.Labels["env"] != "prod" || g.Labels["__meta_from"] != "here" {
		t.Errorf("%+v", g)
	}
	if len(entries[0].Labels) != 1 {
		t.Error("Group changed the entry")
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       "decode JSON: EOF",
		`{"targets": ["a:1"]}`:                   "cannot unmarshal object",
		`[{"targets": ["a:1"]}`:                  "unexpected EOF",
		`[{"targets": "a:1"}]`:                   "targets",
		`[{"targets": [], "label": {}}]`:         `unknown field "label"`,
		`[null]`:                                 "entry 0 is null",
		`[{"targets": [], "labels": {"": "x"}}]`: `entry 0: "": "x" is not a valid label`,
		`[] []`:                                  "more text after the list",
	} {
		if _, err := httpsd.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
