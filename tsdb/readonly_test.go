package tsdb

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// contents describes all files of a folder.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func openReadOnly(t *testing.T, dir string) *ReadOnly {
	t.Helper()
	r, err := OpenReadOnly(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestReadOnlySeesADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 3*minute, 48*minute, 5)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(db.Blocks()) == 0 {
		t.Fatal("there are no blocks")
	}
	want, before := all(t, db), contents(t, dir)
	r := openReadOnly(t, dir)
	if got := all(t, r); got != want {
		t.Errorf("got\n%.500s\nwant\n%.500s", got, want)
	}
	if len(r.Blocks()) != len(db.Blocks()) || r.HeadStats().Series == 0 {
		t.Errorf("got %d blocks and %+v", len(r.Blocks()), r.HeadStats())
	}
	if after := contents(t, dir); after != before {
		t.Errorf("files have changed from\n%s\nto\n%s", before, after)
	}
	fill(t, db, 48*minute, 50*minute, 5)
	if got := all(t, r); got != want {
		t.Error("what came later is seen")
	}
}

// TestReadOnlyMendsNothing reads a directory whose server died while it wrote a record.
func TestReadOnlyMendsNothing(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	fill(t, db, 3*minute, 8*minute, 5)
	want := all(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	f, err := os.OpenFile(segments[len(segments)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{1, 0, 200, 1, 2, 3, 4, 5}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	if got := all(t, openReadOnly(t, dir)); got != want {
		t.Errorf("got\n%.500s\nwant\n%.500s", got, want)
	}
	if after := contents(t, dir); after != before {
		t.Errorf("files have changed from\n%s\nto\n%s", before, after)
	}
}

func TestReadOnlyWantsADataDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenReadOnly(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrNoData) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := OpenReadOnly(t.Context(), Options{Dir: filepath.Join(dir, "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if c := contents(t, dir); c != "" {
		t.Errorf("there are files: %s", c)
	}
}
