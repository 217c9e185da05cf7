package promql_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql/promqltest"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// TestUpstreamScripts runs all scripts that upstream's module comes with.
func TestUpstreamScripts(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Skipf("cannot find upstream's module: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "promql", "promqltest", "testdata", "*.test"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", dir, err)
	}
	total := 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { total += runScript(t, file) })
	}
	t.Logf("%d cases", total)
}

// runScript returns the number of cases.
func runScript(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script, err := promqltest.Parse(filepath.Base(file), string(text))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := promqltest.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	runner := &promqltest.Runner{
		Engine: engine, NewStorage: func() (promqltest.Storage, error) { return storagetest.NewStore(), nil },
	}
	outcomes, err := runner.Run(t.Context(), script)
	if err != nil {
		t.Error(err)
	}
	for _, o := range outcomes {
		if o.Err != nil {
			t.Errorf("line %d: %s\n    %v", o.Line, o.Query, o.Err)
		}
	}
	return len(outcomes)
}
