package wal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

// FuzzDecode: no bytes make a decoder panic or ask for more memory than the bytes can stand for.
func FuzzDecode(f *testing.F) {
	f.Add(AppendSeries(nil, []Series{{1, labels.FromStrings("a", "b")}}))
	f.Add(AppendSamples(nil, []Sample{{Ref: 1, T: 2, V: 3}}))
	f.Add(AppendSamples(nil, []Sample{{Ref: 1, T: 2, ST: 1, V: 3}}))
	f.Add(AppendTombstones(nil, []Tombstone{{1, 2, 3}}))
	f.Add(AppendExemplars(nil, []Exemplar{{1, 2, 3, labels.FromStrings("a", "b")}}))
	f.Add(AppendMetadata(nil, []Metadata{{Ref: 1}}))
	f.Add(AppendMarkers(nil, []Marker{{1, 2}}))
	for _, st := range []int64{0, 7} {
		for _, rec := range AppendHistograms(nil, testHistograms(st)) {
			f.Add(rec)
		}
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		if n, err := decodeAny(rec); err == nil && n > len(rec) {
			t.Fatalf("%d entries in %d bytes", n, len(rec))
		}
	})
}

// FuzzReader: no bytes in a segment make the reader panic or read a record in a segment behind it wrong.
func FuzzReader(f *testing.F) {
	dir := f.TempDir()
	l, err := Open(Options{Dir: dir, Compression: Snappy})
	if err != nil {
		f.Fatal(err)
	}
	for _, size := range []int{10, 100, 40_000} {
		if err := l.Append(make([]byte, size), []byte("record")); err != nil {
			f.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(Segment{dir, 0}.Path())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000000"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append([]byte("last")); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		recs, _, torn := contents(t, OS{}, dir)
		if len(recs) == 0 || recs[len(recs)-1] != "last" || torn {
			t.Fatalf("%d records, torn %v", len(recs), torn)
		}
	})
}
