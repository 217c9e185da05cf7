package promqltest_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql/promqltest"
	"github.com/narthex-io/narthex/storage/storagetest"
)

// sharedScripts is where upstream's scripts lie, if they are there.
const sharedScripts = "../../../shared/promqltest"

// TestUpstreamScripts runs upstream's scripts, but for the cases in testdata/skip.txt, which must fail.
func TestUpstreamScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sharedScripts, "*.test"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skipf("no scripts in %s", sharedScripts)
	}
	skips := readSkips(t, "testdata/skip.txt")
	passed, total := 0, 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p, n := runScript(t, file, skips)
			t.Logf("%d of %d cases pass", p, n)
			passed, total = passed+p, total+n
		})
	}
	t.Logf("%d of %d cases pass", passed, total)
	for _, s := range skips {
		if !s.used {
			t.Errorf("testdata/skip.txt:%d matches no case: %s", s.line, s.text)
		}
	}
}

// TestScripts runs our own scripts, which show what the engine can do.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { runScript(t, file, nil) })
	}
}

// skip is a case that is known to fail: script.test:line, or script.test and a part of the query.
type skip struct {
	line               int
	text, script, part string
	used               bool
}

func (s *skip) matches(script string, c *promqltest.Case) bool {
	if script != s.script {
		return false
	}
	return s.part == fmt.Sprint(c.Line) || strings.HasPrefix(s.part, "~") && strings.Contains(c.Query, s.part[1:])
}

// readSkips reads lines of the form script.test:line or script.test:~part, with a # and the reason behind.
func readSkips(t *testing.T, file string) []*skip {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var skips []*skip
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, reason, _ := strings.Cut(lines.Text(), " # ")
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		script, part, found := strings.Cut(text, ":")
		if !found || strings.TrimSpace(reason) == "" {
			t.Fatalf("%s:%d: want script:line or script:~part, and # with the reason: %s", file, n, text)
		}
		skips = append(skips, &skip{line: n, text: text, script: script, part: part})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return skips
}

// runScript returns how many of the cases of a script pass, and how many there are.
func runScript(t *testing.T, file string, skips []*skip) (passed, total int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(file)
	script, err := promqltest.Parse(name, string(text))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := promqltest.NewEngine()
	if err != nil {
		t.Fatal(err)
	}
	runner := &promqltest.Runner{
		Engine:     engine,
		NewStorage: func() (promqltest.Storage, error) { return storagetest.NewStore(), nil },
	}
	outcomes, err := runner.Run(t.Context(), script)
	if err != nil {
		t.Error(err)
	}
	for _, o := range outcomes {
		var known *skip
		for _, s := range skips {
			if s.matches(name, o.Case) {
				known, s.used = s, true
			}
		}
		switch {
		case o.Err == nil && known != nil:
			t.Errorf("%s:%d passes: take it out of the skip list (line %d): %s", name, o.Line, known.line, o.Query)
		case o.Err == nil:
			passed++
		case known == nil:
			t.Errorf("%s:%d: %s\n    %v", name, o.Line, o.Query, o.Err)
		}
	}
	return passed, len(script.Cases())
}
