package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb"
)

func TestExplainReadsADirectory(t *testing.T) {
	dir := t.TempDir()
	db, err := tsdb.Open(t.Context(), tsdb.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	app := db.Appender()
	entries := []storage.Entry{{Labels: labels.FromStrings("__name__", "up", "job", "a"), T: 5000, V: 1}, {Labels: labels.FromStrings("__name__", "up", "job", "b"), T: 5000, V: 1}}
	if err := errors.Join(app.Append(t.Context(), entries, make([]storage.Outcome, 2)), app.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	run := func(want string, args ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "out")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		root := rootCommand(streams{os.Stdin, f, f})
		root.SetArgs(append([]string{"query", "explain"}, args...))
		err = root.ExecuteContext(t.Context())
		text, readErr := os.ReadFile(file)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err != nil {
			text = append(text, err.Error()...)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%v: printed %s; want %q", args, text, want)
		}
	}
	check := func() {
		t.Helper()
		run("2     2        2     2  216 B  └─ selector up", "--storage", dir, "--analyze", "--start=10", "sum(up)")
		run("every 15s: 3 steps", "--storage="+dir, "--start=10", "--end=40", "--step=15", "up")
	}
	check() // A server is using it.
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check()
	run("2 arguments where one is needed", "--storage", dir, "http://localhost", "up")
	run("--start: \"x\" is no time", "--storage", dir, "--start=x", "up")
	run("neither blocks nor a write-ahead log", "--storage", t.TempDir(), "up")
	run("unknown function", "--storage", dir, "no_such(up)")
}
