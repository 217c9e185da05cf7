//go:build e2e && linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTutorial does what docs/tutorial.md says: it writes the files, runs the commands, and compares what they print.
func TestTutorial(t *testing.T) {
	t.Setenv("GOPROXY", "off") // What the module cache has must do.
	t.Setenv("PATH", filepath.Dir(narthex)+string(os.PathListSeparator)+os.Getenv("PATH"))
	text, err := os.ReadFile(filepath.Join(root, "docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	page := strings.ReplaceAll(string(text), "9090", freePort(t))
	files, commands := 0, 0
	for _, b := range blocks(page) {
		if b.file != "" {
			files++
			write(t, filepath.Join(dir, b.file), b.text)
			continue
		}
		for _, s := range steps(b.text) {
			commands++
			s.run(t, dir)
		}
	}
	if files < 5 || commands < 20 {
		t.Errorf("the page has %d files and %d commands: are its blocks marked as they were?", files, commands)
	}
}

// block is a file to write, or a console session.
type block struct{ file, text string }

// blocks returns the page's fenced blocks that are marked: files by a comment before them, sessions by their language.
func blocks(page string) []block {
	var all []block
	for _, m := range regexp.MustCompile("(?ms)^(?:<!-- file: (\\S+) -->\n)?```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		if m[1] != "" || m[2] == "console" {
			all = append(all, block{m[1], m[3]})
		}
	}
	return all
}

// step is a command and what it prints, with … for anything.
type step struct{ command, output string }

func steps(session string) []step {
	var all []step
	for line := range strings.Lines(session) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, step{command: strings.TrimSpace(command)})
		} else if len(all) > 0 {
			all[len(all)-1].output += line
		}
	}
	return all
}

// pattern matches the output; what follows a last … on a line of its own may have more lines.
func (s step) pattern() *regexp.Regexp {
	want := regexp.QuoteMeta(strings.TrimRight(s.output, "\n"))
	return regexp.MustCompile(`^` + strings.ReplaceAll(want, "…", `(?s:.*?)`) + `\s*$`)
}

// run runs the command. What asks the server is repeated until it prints what it should: a reader would wait too.
func (s step) run(t *testing.T, dir string) {
	t.Helper()
	t.Logf("$ %s", s.command)
	if command, ok := strings.CutSuffix(s.command, " &"); ok {
		launch(t, dir, "/bin/sh", "-c", "exec "+command)
		return
	}
	once := func() error {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", s.command)
		cmd.Dir, cmd.Env = dir, environment()
		out, err := cmd.Output()
		if err == nil && !s.pattern().Match(out) {
			err = fmt.Errorf("%s prints\n%s\nthe page says\n%s", s.command, out, s.output)
		}
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // it comes from Output as it is
			err = fmt.Errorf("%s: %w\n%s%s", s.command, err, out, exit.Stderr)
		}
		return err
	}
	if strings.HasPrefix(s.command, "curl ") {
		eventually(t, time.Minute, "the page", once)
		return
	}
	if err := once(); err != nil {
		t.Fatal(err)
	}
}
