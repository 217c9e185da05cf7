package ruletest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/promql/parser"
	"github.com/narthex-io/narthex/storage/storagetest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// store is a storage in memory.
type store struct{ *storagetest.Store }

func (store) Close() error { return nil }

func options() Options {
	return Options{Parser: parser.New(parser.Options{}), Open: func() (Storage, error) { return store{storagetest.NewStore()}, nil }}
}

// describeResult formats all that is known of a result but times.
func describeResult(r Result) string {
	var b strings.Builder
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if r.Err != nil {
		fmt.Fprintf(&b, "error: %v\n", r.Err)
	}
	for _, c := range r.Cases {
		fmt.Fprintf(&b, "%s: %d failures\n", c.Name, len(c.Failures))
		for _, err := range c.Failures {
			fmt.Fprintf(&b, "  %v\n", err)
		}
	}
	return b.String()
}

// TestGolden runs the test files of testdata and compares what is said about them with FILE.want, and with --diff with
// FILE.diff.
func TestGolden(t *testing.T) {
	for _, name := range []string{"good", "bad", "failing-rule", "unknown-field", "missing"} {
		for _, suffix := range []string{"want", "diff"} {
			opts := options()
			opts.Diff = suffix == "diff"
			r := Run(t.Context(), filepath.Join("testdata", name+".yml"), opts)
			if r.OK() != (name == "good") {
				t.Errorf("%s: ok is %v", name, r.OK())
			}
			got, path := describeResult(r), filepath.Join("testdata", name+"."+suffix)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(path); err != nil || string(want) != got {
				t.Errorf("%s\n got %s\nwant %s%v", path, got, want, err)
			}
		}
	}
}

func TestRunSelects(t *testing.T) {
	opts := options()
	opts.Run = regexp.MustCompile("^rec|hist")
	if r := Run(t.Context(), "testdata/good.yml", opts); !r.OK() || len(r.Cases) != 2 {
		t.Error(describeResult(r))
	}
}

// TestFuzzyCompare tells numbers apart that differ in the last bit, unless asked not to.
func TestFuzzyCompare(t *testing.T) {
	check := func(fuzzy, value string, want bool) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "t.yml")
		text := "fuzzy_compare: " + fuzzy + "\ntests:\n- promql_expr_test: [{expr: 0.1 + 0.2, exp_samples: [{labels: '{}', value: " + value + "}]}]\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := Run(t.Context(), path, options()); r.OK() != want {
			t.Error(fuzzy, value, describeResult(r))
		}
	}
	check("false", "0.30000000000000004", true)
	check("false", "0.3", false)
	check("true", "0.3", true)
	check("true", "0.31", false)
}

func TestWriteJUnit(t *testing.T) {
	var b bytes.Buffer
	err := WriteJUnit(&b, []Result{
		{File: "a.yml", Cases: []Case{{Name: "one", Took: time.Second}, {Name: "two", Failures: []error{os.ErrNotExist}}}},
		{File: "b.yml", Err: os.ErrPermission},
	}, time.Unix(0, 0).UTC())
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="a.yml" tests="2" failures="1" errors="0" skipped="0" timestamp="1970-01-01T00:00:00">
    <testcase name="one" time="1"></testcase>
    <testcase name="two" time="0">
      <failure>file does not exist</failure>
    </testcase>
  </testsuite>
  <testsuite name="b.yml" tests="0" failures="0" errors="1" skipped="0" timestamp="1970-01-01T00:00:00">
    <testcase name="unknown" time="0">
      <error>permission denied</error>
    </testcase>
  </testsuite>
</testsuites>
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// TestDebug compares the debug output with promtool's for the same file, without times.
func TestDebug(t *testing.T) {
	var out bytes.Buffer
	opts := options()
	opts.Debug = &out
	Run(t.Context(), filepath.Join("testdata", "good.yml"), opts)
	got := regexp.MustCompile(`took \S+`).ReplaceAllString(out.String(), "took X")
	path := filepath.Join("testdata", "good.debug")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("got %s\nwant %s%v", got, want, err)
	}
}
