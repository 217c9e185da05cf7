package head

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// checkpointed lists the kinds of records in the newest checkpoint, and the number of the last segment that it stands for,
// -1 without one.
func checkpointed(t *testing.T, dir string) (kinds map[wal.Type]int, last int) {
	t.Helper()
	chain, err := wal.FindChain(wal.OS{}, filepath.Join(dir, "wal"))
	if err != nil || len(chain.Missing) > 0 {
		t.Fatal(chain.Missing, err)
	}
	kinds = map[wal.Type]int{}
	r := wal.NewReader(wal.OS{}, chain.Segments, func(d *wal.Damage) { t.Error(d) })
	defer r.Close() //nolint:errcheck // a test's reader
	for r.Next() {
		if strings.Contains(r.Segment().Dir, "checkpoint.") {
			kinds[wal.TypeOf(r.Record())]++
		}
	}
	return kinds, chain.Checkpoint
}

// unreadFS is a file system whose log may be written and not read.
type unreadFS struct{ wal.OS }

func (unreadFS) Open(name string) (wal.File, error) { panic("reads " + name) }

func truncate(t *testing.T, h *Head, mint int64) {
	t.Helper()
	if err := h.Truncate(t.Context(), mint); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointFromMemory: where nothing in the older segments is needed but what memory has, they are not read, and a
// restart finds all that there was: series, also such as have nothing but samples out of order, deletions and metadata.
func TestCheckpointFromMemory(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withWindow(dir, 10*hour), mapping(dir), func(o *Options) { o.WAL.FS = unreadFS{} })
	md := &sample.Metadata{Type: sample.TypeCounter, Unit: "seconds", Help: "time"}
	add := func(from, to int64, ids ...int) {
		t.Helper()
		for ts := from; ts < to; ts += hour / 60 {
			for _, i := range ids {
				e := floatEntry(i, ts)
				if i == 1 {
					e.Metadata = md
				}
				appendAll(t, h, e)
			}
		}
	}
	add(0, 3*hour, 1, 2, 3)
	add(hour, hour+1, 4)
	truncate(t, h, 2*hour)
	if kinds, last := checkpointed(t, dir); last != -1 {
		t.Fatalf("a checkpoint of what is needed, %d: %v", last, kinds)
	}
	if err := h.Delete(t.Context(), 2*hour, 4*hour, labels.MustNewMatcher(labels.MatchEqual, "i", "2")); err != nil {
		t.Fatal(err)
	}
	add(3*hour, 5*hour, 1, 2)
	for i := range 2 * checkpointRecord {
		add(4*hour, 4*hour+1, 1000+i)
	}
	mapChunks(t, h)
	truncate(t, h, 3*hour)
	kinds, last := checkpointed(t, dir)
	if want := (map[wal.Type]int{wal.TypeSeries: 3, wal.TypeTombstones: 1, wal.TypeMetadata: 1}); last != 0 || !maps.Equal(kinds, want) {
		t.Fatalf("checkpoint up to %d of %v", last, kinds)
	}
	shown := func(h *Head) string { return dump(t, h, 0, 2*hour) + dump(t, h, 3*hour, math.MaxInt64) }
	want := shown(h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, withWindow(dir, 10*hour), mapping(dir), func(o *Options) { o.MinValidTime = 3 * hour })
	if got := shown(h); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := slices.Collect(maps.Values(h.extra.metadata)); len(got) != 1 || got[0] != *md {
		t.Errorf("metadata %v", got)
	}
}

// TestCheckpointKeepsExemplars: one ahead of all samples is not lost, and does not keep the log from being shortened.
func TestCheckpointKeepsExemplars(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, withExemplars(10))
	appendAll(t, h, exampled(1, 0, 100*hour))
	for i := range int64(manyBounds + 2) {
		appendAll(t, h, floatEntry(1, (i+1)*hour), floatEntry(2, (i+1)*hour))
		truncate(t, h, i*hour)
	}
	if kinds, last := checkpointed(t, dir); last < 1 || kinds[wal.TypeExemplars] != 1 {
		t.Errorf("checkpoint up to %d of %v", last, kinds)
	}
	want := everyExemplar(t, h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if got := everyExemplar(t, openHead(t, dir, withExemplars(10))); got != want || got == "" {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCheckpointAfterRestarts: how far segments reach is known of those of earlier runs, too, so that a server which is
// restarted between any two blocks shortens its log.
func TestCheckpointAfterRestarts(t *testing.T) {
	dir := t.TempDir()
	for i := range int64(8) {
		h := openHead(t, dir, func(o *Options) { o.MinValidTime = (i - 2) * hour })
		appendAll(t, h, floatEntry(1, i*hour))
		truncate(t, h, (i-1)*hour)
		appendAll(t, h, floatEntry(1, i*hour+1))
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	segs, err := wal.ListSegments(wal.OS{}, filepath.Join(dir, "wal"))
	if err != nil || len(segs) > 7 {
		t.Fatalf("%d segments, %v", len(segs), err)
	}
	if kinds, last := checkpointed(t, dir); last < 10 || kinds[wal.TypeSamples] != 0 {
		t.Errorf("checkpoint up to %d of %v", last, kinds)
	}
	h := openHead(t, dir, func(o *Options) { o.MinValidTime = 6 * hour })
	if got, want := all(t, h), fmt.Sprintf("%s %d:%v %d:%v", metric(1), 6*hour, floatEntry(1, 6*hour).V, 6*hour+1, floatEntry(1, 6*hour+1).V); !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCheckpointAndEvictions: what the log says of a series that was moved to a block does not hold for one of the same
// labels that came later, whose chunks are in files.
func TestCheckpointAndEvictions(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, mapping(dir), func(o *Options) { o.WAL.SegmentSize = 32 << 10 })
	add := func(i int, from, to int64) {
		t.Helper()
		for at := from; at < to; at += 1000 {
			appendAll(t, h, floatEntry(i, at))
		}
	}
	add(1, 0, hour)
	add(6, hour, hour+1000)
	appendAll(t, h, storage.Entry{Labels: metric(6), T: hour + 1000, V: sample.StaleNaN()})
	cut, ok, err := h.BeginStaleCut()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if n, err := cut.Done(t.Context()); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	add(6, hour+2000, 2*hour)
	mapChunks(t, h)
	if _, files := inMemory(h); files == 0 {
		t.Fatal("no chunk is in a file")
	}
	truncate(t, h, hour+2000) // The eviction is in a segment that has samples behind this time as well.
	if _, last := checkpointed(t, dir); last < 0 {
		t.Fatal("the log was not shortened")
	}
	want := all(t, h)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, mapping(dir), func(o *Options) { o.MinValidTime = hour + 2000 })
	if got := all(t, h); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	truncate(t, h, hour+hour/2)
	want = all(t, h)
	if got := all(t, openHead(t, dir, mapping(dir), func(o *Options) { o.MinValidTime = hour + hour/2 })); got != want {
		t.Errorf("after a second checkpoint: got\n%swant\n%s", got, want)
	}
}
