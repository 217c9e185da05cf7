package wal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// follow reads what a tail has now.
func follow(t *testing.T, tail *Tail) (recs []string) {
	t.Helper()
	for tail.Next() {
		recs = append(recs, string(tail.Record()))
	}
	if err := tail.Err(); err != nil {
		t.Fatal(err)
	}
	return recs
}

func noDamage(t *testing.T) func(*Damage) {
	t.Helper()
	return func(d *Damage) { t.Errorf("damage: %v", d) }
}

// TestTailReadsWhatIsAcknowledged has tails read while batches are written, of which some fail in the middle. Each acknowledged
// record is read once and in order, whenever a tail looks and wherever it began.
func TestTailReadsWhatIsAcknowledged(t *testing.T) {
	for _, noTruncate := range []bool{false, true} {
		for _, c := range []Compression{None, Snappy, ZstdLight} {
			t.Run(fmt.Sprintf("noTruncate=%v,%v", noTruncate, c), func(t *testing.T) {
				fs, r := newFaulty(), rand.New(rand.NewPCG(uint64(c), 7)) //nolint:gosec // replayable
				l := open(t, t.TempDir(), fs, c)
				type reader struct {
					tail  *Tail
					begin int
					got   []string
				}
				readers := []*reader{{tail: l.Tail(l.Start(), noDamage(t), nil)}}
				var acknowledged []string
				for i := range 400 {
					if i%7 == 0 {
						fs.room, fs.noTruncate = r.IntN(3000), noTruncate
					}
					var batch [][]byte
					for k := range 1 + r.IntN(3) {
						batch = append(batch, []byte(fmt.Sprintf("%03d.%d%s", i, k, record(r, r.IntN(4000)))))
					}
					if l.Append(batch...) == nil {
						for _, rec := range batch {
							acknowledged = append(acknowledged, string(rec))
						}
					}
					fs.room, fs.noTruncate = 1<<40, false
					if i%50 == 0 {
						readers = append(readers, &reader{tail: l.Tail(l.End(), noDamage(t), nil), begin: len(acknowledged)})
					}
					for _, one := range readers {
						if r.IntN(4) == 0 {
							one.got = append(one.got, follow(t, one.tail)...)
						}
					}
				}
				for n, one := range readers {
					one.got = append(one.got, follow(t, one.tail)...)
					if !slices.Equal(one.got, acknowledged[one.begin:]) {
						t.Errorf("tail %d read %d records of %d", n, len(one.got), len(acknowledged)-one.begin)
					}
					if one.tail.Position() != l.End() {
						t.Errorf("tail %d is at %v, the log ends at %v", n, one.tail.Position(), l.End())
					}
					_ = one.tail.Close()
				}
			})
		}
	}
}

// TestTailAfterCheckpoint deletes segments in front of a tail: the one that it is in is read to its end, others are reported.
func TestTailAfterCheckpoint(t *testing.T) {
	l := open(t, t.TempDir(), OS{}, None)
	write := func(text string) {
		t.Helper()
		if err := l.Append([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	var gaps []string
	tail := l.Tail(l.Start(), noDamage(t), func(first, last int) { gaps = append(gaps, fmt.Sprintf("%d-%d", first, last)) })
	defer func() { _ = tail.Close() }()
	write("a")
	if got := follow(t, tail); fmt.Sprint(got) != "[a]" {
		t.Fatalf("read %v", got)
	}
	write("b")
	for _, text := range []string{"c", "d", "e"} {
		if err := l.NextSegment(); err != nil {
			t.Fatal(err)
		}
		write(text)
	}
	if l.LastCheckpoint() != -1 {
		t.Errorf("checkpoint %d before there is any", l.LastCheckpoint())
	}
	if err := l.Checkpoint(2, func(add func(recs ...[]byte) error) error { return add([]byte("kept")) }); err != nil {
		t.Fatal(err)
	}
	if got := follow(t, tail); fmt.Sprint(got, gaps) != "[b e] [1-2]" {
		t.Errorf("read %v, gaps %v", got, gaps)
	}
	var kept []string
	last, err := l.ReadCheckpoint(func(_ int, rec []byte) { kept = append(kept, string(rec)) })
	if err != nil || last != 2 || l.LastCheckpoint() != 2 || fmt.Sprint(kept) != "[kept]" {
		t.Errorf("checkpoint %d has %v: %v", last, kept, err)
	}
}

// TestTailTriesAgain has a page that cannot be read for a while.
func TestTailTriesAgain(t *testing.T) {
	fs := newFaulty()
	l := open(t, t.TempDir(), fs, None)
	tail := l.Tail(l.Start(), noDamage(t), nil)
	defer func() { _ = tail.Close() }()
	if err := l.Append([]byte("a")); err != nil {
		t.Fatal(err)
	}
	fs.unreadable, fs.failures = 0, 1
	if tail.Next() || tail.Err() == nil {
		t.Fatal("a page that cannot be read was read")
	}
	if got := follow(t, tail); fmt.Sprint(got) != "[a]" {
		t.Errorf("read %v", got)
	}
}

// TestTailBeginsInAnOldLog does not read what another run wrote.
func TestTailBeginsInAnOldLog(t *testing.T) {
	dir := t.TempDir()
	before := open(t, dir, OS{}, None)
	if err := before.Append([]byte("old")); err != nil {
		t.Fatal(err)
	}
	_ = before.Close()
	l := open(t, dir, OS{}, None)
	if l.Start() != l.End() {
		t.Errorf("a log that was just opened begins at %v and ends at %v", l.Start(), l.End())
	}
	tail := l.Tail(l.End(), noDamage(t), nil)
	defer func() { _ = tail.Close() }()
	if got := follow(t, tail); len(got) != 0 {
		t.Errorf("read %v", got)
	}
	if err := l.Append([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := follow(t, tail); fmt.Sprint(got) != "[new]" {
		t.Errorf("read %v", got)
	}
}
