package headchunk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

func testChunk(i int) Chunk {
	return Chunk{
		Series: uint64(i%7 + 1), MinT: int64(i) * 1000, MaxT: int64(i)*1000 + 999, Encoding: chunk.EncXOR, Late: i%5 == 0,
		Data: bytes.Repeat([]byte{byte(i), 1, 2}, i%50+4),
	}
}

func testChunks(from, to int) []Chunk {
	var all []Chunk
	for i := from; i < to; i++ {
		all = append(all, testChunk(i))
	}
	return all
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func add(t *testing.T, s *Store, chunks []Chunk) []Ref {
	t.Helper()
	refs := make([]Ref, len(chunks))
	if n, err := s.Append(chunks, refs); err != nil || n != len(chunks) {
		t.Fatalf("wrote %d of %d: %v", n, len(chunks), err)
	}
	return refs
}

func equal(a, b Chunk) bool {
	data := bytes.Equal(a.Data, b.Data)
	return data && a.Series == b.Series && a.MinT == b.MinT && a.MaxT == b.MaxT && a.Encoding == b.Encoding && a.Late == b.Late
}

// read returns the numbers of the test's chunks that Each finds, and the damage.
func read(t *testing.T, s *Store) (numbers []int, damage []*Damage) {
	t.Helper()
	err := s.Each(func(ref Ref, c Chunk) {
		i := int(c.MinT / 1000)
		if !equal(c, testChunk(i)) {
			t.Errorf("chunk %d is %+v", i, c)
		}
		if got, err := s.Chunk(ref); err != nil || !equal(got, c) {
			t.Errorf("chunk %d again: %+v, %v", i, got, err)
		}
		numbers = append(numbers, i)
	}, func(d *Damage) { damage = append(damage, d) })
	if err != nil {
		t.Fatal(err)
	}
	return numbers, damage
}

// notMapped hides that files can be mapped.
type notMapped struct{ vfs.OS }

type plainFile struct{ vfs.File }

func (notMapped) Create(name string) (vfs.File, error) {
	f, err := vfs.OS{}.Create(name)
	return plainFile{f}, err
}

func (notMapped) Open(name string) (vfs.File, error) {
	f, err := vfs.OS{}.Open(name)
	return plainFile{f}, err
}

func TestChunksComeBack(t *testing.T) {
	for _, fs := range []vfs.FS{vfs.OS{}, notMapped{}} {
		o := Options{Dir: filepath.Join(t.TempDir(), "chunks_head"), FS: fs}
		s := open(t, o)
		want := testChunks(0, 300)
		large := testChunk(300)
		large.Data = bytes.Repeat([]byte{7}, 3*typicalBytes)
		refs := append(add(t, s, want[:100]), add(t, s, append(want[100:], large))...)
		for i, ref := range refs {
			if got, err := s.Chunk(ref); err != nil || i < 300 && !equal(got, want[i]) || i == 300 && !equal(got, large) {
				t.Fatalf("chunk %d: %+v, %v", i, got, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, o)
		n := 0
		err := again.Each(func(ref Ref, c Chunk) {
			if ref != refs[n] || n < 300 && !equal(c, want[n]) {
				t.Errorf("chunk %d at %#x", n, ref)
			}
			n++
		}, func(d *Damage) { t.Error(d) })
		if err != nil || n != 301 {
			t.Fatalf("%d chunks, %v", n, err)
		}
	}
}

func TestEachRunHasFilesOfItsOwn(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	for run := range 3 {
		s := open(t, o)
		if got, _ := read(t, s); len(got) != 10*run {
			t.Fatalf("run %d finds %v", run, got)
		}
		refs := add(t, s, testChunks(10*run, 10*run+10))
		if got := refs[0].File(); got != uint32(run+1) {
			t.Fatalf("run %d writes file %d", run, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, o)
	before := s.Size()
	if err := s.Truncate(3); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, s); len(got) != 10 || got[0] != 20 {
		t.Errorf("left are %v", got)
	}
	if _, err := s.Chunk(makeRef(1, fileHeader)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a deleted chunk: %v", err)
	}
	if s.Size() >= before {
		t.Errorf("%d bytes of %d are left", s.Size(), before)
	}
}

// TestFilesCanGoWhileOthersAreWritten deletes the file that is being written, too, and ends one with much in it.
func TestFilesCanGoWhileOthersAreWritten(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	truncate := func(number uint32) {
		t.Helper()
		if err := s.Truncate(number); err != nil {
			t.Fatal(err)
		}
	}
	writes := func(chunk Chunk, want uint32) Ref {
		t.Helper()
		ref := add(t, s, []Chunk{chunk})[0]
		if ref.File() != want {
			t.Fatalf("file %d is written, want %d", ref.File(), want)
		}
		return ref
	}
	writes(testChunk(1), 1)
	truncate(1)
	gone := writes(testChunk(2), 1)
	truncate(gone.File() + 1)
	if s.Size() != 0 {
		t.Errorf("%d bytes are left", s.Size())
	}
	large := testChunk(3)
	large.Data = make([]byte, worthEnding)
	kept := writes(large, 2)
	if _, err := s.Chunk(gone); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a deleted chunk: %v", err)
	}
	truncate(2)
	last := writes(testChunk(4), 3)
	if c, err := s.Chunk(kept); err != nil || !equal(c, large) {
		t.Errorf("the chunk of a file that was ended: %v", err)
	}
	truncate(3)
	if _, err := s.Chunk(kept); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a deleted chunk: %v", err)
	}
	if c, err := s.Chunk(last); err != nil || !equal(c, testChunk(4)) {
		t.Errorf("the last chunk: %v", err)
	}
}

// TestDamageCostsWhatItTouches flips and zeroes bytes, and cuts files.
func TestDamageCostsWhatItTouches(t *testing.T) {
	offsets := []uint32{}
	write := func(t *testing.T) Options {
		t.Helper()
		o := Options{Dir: t.TempDir()}
		for run := range 2 {
			s := open(t, o)
			offsets = offsets[:0]
			for _, ref := range add(t, s, testChunks(20*run, 20*run+20)) {
				offsets = append(offsets, ref.Offset())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return o
	}
	check := func(name, file string, change func(b []byte) []byte, want, wantDamage string) {
		t.Run(name, func(t *testing.T) {
			o := write(t)
			path := filepath.Join(o.Dir, file)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(b), 0o666); err != nil {
				t.Fatal(err)
			}
			for range 2 { // What is cut off is no damage the next time either.
				s := open(t, o)
				got, damage := read(t, s)
				missing := []int{}
				for i, k := 0, 0; i < 40; i++ {
					if k < len(got) && got[k] == i {
						k++
					} else {
						missing = append(missing, i)
					}
				}
				places := ""
				for _, d := range damage {
					places += fmt.Sprintf("%s+%d:%d ", filepath.Base(d.File), d.Offset, d.Bytes)
				}
				if fmt.Sprint(missing) != want || places != wantDamage {
					t.Errorf("missing %v, damage %q; want %s, %q", missing, places, want, wantDamage)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	flip := func(at uint32) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0x10; return b }
	}
	write(t) // The second file's chunks lie where the first one's do, but for their data.
	at := func(i int) uint32 { return offsets[i] }
	place := func(file, from, to int) string {
		return fmt.Sprintf("%06d+%d:%d ", file, at(from), at(to)-at(from))
	}
	check("data", "000002", flip(at(3)+30), "[23]", place(2, 3, 4))
	check("length", "000002", flip(at(3)+fixedBytes), "[23]", place(2, 3, 4))
	check("huge length", "000002", func(b []byte) []byte { copy(b[at(3)+fixedBytes:], "\xff\xff\xff\x7f"); return b }, "[23]", place(2, 3, 4))
	check("zeroes", "000002", func(b []byte) []byte { clear(b[at(3)+5 : at(5)+5]); return b }, "[23 24]", place(2, 3, 5)) // What is zeroed of 25 was zero.
	check("torn end", "000002", func(b []byte) []byte { return b[:at(19)+40] }, "[39]", "")
	check("zeroes behind the end", "000002", func(b []byte) []byte { return append(b, make([]byte, 5000)...) }, "[]", "")
	check("head of file", "000001", flip(1), "[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19]", fmt.Sprintf("000001+0:%d ", firstSize(t, write(t))))
	check("empty last file", "000002", func([]byte) []byte { return nil }, "[20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39]", "")
}

func firstSize(t *testing.T, o Options) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(o.Dir, "000001"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// limited is a disk that is full after some bytes.
type limited struct {
	vfs.OS
	room *int
}

type limitedFile struct {
	vfs.File
	room *int
}

func (l limited) Create(name string) (vfs.File, error) {
	f, err := l.OS.Create(name)
	return limitedFile{f, l.room}, err
}

func (f limitedFile) WriteAt(b []byte, off int64) (int, error) {
	n := min(len(b), *f.room)
	*f.room -= n
	got, err := f.File.WriteAt(b[:n], off)
	if err == nil && n < len(b) {
		err = syscall.ENOSPC
	}
	return got, err
}

func TestFullDiskLeavesNothingHalf(t *testing.T) {
	room := 4
	o := Options{Dir: t.TempDir(), FS: limited{room: &room}}
	s := open(t, o)
	refs := make([]Ref, 10)
	if _, err := s.Append(testChunks(0, 10), refs); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("no room for the head of a file: %v", err)
	}
	room = 500
	first := add(t, s, testChunks(0, 3))
	if n, err := s.Append(testChunks(3, 13), refs); !errors.Is(err, syscall.ENOSPC) || n != 0 {
		t.Fatalf("wrote %d, %v", n, err)
	}
	room = 1 << 20
	second := add(t, s, testChunks(3, 13))
	for i, ref := range append(first, second...) {
		if c, err := s.Chunk(ref); err != nil || !equal(c, testChunk(i)) {
			t.Errorf("chunk %d: %+v, %v", i, c, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, damage := read(t, open(t, o)); len(got) != 13 || len(damage) > 0 {
		t.Errorf("read %v, damage %v", got, damage)
	}
}

// FuzzEach reads any bytes as a file.
func FuzzEach(f *testing.F) {
	whole := appendHeader(nil)
	for i := range 5 {
		c := testChunk(i)
		whole = appendChunk(whole, &c)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(append(bytes.Clone(whole), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "000001"), b, 0o666); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir})
		err := s.Each(func(ref Ref, c Chunk) {
			if got, err := s.Chunk(ref); err != nil || !equal(got, c) {
				t.Errorf("%+v comes back as %+v, %v", c, got, err)
			}
		}, func(d *Damage) {
			if d.Bytes <= 0 || d.Offset < 0 || d.Offset+d.Bytes > int64(len(b)) {
				t.Errorf("damage from %d, %d bytes of %d", d.Offset, d.Bytes, len(b))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
