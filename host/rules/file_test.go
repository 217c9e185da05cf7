package rules

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql/parser"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestVerdicts reads rule files as people write and break them. Each case of testdata/verdicts.txt is a heading, the file,
// what promtool of Prometheus 3.14 says of it, and our answer.
func TestVerdicts(t *testing.T) {
	const path = "testdata/verdicts.txt"
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for text := range strings.SplitSeq(strings.TrimPrefix(string(golden), "=== "), "\n=== ") {
		name, rest, _ := strings.Cut(text+"\n", "\n")
		file, rest, ok := strings.Cut(rest, "--- ")
		if !ok {
			t.Fatalf("case %s has no verdict of upstream's", name)
		}
		upstream, want, _ := strings.Cut(rest, "\n")
		got := "valid\n"
		if _, err := Parse("r.yml", []byte(file), LoadOptions{Parser: parser.New(parser.Options{})}); err != nil {
			got = err.Error() + "\n"
		}
		if got != strings.TrimRight(want, "\n")+"\n" && !*update {
			t.Errorf("%s\n%s got %swant %s", name, file, got, want)
		}
		fmt.Fprintf(&b, "=== %s\n%s--- %s\n%s\n", name, file, upstream, got)
	}
	if *update {
		if err := os.WriteFile(path, []byte(strings.TrimSuffix(b.String(), "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad(t *testing.T) {
	opts := LoadOptions{Parser: parser.New(parser.Options{})}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yml":   "groups: [{name: a, rules: [{record: r, expr: '1'}, {alert: A, expr: '1'}]}]",
		"b.yml":   "groups: [{name: b, rules: []}]",
		"bad.txt": "groups: [{nam: b}]\n",
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Load([]string{dir + "/b.yml", dir + "/*.yml", dir + "/missing.yml"}, opts)
	if err != nil || len(files) != 2 || files[0].Path != dir+"/b.yml" || files[1].Rules() != 2 {
		t.Fatal(files, err)
	}
	if _, err := Load([]string{dir + "/*"}, opts); err == nil || err.Error() != dir+"/bad.txt:1: groups[0].nam: unknown field; did you mean name?" {
		t.Error(err)
	}
	opts.IgnoreUnknownFields = true
	if _, err := Load([]string{dir + "/*"}, opts); err == nil || err.Error() != dir+"/bad.txt:1: groups[0].name: Groupname must not be empty" {
		t.Error(err)
	}
	opts.LegacyNames = true
	if _, err := Parse("r.yml", []byte("groups: [{name: g, rules: [{record: a.b, expr: '1'}]}]"), opts); err == nil || !strings.Contains(err.Error(), "invalid recording rule name: a.b") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up, labels: {a: '{{ $value }}'}}\n", "groups: [null]", "groups: [{name: g, rules: [null]}]",
		"groups: &a [*a]", "a: 1\n---\nb: 2",
	} {
		f.Add(seed)
	}
	p := parser.New(parser.Options{})
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("r.yml", []byte(text), LoadOptions{Parser: p})
		if err != nil {
			return
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				if r.parsed == nil || r.Name() == "" {
					t.Fatalf("%q yields a rule without name or expression", text)
				}
			}
		}
	})
}
