package tsdb

import (
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// fullDisk is a file system on which writes fail, half done, while full is set.
type fullDisk struct {
	wal.OS
	full atomic.Bool
}

type fullDiskFile struct {
	wal.File
	fs *fullDisk
}

func (f *fullDisk) Create(name string) (wal.File, error) {
	if f.full.Load() {
		return nil, syscall.ENOSPC
	}
	file, err := f.OS.Create(name)
	return fullDiskFile{file, f}, err
}

func (f fullDiskFile) WriteAt(b []byte, off int64) (int, error) {
	if !f.fs.full.Load() {
		return f.File.WriteAt(b, off)
	}
	n, err := f.File.WriteAt(b[:len(b)/2], off)
	return n, errors.Join(err, syscall.ENOSPC)
}

// TestFullDisk: the server starts and serves on a full disk, refuses what it can't keep, and loses nothing that it
// acknowledged before or after.
func TestFullDisk(t *testing.T) {
	dir, fs := t.TempDir(), &fullDisk{}
	inject := func(o *Options) { o.FS = fs }
	db := openDB(t, dir, inject)
	fill(t, db, 0, 12*minute, 4)
	refuse := func() {
		t.Helper()
		app := db.Appender()
		if err := app.Append(t.Context(), []storage.Entry{{Labels: series(1), T: 20 * minute, V: -1}}, make([]storage.Outcome, 1)); err != nil {
			t.Fatal(err)
		}
		if err := app.Commit(t.Context()); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("commit on a full disk: %v", err)
		}
	}
	fs.full.Store(true)
	refuse()
	fs.full.Store(false)
	fill(t, db, 12*minute, 14*minute, 4)
	fs.full.Store(true)
	refuse()
	want := all(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir, inject) // Still full.
	if got := all(t, db); got != want || strings.Contains(got, "-1") {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	refuse()
	fs.full.Store(false)
	fill(t, db, 14*minute, 17*minute, 4)
	want = all(t, db)
	if err := db.maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := all(t, openDB(t, dir, inject)); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}
