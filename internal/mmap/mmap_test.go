package mmap

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOpen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"", "content"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.Bytes()); got != content {
			t.Errorf("got %q, want %q", got, content)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}
}

func TestWhatCannotBeMapped(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := Open(name); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
}
