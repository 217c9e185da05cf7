package promqltest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestTheGuidesScriptPasses runs the script that docs/promql.md shows.
func TestTheGuidesScriptPasses(t *testing.T) {
	text, err := os.ReadFile("../../docs/promql.md")
	if err != nil {
		t.Fatal(err)
	}
	script := regexp.MustCompile("(?s)```\n(load .*?)```").FindSubmatch(text)
	if script == nil {
		t.Fatal("docs/promql.md has no script")
	}
	file := filepath.Join(t.TempDir(), "guide.test")
	if err := os.WriteFile(file, script[1], 0o600); err != nil {
		t.Fatal(err)
	}
	if passed, total := runScript(t, file, nil); passed != 1 || total != 1 {
		t.Errorf("%d of %d cases pass", passed, total)
	}
}
