package inspect

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamage damages one thing of a block at a time: it is named, and the rest is printed.
func TestDamage(t *testing.T) {
	const name = "01HF0000000000000000000002"
	check := func(what, file string, hurt func(b []byte) []byte, wantLines int, wantSaid string) {
		t.Helper()
		dir := twoBlocks(t)
		if err := os.Mkdir(filepath.Join(dir, "wal"), 0o777); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name, file)
		if err := os.WriteFile(path, hurt(must(os.ReadFile(path))), 0o666); err != nil {
			t.Fatal(err)
		}
		got, said := dump(t, dir, FormatProm, -always, always)
		if n := strings.Count(got, "\n"); n != wantLines || !strings.Contains(said, wantSaid) || !strings.Contains(said, name) {
			t.Errorf("%s: %d lines are printed, want %d, and it is said:\n%s", what, n, wantLines, said)
		}
		var damaged []error
		err := Analyze(t.Context(), &strings.Builder{}, AnalyzeOptions{
			Dir: dir, Block: name, Extended: true, Damaged: func(err error) { damaged = append(damaged, err) },
		})
		if err == nil && len(damaged) == 0 {
			t.Errorf("%s: analyze finds nothing wrong", what)
		}
	}
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += len(b)
			}
			b[at] ^= 0xff
			return b
		}
	}
	const sound, all = 120, 120 + 3*120 + 11 + 60 + 1
	check("a chunk", "chunks/000001", flip(20), all-50, "chunks/000001: chunk at offset 8 has a checksum that does not match")
	check("the last chunk", "chunks/000001", flip(-6), all-1, "chunks/000001")
	check("a segment that is cut off", "chunks/000001", func(b []byte) []byte { return b[:len(b)-30] }, all-1-10, "chunks/000001")
	check("the table of contents", "index", flip(-3), sound, "index")
	check("the description", "meta.json", func([]byte) []byte { return nil }, sound, "meta.json")
	check("a series", "index", func(b []byte) []byte {
		// The first series lies at the first multiple of 16 behind the symbols.
		at := bytes.Index(b, []byte("up")) + 16
		for at%16 != 0 || b[at] == 0 {
			at++
		}
		return flip(at + 3)(b)
	}, all-120, "index")
}

// TestDamagedLog: a part of the log that can't be read is named, and the rest is printed.
func TestDamagedLog(t *testing.T) {
	dir, _ := makeData(t)
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(copied, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	b := must(os.ReadFile(segments[0]))
	b[len(b)/2] ^= 0xff
	if err := os.WriteFile(segments[0], b, 0o666); err != nil {
		t.Fatal(err)
	}
	before := contents(t, copied)
	whole, _ := dump(t, dir, FormatProm, -always, always)
	got, said := dump(t, copied, FormatProm, -always, always)
	if n, all := strings.Count(got, "\n"), strings.Count(whole, "\n"); n == 0 || n >= all || !strings.Contains(said, segments[0]) {
		t.Errorf("%d of %d lines are printed, and it is said:\n%s", n, all, said)
	}
	if contents(t, copied) != before {
		t.Error("files have changed")
	}
}
