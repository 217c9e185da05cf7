package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// open opens a log with small segments.
func open(t *testing.T, dir string, fs FS, c Compression) *Log {
	t.Helper()
	l, err := Open(Options{Dir: dir, SegmentSize: 4 * pageSize, Compression: c, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// contents are the records in a log, the damage, and whether it ends torn.
func contents(t *testing.T, fs FS, dir string) (recs []string, damage []string, torn bool) {
	t.Helper()
	chain, err := FindChain(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(fs, chain.Segments, func(d *Damage) { damage = append(damage, d.Error()) })
	for r.Next() {
		recs = append(recs, string(r.Record()))
	}
	_, _, torn = r.TornTail()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return recs, damage, torn
}

func expectRecords(t *testing.T, fs FS, dir string, want []string) {
	t.Helper()
	got, damage, torn := contents(t, fs, dir)
	if len(damage) > 0 || torn {
		t.Fatalf("damage %v, torn %v", damage, torn)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("read %d records, wrote %d", len(got), len(want))
	}
}

func record(r *rand.Rand, size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.IntN(4))
	}
	return string(b)
}

func TestRecordsComeBack(t *testing.T) {
	for _, c := range []Compression{None, Snappy, Zstd} {
		t.Run(c.String(), func(t *testing.T) {
			dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 1))
			l := open(t, dir, OS{}, c)
			var want []string
			for i := range 300 {
				var batch [][]byte
				for range 1 + i%3 {
					rec := record(r, []int{0, 1, 10, 1000, pageSize - 2*headerSize, pageSize - headerSize, 3 * pageSize}[r.IntN(7)])
					want = append(want, rec)
					batch = append(batch, []byte(rec))
				}
				if err := l.Append(batch...); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, record(r, 10*pageSize))
			if err := l.Append([]byte(want[len(want)-1])); err != nil {
				t.Fatal(err)
			}
			expectRecords(t, OS{}, dir, want) // Before Close: what is acknowledged can be read.
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			expectRecords(t, OS{}, dir, want)
			again := open(t, dir, OS{}, c)
			want = append(want, "behind")
			if err := again.Append([]byte("behind")); err != nil {
				t.Fatal(err)
			}
			expectRecords(t, OS{}, dir, want)
		})
	}
}

func TestClosedLogRefuses(t *testing.T) {
	l := open(t, t.TempDir(), OS{}, None)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Append([]byte("x")); err == nil {
		t.Fatal("a closed log took a record")
	}
}

// TestFullDiskTearsNothing fills the disk in the middle of batches, again and again.
func TestFullDiskTearsNothing(t *testing.T) {
	for _, noTruncate := range []bool{false, true} {
		t.Run(fmt.Sprintf("noTruncate=%v", noTruncate), func(t *testing.T) {
			dir, fs, r := t.TempDir(), newFaulty(), rand.New(rand.NewPCG(2, 2))
			l := open(t, dir, fs, Snappy)
			var acknowledged, refused []string
			for i := range 200 {
				if i%5 == 0 {
					fs.room, fs.noTruncate = r.IntN(500), noTruncate
				}
				rec := fmt.Sprintf("%03d%s", i, record(r, r.IntN(2000)))
				if l.Append([]byte(rec)) == nil {
					acknowledged = append(acknowledged, rec)
				} else {
					refused = append(refused, rec)
				}
				fs.room, fs.noTruncate = 1<<40, false
			}
			if len(refused) < 10 {
				t.Fatalf("only %d batches failed: the test tests nothing", len(refused))
			}
			expectRecords(t, OS{}, dir, acknowledged)
		})
	}
}

// TestLogGoesOnInANewSegment: a file that can neither be written nor cut back is left alone.
func TestLogGoesOnInANewSegment(t *testing.T) {
	dir, fs := t.TempDir(), newFaulty()
	l := open(t, dir, fs, None)
	if err := l.Append([]byte("one")); err != nil {
		t.Fatal(err)
	}
	fs.room, fs.noTruncate = 5, true
	if err := l.Append([]byte("two")); err == nil {
		t.Fatal("no error")
	}
	fs.room = 1 << 40
	if err := l.Append([]byte("three")); err != nil {
		t.Fatal(err)
	}
	recs, damage, _ := contents(t, OS{}, dir)
	if !slices.Equal(recs, []string{"one", "three"}) || len(damage) != 1 || !strings.Contains(damage[0], "00000000 at offset 10") {
		t.Fatalf("records %q, damage %q", recs, damage)
	}
}

// TestFailedFlushIsReported: it costs no batch.
func TestFailedFlushIsReported(t *testing.T) {
	dir, fs := t.TempDir(), newFaulty()
	fs.noSync = true
	l := open(t, dir, fs, None)
	for i := range 3 {
		if err := l.Append(fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		if err := l.NextSegment(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err == nil || strings.Count(err.Error(), "input/output error") != 4 {
		t.Fatalf("got %v", err)
	}
	expectRecords(t, OS{}, dir, []string{"0", "1", "2"})
}

func TestFullDiskAtStart(t *testing.T) {
	dir, fs := t.TempDir(), newFaulty()
	fs.noCreate = true
	l := open(t, dir, fs, None)
	if err := l.Append([]byte("x")); err == nil {
		t.Fatal("no error")
	}
	fs.noCreate = false
	if err := l.Append([]byte("y")); err != nil {
		t.Fatal(err)
	}
	expectRecords(t, OS{}, dir, []string{"y"})
}

// damaged writes a log of one segment and lets change edit its bytes.
func damaged(t *testing.T, change func(b []byte) []byte) (wrote, read, damage []string, torn bool) {
	t.Helper()
	dir := t.TempDir()
	l, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		rec := bytes.Repeat([]byte{byte('A' + i)}, 5000+700*(i%9))
		wrote = append(wrote, string(rec))
		if err := l.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := Segment{dir, 0}.Path()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
	read, damage, torn = contents(t, OS{}, dir)
	return wrote, read, damage, torn
}

// expectSubset: what is read was written, in that order, and no more than lost records are missing.
func expectSubset(t *testing.T, wrote, read []string, lost int) {
	t.Helper()
	i := 0
	for _, rec := range read {
		for i < len(wrote) && wrote[i] != rec {
			i++
		}
		if i == len(wrote) {
			t.Fatalf("read a record of %d bytes that nobody wrote, or out of order", len(rec))
		}
		i++
	}
	if len(wrote)-len(read) > lost {
		t.Fatalf("lost %d of %d records", len(wrote)-len(read), len(wrote))
	}
}

func TestDamageJoinsNothing(t *testing.T) {
	for _, size := range []int{1, 100, 512, 4096, pageSize} {
		for at := 0; at+size < 6*pageSize; at += 3 * pageSize / 4 / 4 {
			start := at / size * size
			for name, edit := range map[string]func([]byte){
				"zeroed":  func(b []byte) { clear(b) },
				"flipped": func(b []byte) { b[len(b)/2] ^= 0x10 },
				"random": func(b []byte) {
					r := rand.New(rand.NewPCG(uint64(size), uint64(at)))
					for i := range b {
						b[i] = byte(r.Uint32())
					}
				},
			} {
				var changed bool
				wrote, read, damage, torn := damaged(t, func(b []byte) []byte {
					before := bytes.Clone(b)
					edit(b[start : start+size])
					changed = !bytes.Equal(before, b)
					return b
				})
				expectSubset(t, wrote, read, 12)
				if changed && (len(damage) == 0 || torn) {
					t.Fatalf("%d bytes at %d %s: damage %q, torn %v", size, start, name, damage, torn)
				}
			}
		}
	}
}

// TestFlippedBitCostsOneRecord: what follows a damaged record in its page is read, if its place can be trusted.
func TestFlippedBitCostsOneRecord(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS{}, None)
	wrote := []string{"first record", "second record", "third record", "fourth record"}
	for _, rec := range wrote {
		if err := l.Append([]byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := Segment{Dir: dir, Index: 0}.Path()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	start := headerSize + len(wrote[0])
	check := func(what string, at int, want []string) {
		t.Helper()
		b := slices.Clone(whole)
		b[at] ^= 0x10
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if recs, damage, _ := contents(t, OS{}, dir); !slices.Equal(recs, want) || len(damage) != 1 {
			t.Errorf("%s: read %q, damage %q", what, recs, damage)
		}
	}
	check("content", start+headerSize+3, []string{wrote[0], wrote[2], wrote[3]})
	check("checksum", start+5, []string{wrote[0], wrote[2], wrote[3]})
	check("length", start+2, wrote[:1])
	check("last record", len(whole)-1, wrote[:3])
}

func TestTornTailIsNoDamage(t *testing.T) {
	for cut := 1; cut < 20_000; cut += 333 {
		wrote, read, damage, torn := damaged(t, func(b []byte) []byte { return b[:len(b)-cut] })
		if len(damage) > 0 || !torn && len(read)+1 < len(wrote) && cut%7 != 0 {
			t.Fatalf("cut %d: damage %q, torn %v", cut, damage, torn)
		}
		expectSubset(t, wrote, read, 4)
	}
}

func TestUnreadablePage(t *testing.T) {
	dir, fs := t.TempDir(), newFaulty()
	l := open(t, dir, fs, None)
	for i := range 100 {
		if err := l.Append(fmt.Appendf(nil, "%01000d", i)); err != nil {
			t.Fatal(err)
		}
	}
	fs.unreadable, fs.failures = pageSize, readAttempts-1
	if recs, damage, _ := contents(t, fs, dir); len(recs) != 100 || len(damage) > 0 {
		t.Fatalf("%d records at the third attempt, damage %q", len(recs), damage)
	}
	fs.failures = math.MaxInt
	r := NewReader(fs, []Segment{{dir, 0}}, func(d *Damage) { t.Errorf("damage: %v", d) })
	for r.Next() {
		continue
	}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "00000000 at offset 32768: input/output error") {
		t.Errorf("reading ends with %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadableSegmentsAreKept: a checkpoint without what the machine fails to read would delete it.
func TestUnreadableSegmentsAreKept(t *testing.T) {
	dir, fs := t.TempDir(), newFaulty()
	l := open(t, dir, fs, None)
	for i := range 4 {
		if err := l.Append(fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		if err := l.NextSegment(); err != nil {
			t.Fatal(err)
		}
	}
	keepAll := func(rec []byte) ([][]byte, error) {
		if rec == nil {
			return nil, nil
		}
		return [][]byte{rec}, nil
	}
	fs.unreadable, fs.failures = 0, math.MaxInt
	if err := l.Rewrite(1, keepAll, func(d *Damage) { t.Errorf("damage: %v", d) }); err == nil {
		t.Fatal("checkpoint of what can't be read")
	}
	fs.unreadable = -1
	expectRecords(t, fs, dir, []string{"0", "1", "2", "3"})
	if err := l.Rewrite(1, keepAll, nil); err != nil {
		t.Fatal(err)
	}
	expectRecords(t, fs, dir, []string{"0", "1", "2", "3"})
}

func TestMissingSegmentIsReported(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS{}, None)
	for i := range 5 {
		if err := l.Append(fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		if err := l.NextSegment(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(Segment{dir, 2}.Path()); err != nil {
		t.Fatal(err)
	}
	chain, err := FindChain(OS{}, dir)
	if err != nil || !slices.Equal(chain.Missing, []Gap{{dir, 2, 2}}) {
		t.Fatalf("missing %v, %v", chain.Missing, err)
	}
	expectRecords(t, OS{}, dir, []string{"0", "1", "3", "4"})
	if err := os.Remove(Segment{dir, 0}.Path()); err != nil {
		t.Fatal(err)
	}
	// A name that some other program chose, such as a date: the gap is long, and one.
	if err := os.WriteFile(Segment{dir, 20261121093000}.Path(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []Gap{{dir, 0, 0}, {dir, 2, 2}, {dir, 6, 20261121092999}}
	if chain, err = FindChain(OS{}, dir); err != nil || !slices.Equal(chain.Missing, want) {
		t.Fatalf("missing %v, %v", chain.Missing, err)
	}
}

// TestFolderInPlaceOfASegment: what a folder stands for is damage, the rest is read, and the log is shortened around it.
func TestFolderInPlaceOfASegment(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS{}, None)
	for i := range 4 {
		if err := l.Append(fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		if err := l.NextSegment(); err != nil {
			t.Fatal(err)
		}
	}
	folder := Segment{dir, 1}.Path()
	if err := errors.Join(os.Remove(folder), os.MkdirAll(filepath.Join(folder, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	recs, damage, _ := contents(t, OS{}, dir)
	if !slices.Equal(recs, []string{"0", "2", "3"}) || len(damage) != 1 || !strings.Contains(damage[0], "is a directory") {
		t.Fatalf("got %v, damage %v", recs, damage)
	}
	if err := l.Truncate(3); err == nil {
		t.Error("a folder with files goes without a word")
	}
	if segs, err := ListSegments(OS{}, dir); err != nil || len(segs) != 3 {
		t.Errorf("after shortening there are %v, %v", segs, err)
	}
}

// TestCheckpointOfNothingHidesNothing: what has the name of a checkpoint but no segment stands for none.
func TestCheckpointOfNothingHidesNothing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS{}, None)
	if err := l.Append([]byte("0")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(checkpointPath(dir, 9), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(checkpointPath(dir, 8), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expectRecords(t, OS{}, dir, []string{"0"})
}

// TestZeroedTailIsDamage: zeros that end a segment are padding only within a page.
func TestZeroedTailIsDamage(t *testing.T) {
	for _, from := range []int{0, pageSize, pageSize + 100} {
		_, _, damage, _ := damaged(t, func(b []byte) []byte {
			clear(b[from:])
			return b
		})
		if len(damage) == 0 {
			t.Errorf("zeros from %d on: no damage", from)
		}
	}
	_, read, damage, torn := damaged(t, func(b []byte) []byte {
		return append(b, make([]byte, (pageSize-len(b)%pageSize)%pageSize)...)
	})
	if len(damage) > 0 || torn || len(read) == 0 {
		t.Errorf("padded to the page's end: damage %q, torn %v", damage, torn)
	}
}

func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS{}, Snappy)
	write := func(recs ...string) {
		t.Helper()
		for _, rec := range recs {
			if err := l.Append([]byte(rec)); err != nil {
				t.Fatal(err)
			}
			if err := l.NextSegment(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var keptBack []byte
	rewrite := func(rec []byte) ([][]byte, error) {
		switch {
		case rec == nil:
			return [][]byte{keptBack}, nil
		case rec[0] == 'd':
			return nil, nil
		case rec[0] == 'm':
			keptBack = bytes.Clone(rec)
			return nil, nil
		}
		return [][]byte{rec}, nil
	}
	write("a1")
	if err := l.Rewrite(1, rewrite, nil); err == nil {
		t.Fatal("a checkpoint of the segment that is being written")
	}
	write("d1", "m1", "m2", "a2", "a3")
	for _, last := range []int{3, 6} { // The second one has the first as its input.
		if err := l.Rewrite(last, rewrite, nil); err != nil {
			t.Fatal(err)
		}
		write("a4", "a5")
	}
	expectRecords(t, OS{}, dir, []string{"a1", "a2", "a3", "a4", "m2", "a5", "a4", "a5"})
	names, err := OS{}.List(dir)
	if err != nil || !slices.Equal(names[len(names)-1:], []string{"checkpoint.00000006"}) || len(names) > 5 {
		t.Fatalf("%v, %v", names, err)
	}
}

// TestFailedCheckpointChangesNothing fills the disk while a checkpoint is written.
func TestFailedCheckpointChangesNothing(t *testing.T) {
	dir, fs := t.TempDir(), newFaulty()
	l := open(t, dir, fs, None)
	var want []string
	for i := range 9 {
		want = append(want, fmt.Sprintf("%01000d", i))
		if err := l.Append([]byte(want[i])); err != nil {
			t.Fatal(err)
		}
		if err := l.NextSegment(); err != nil {
			t.Fatal(err)
		}
	}
	fs.room = 100
	keep := func(rec []byte) ([][]byte, error) {
		if rec == nil {
			return nil, nil
		}
		return [][]byte{rec}, nil
	}
	if err := l.Rewrite(5, keep, nil); err == nil {
		t.Fatal("no error")
	}
	fs.room = 1 << 40
	expectRecords(t, OS{}, dir, want)
	if err := l.Rewrite(5, keep, nil); err != nil {
		t.Fatal(err)
	}
	expectRecords(t, OS{}, dir, want)
}

// TestCheckpointInPlace: what is handed over takes the place of the segments. Where they could not be deleted, the next call
// does so and leaves the checkpoint alone.
func TestCheckpointInPlace(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, OS{}, Zstd)
	for _, rec := range []string{"a", "b", "c"} {
		if err := errors.Join(l.Append([]byte(rec)), l.NextSegment()); err != nil {
			t.Fatal(err)
		}
	}
	segs, err := ListSegments(OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(segs[0].Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, recs := range [][]string{{"x", "y"}, {"z"}} {
		err := l.Checkpoint(1, func(add func(recs ...[]byte) error) error {
			for _, rec := range recs {
				if err := add([]byte(rec)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		expectRecords(t, OS{}, dir, []string{"x", "y", "c"})
		if _, err := os.Stat(segs[0].Path()); !errors.Is(err, os.ErrNotExist) {
			t.Fatal("the segment is still there:", err)
		}
		if err := os.WriteFile(segs[0].Path(), kept, 0o600); err != nil { // As if it could not be deleted.
			t.Fatal(err)
		}
	}
}
