package head

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/wal"
)

// mapping puts complete chunks beside the log.
func mapping(dir string) func(o *Options) {
	return func(o *Options) { o.ChunkDir = filepath.Join(dir, "chunks_head") }
}

// fillMixed appends a sample a second from from on to eight series, three of them of histograms.
func fillMixed(t *testing.T, h *Head, r *rand.Rand, from, to int64) {
	t.Helper()
	for at := from; at < to; at += 1000 {
		var entries []storage.Entry
		for i := range 8 {
			if i < 3 {
				entries = append(entries, intEntry(i, at, nativeAt(int32(i), at, at+1, r.Int64N(50)+at)))
			} else {
				entries = append(entries, floatEntry(i, at))
			}
		}
		appendAll(t, h, entries...)
	}
}

func mapChunks(t *testing.T, h *Head) {
	t.Helper()
	if err := h.MapChunks(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// inMemory counts the complete chunks in memory and in files.
func inMemory(h *Head) (memory, files int) {
	h.index.each(func(_ uint32, p *page) {
		counted := 0
		for i := range p.full {
			for b := p.complete(i); len(b) > 0; {
				var c fullChunk
				if c, b = nextFull(b); c.ref != 0 {
					files++
				} else {
					counted++
				}
			}
		}
		if counted != p.unmapped {
			panic(fmt.Sprintf("%d chunks in memory, counted as %d", counted, p.unmapped))
		}
		memory += counted
	})
	return memory, files
}

func TestMappedChunksAreReadAndReplayed(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	h := openHead(t, dir, mapping(dir))
	for run := range int64(4) {
		fillMixed(t, h, r, run*900_000, run*900_000+600_000)
		want := all(t, h)
		mapChunks(t, h)
		if memory, files := inMemory(h); memory > 0 || files < 20 {
			t.Fatalf("%d chunks in memory, %d in files", memory, files)
		}
		if got := all(t, h); got != want {
			t.Fatalf("run %d: mapped:\n%s\nbefore:\n%s", run, got, want)
		}
		// Some more that are complete, but not in a file.
		fillMixed(t, h, r, run*900_000+600_000, run*900_000+900_000)
		want = all(t, h)
		_, before := inMemory(h)
		chunks := h.Stats().Chunks
		h = openHead(t, dir, mapping(dir)) // Killed.
		if got := all(t, h); got != want {
			t.Fatalf("run %d: after replay:\n%s\nbefore:\n%s", run, got, want)
		}
		if _, files := inMemory(h); files != before {
			t.Errorf("run %d: %d chunks in files, %d before", run, files, before)
		}
		if got := h.Stats().Chunks; got != chunks {
			t.Errorf("run %d: %d chunks are counted, %d before", run, got, chunks)
		}
	}
	// Without the files, the log has it all.
	want := all(t, h)
	if err := os.RemoveAll(filepath.Join(dir, "chunks_head")); err != nil {
		t.Fatal(err)
	}
	if got := all(t, openHead(t, dir, mapping(dir))); got != want {
		t.Error("the log lacks something")
	}
}

// TestSeriesWithoutOpenChunk: the log lost what came after the chunks in files; they decide what fits behind them.
func TestSeriesWithoutOpenChunk(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, mapping(dir))
	r := rand.New(rand.NewPCG(1, 1))
	fillMixed(t, h, r, 0, 600_000)
	mapChunks(t, h)
	if err := h.log.NextSegment(); err != nil {
		t.Fatal(err)
	}
	lost := h.log.Index()
	_, last := chunkBounds(h, 5)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for _, index := range []int{0, lost} {
		seg := wal.Segment{Dir: filepath.Join(dir, "wal"), Index: index}
		if err := os.Remove(seg.Path()); err != nil {
			t.Fatal(err)
		}
	}
	// The names of the series come back in a log without samples.
	names, err := wal.Open(wal.Options{Dir: filepath.Join(dir, "wal")})
	if err != nil {
		t.Fatal(err)
	}
	var series []wal.Series
	for i := range 8 {
		series = append(series, wal.Series{Ref: uint64(i + 1), Labels: metric(i)})
	}
	if err := errors.Join(names.Append(wal.AppendSeries(nil, series)), names.Close()); err != nil {
		t.Fatal(err)
	}
	h = openHead(t, dir, mapping(dir))
	v := floatEntry(5, last).V
	for _, c := range []struct {
		e    storage.Entry
		want error
	}{
		{storage.Entry{Labels: metric(5), T: last - 1, V: v}, storage.ErrOutOfOrder},
		{storage.Entry{Labels: metric(5), T: last, V: v}, nil},
		{storage.Entry{Labels: metric(5), T: last, V: v + 1}, storage.ErrDuplicate},
		{intEntry(5, last, nativeAt(1, 2)), storage.ErrDuplicate},
		{storage.Entry{Labels: metric(5), T: last + 1, V: 1}, nil},
		{storage.Entry{Labels: metric(5), T: last + 1, V: 2}, storage.ErrDuplicate},
		{storage.Entry{Labels: metric(0), T: 0, V: 1}, storage.ErrOutOfOrder},
	} {
		if got := appendAll(t, h, c.e)[0].Err; !errors.Is(got, c.want) || c.want == nil && got != nil {
			t.Errorf("%v at %d: %v, want %v", c.e.Labels, c.e.T, got, c.want)
		}
	}
	got := dump(t, h, last, last+1)
	if !strings.Contains(got, fmt.Sprintf("%s %d:%v %d:1\n", metric(5), last, v, last+1)) {
		t.Errorf("the end of the series is\n%s", got)
	}
}

// chunkBounds returns the times of the complete chunks of a test's series.
func chunkBounds(h *Head, i int) (first, last int64) {
	id, _ := h.index.find(metric(i), metric(i).Hash())
	p, slot := h.index.at(id)
	c, _ := nextFull(p.complete(slot))
	end, _ := p.lastFull(slot)
	return c.minT, end.maxT
}

// TestDamagedHeadChunks: the log fills in what it has; what neither has is lost, and nothing else.
func TestDamagedHeadChunks(t *testing.T) {
	for _, c := range []struct {
		name string
		// change damages files of several chunks of each series; cut removes the first samples from the log.
		change func(b []byte)
		cut    bool
	}{
		{"flipped byte", func(b []byte) { b[len(b)/2] ^= 1 }, false},
		{"zeroed page", func(b []byte) { clear(b[4096:8192]) }, false},
		{"no header", func(b []byte) { b[0] = 0 }, false},
		{"damage and a log without the beginning", func(b []byte) { b[60] ^= 1 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, r := t.TempDir(), rand.New(rand.NewPCG(3, 4))
			h := openHead(t, dir, mapping(dir))
			fillMixed(t, h, r, 0, 600_000)
			mapChunks(t, h)
			from := int64(hour) // What is in files of all series comes before it.
			for i := range 8 {
				_, last := chunkBounds(h, i)
				from = min(from, last)
			}
			fillMixed(t, h, r, 600_000, 900_000)
			want := all(t, h)
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "chunks_head", "000001")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c.change(b)
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
			if c.cut {
				keepSeriesOnly(t, filepath.Join(dir, "wal"), from)
			}
			var log strings.Builder
			h = openHead(t, dir, mapping(dir), func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			got := all(t, h)
			if !strings.Contains(log.String(), "000001 offset=") {
				t.Errorf("log says %s", log.String())
			}
			if !c.cut {
				if got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				return
			}
			rest := strings.Split(want, "\n")
			short := 0
			for i, line := range strings.Split(got, "\n") {
				if n := strings.Count(rest[i], ":") - strings.Count(line, ":"); n > 0 {
					short++
					if first, _ := chunkBounds(h, i); first == 0 || strings.Contains(line, " 0:") {
						t.Errorf("not the first chunk of %.40s is lost", line)
					}
				}
			}
			if short != 1 {
				t.Errorf("%d series lost something, not one", short)
			}
		})
	}
}

// keepSeriesOnly writes a log anew without the samples before a time.
func keepSeriesOnly(t *testing.T, dir string, from int64) {
	t.Helper()
	segs, err := wal.ListSegments(wal.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	var recs [][]byte
	reader := wal.NewReader(wal.OS{}, segs, func(d *wal.Damage) { t.Error(d) })
	for reader.Next() {
		rec := append([]byte(nil), reader.Record()...)
		switch wal.TypeOf(rec) {
		case wal.TypeSamples:
			all, _ := wal.DecodeSamples(rec, nil)
			if all[0].T < from {
				continue
			}
		case wal.TypeHistograms:
			all, _ := wal.DecodeHistograms(rec, nil)
			if all[0].T < from {
				continue
			}
		}
		recs = append(recs, rec)
	}
	if err := errors.Join(reader.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	l, err := wal.Open(wal.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Append(recs...), l.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestTruncateDeletesFiles(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	var h *Head
	for run := range int64(3) { // Each run has a file of its own.
		h = openHead(t, dir, mapping(dir))
		fillMixed(t, h, r, run*hour, run*hour+600_000)
		mapChunks(t, h)
	}
	if n := len(chunkFiles(t, dir)); n != 3 {
		t.Fatalf("%d files", n)
	}
	want := dump(t, h, hour, 3*hour)
	for run, left := range []string{"[000002 000003]", "[000003]"} {
		if err := h.Truncate(t.Context(), int64(run+1)*hour); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(chunkFiles(t, dir)); got != left {
			t.Errorf("files %s, want %s", got, left)
		}
		if run == 0 {
			if got := dump(t, h, hour, 3*hour); got != want {
				t.Errorf("got %s want %s", got, want)
			}
		}
	}
	again := openHead(t, dir, mapping(dir), func(o *Options) { o.MinValidTime = 2 * hour })
	if got, want := all(t, again), all(t, h); got != want {
		t.Errorf("after replay %s\nwant %s", got, want)
	}
}

// TestEvictedSeriesDoNotComeBackFromFiles: their chunks are still there when they are in blocks.
func TestEvictedSeriesDoNotComeBackFromFiles(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, mapping(dir))
	fillMixed(t, h, rand.New(rand.NewPCG(1, 1)), 0, 600_000)
	mapChunks(t, h)
	appendAll(t, h, storage.Entry{Labels: metric(6), T: 600_000, V: sample.StaleNaN()})
	cut, ok, err := h.BeginStaleCut()
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if n, err := cut.Done(t.Context()); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	appendAll(t, h, storage.Entry{Labels: metric(6), T: 700_000, V: 7})
	want := all(t, h)
	if !strings.Contains(want, metric(6).String()+" 700000:7\n") {
		t.Fatal(want)
	}
	if got := all(t, openHead(t, dir, mapping(dir))); got != want {
		t.Errorf("after replay\n%s", got)
	}
}

func chunkFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(dir, "chunks_head"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// TestChunksStayInMemoryOnAFullDisk, until there is room.
func TestChunksStayInMemoryOnAFullDisk(t *testing.T) {
	dir, fs := t.TempDir(), &faulty{}
	h := openHead(t, dir, mapping(dir), func(o *Options) { o.WAL.FS = fs })
	fillMixed(t, h, rand.New(rand.NewPCG(1, 1)), 0, 600_000)
	want := all(t, h)
	fs.full = true
	if err := h.MapChunks(t.Context()); err == nil {
		t.Error("the disk is full, and nobody says so")
	}
	if memory, files := inMemory(h); files != 0 || memory == 0 {
		t.Errorf("%d chunks in memory, %d in files", memory, files)
	}
	fs.full = false
	mapChunks(t, h)
	if memory, _ := inMemory(h); memory != 0 {
		t.Errorf("%d chunks in memory", memory)
	}
	if got := all(t, h); got != want {
		t.Error("samples were lost")
	}
	if got := all(t, openHead(t, dir, mapping(dir))); got != want {
		t.Error("samples were lost with the restart")
	}
}

// TestQuerierOutlivesHeadWithFiles: what is mapped stays mapped for it.
func TestQuerierOutlivesHeadWithFiles(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, mapping(dir))
	fillMixed(t, h, rand.New(rand.NewPCG(1, 1)), 0, 600_000)
	mapChunks(t, h)
	want := all(t, h)
	q, err := h.Querier(0, hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dumpQuerier(t, q); got != want {
		t.Error("the querier sees something else")
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBlockIsCutFromMappedChunks: the same chunks, byte for byte.
func TestBlockIsCutFromMappedChunks(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, mapping(dir))
	fillMixed(t, h, rand.New(rand.NewPCG(1, 1)), 0, 900_000)
	cut := func() (text string) {
		err := h.Series(t.Context(), 100_500, 800_000, func(ls labels.Labels, chunks []block.Chunk) error {
			for _, c := range chunks {
				text += fmt.Sprintf("%s %v %d-%d %x\n", ls, c.Encoding, c.MinTime, c.MaxTime, c.Data)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := cut()
	mapChunks(t, h)
	if cut() != before || before == "" {
		t.Error("the block is another one")
	}
}

// TestMappingIsDueAfterManyChunks without waiting for anybody's clock.
func TestMappingIsDueAfterManyChunks(t *testing.T) {
	dir := t.TempDir()
	h := openHead(t, dir, mapping(dir), func(o *Options) { o.MapQueue = 30 })
	fillMixed(t, h, rand.New(rand.NewPCG(1, 1)), 0, 100_000)
	select {
	case <-h.MapDue():
		t.Error("due with a few chunks")
	default:
	}
	fillMixed(t, h, rand.New(rand.NewPCG(1, 1)), 100_000, 900_000)
	select {
	case <-h.MapDue():
	default:
		t.Error("not due")
	}
}
