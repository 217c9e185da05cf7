package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestVerdicts reads configurations as people write and break them. Each case of testdata/verdicts.txt is a heading, the
// file, what promtool of Prometheus 3.14 says of it, and our answer. Where the two differ, a part is not supported yet,
// promtool looks at other files, the check of plugins follows later, or upstream accepts what cannot work. Names start
// with the section: g for global, j for a job, j_r and j_m for its relabelling rules, t for the file's top level.
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
		if _, err := parse("p.yml", []byte(file), func(string) string { return "" }); err != nil {
			got = err.Error() + "\n"
		}
		if got != strings.TrimRight(want, "\n")+"\n" && !*update {
			t.Errorf("%s\n%s got %swant %s", name, file, got, want)
		}
		fmt.Fprintf(&b, "=== %s\n%s--- %s\n%s\n", name, file, upstream, got)
	}
	if *update {
		if err := os.WriteFile(path, []byte(strings.TrimSuffix(b.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
