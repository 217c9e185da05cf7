package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 rules", 1: "1 rule", 2: "2 rules"} {
		if got := counted(n, "rule"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAbsentPluginDirectories(t *testing.T) {
	there := t.TempDir()
	out, err := os.Create(filepath.Join(there, "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	warnOfAbsent(streams{err: out}, []string{there, filepath.Join(there, "none")})
	const want = "/none is not there: no plugins come from it\n"
	if text, err := os.ReadFile(out.Name()); err != nil || strings.Count(string(text), "\n") != 1 || !strings.HasSuffix(string(text), want) {
		t.Errorf("got %q, %v", text, err)
	}
}
