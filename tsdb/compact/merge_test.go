package compact

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/model/sample"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
	"github.com/narthex-io/narthex/tsdb/chunk"
	"github.com/narthex-io/narthex/tsdb/merge"
	"github.com/narthex-io/narthex/tsdb/vfs"
)

func openBlock(tb testing.TB, dir string, meta block.Meta) *block.Block {
	tb.Helper()
	b, err := block.Open(filepath.Join(dir, meta.ULID.String()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

// oneSeries is a series on its way into a block.
type oneSeries struct {
	labels labels.Labels
	chunks []block.Chunk
}

// writeBlock writes a block of the given series.
func writeBlock(tb testing.TB, dir string, mint, maxt int64, series ...oneSeries) *block.Block {
	tb.Helper()
	w, err := block.NewWriter(block.WriterOptions{Dir: dir, MinTime: mint, MaxTime: maxt})
	if err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(series, func(a, b oneSeries) int { return labels.Compare(a.labels, b.labels) })
	for _, one := range series {
		if err := w.Add(one.labels, one.chunks); err != nil {
			tb.Fatal(err)
		}
	}
	meta, err := w.Finish()
	if err != nil {
		tb.Fatal(err)
	}
	return openBlock(tb, dir, meta)
}

func xorChunk(ts []int64, vs []float64) block.Chunk {
	var s chunk.XORState
	var b []byte
	for i := range ts {
		b = s.Append(b, ts[i], vs[i])
	}
	return block.Chunk{Encoding: chunk.EncXOR, Data: b, MinTime: ts[0], MaxTime: ts[len(ts)-1]}
}

// xorChunks encodes samples in chunks of size samples.
func xorChunks(ts []int64, vs []float64, size int) []block.Chunk {
	var all []block.Chunk
	for i := 0; i < len(ts); i += size {
		end := min(i+size, len(ts))
		all = append(all, xorChunk(ts[i:end], vs[i:end]))
	}
	return all
}

// dump is all that is to be read: a series a line, values as their bits.
func dump(tb testing.TB, qs ...storage.Queryable) string {
	tb.Helper()
	var all []storage.Querier
	for _, q := range qs {
		one, err := q.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, one)
	}
	q := merge.Queriers(all...)
	defer q.Close() //nolint:errcheck // a test's reader
	var out strings.Builder
	set := q.Select(context.Background(), true, nil)
	for set.Next() {
		var c storage.Columns
		r := set.At().Samples(nil)
		for r.Read(&c) {
			continue
		}
		if r.Err() != nil {
			tb.Fatal(r.Err())
		}
		if c.Len() > 0 {
			fmt.Fprintln(&out, set.At().Labels(), formatSamples(&c))
		}
	}
	if set.Err() != nil {
		tb.Fatal(set.Err())
	}
	return out.String()
}

func formatSamples(c *storage.Columns) string {
	var out strings.Builder
	for i, t := range c.T {
		fmt.Fprintf(&out, " %d:", t)
		if len(c.H) > 0 && c.H[i] != nil {
			fmt.Fprintf(&out, "%+v", *c.H[i])
		} else {
			fmt.Fprintf(&out, "%x", math.Float64bits(c.F[i]))
		}
		if len(c.ST) > 0 && c.ST[i] != 0 {
			fmt.Fprintf(&out, "@%d", c.ST[i])
		}
	}
	return out.String()
}

// model holds what blocks hold, by series and time.
type model map[string]map[int64]float64

func (m model) String() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		var c storage.Columns
		for _, t := range slices.Sorted(maps.Keys(m[name])) {
			c.Append(t, m[name][t], nil)
		}
		if c.Len() > 0 {
			fmt.Fprintln(&out, name, formatSamples(&c))
		}
	}
	return out.String()
}

// randomBlock writes a block with samples in [mint, maxt), deletes some of them, and adds the others to the model,
// where what is there counts.
func randomBlock(t *testing.T, r *rand.Rand, dir string, mint, maxt int64, m model) *block.Block {
	t.Helper()
	var series []oneSeries
	here := model{}
	for i := range 8 {
		if r.IntN(3) == 0 {
			continue
		}
		ls := labels.FromStrings("__name__", "m", "i", fmt.Sprint(i))
		var ts []int64
		var vs []float64
		step := 1 + r.Int64N(4)
		for at := mint + r.Int64N(5); at < maxt; at += 1 + r.Int64N(step) {
			v := float64(r.IntN(100))
			switch r.IntN(30) {
			case 0:
				v = sample.StaleNaN()
			case 1:
				v = math.Inf(-1)
			case 2:
				v = r.Float64()
			}
			ts, vs = append(ts, at), append(vs, v)
		}
		if len(ts) == 0 {
			continue
		}
		series = append(series, oneSeries{ls, xorChunks(ts, vs, 1+r.IntN(150))})
		here[ls.String()] = map[int64]float64{}
		for k, at := range ts {
			here[ls.String()][at] = vs[k]
		}
	}
	if len(series) == 0 {
		return nil
	}
	b := writeBlock(t, dir, mint, maxt, series...)
	for range r.IntN(4) {
		i, from := r.IntN(8), mint+r.Int64N(maxt-mint)
		to := from + r.Int64N(maxt-mint)
		ls := labels.FromStrings("__name__", "m", "i", fmt.Sprint(i))
		if err := b.Delete(t.Context(), vfs.OS{}, from, to, labels.MustNewMatcher(labels.MatchEqual, "i", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(here[ls.String()], func(at int64, _ float64) bool { return from <= at && at <= to })
	}
	for name, samples := range here {
		if m[name] == nil {
			m[name] = map[int64]float64{}
		}
		for at, v := range samples {
			if _, there := m[name][at]; !there {
				m[name][at] = v
			}
		}
	}
	return b
}

// TestMergedBlockHoldsWhatTheBlocksHeld merges random blocks, one after the other or overlapping, and compares with
// queries over them and with a map.
func TestMergedBlockHoldsWhatTheBlocksHeld(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		dir, m := t.TempDir(), model{}
		var blocks []*block.Block
		var sources []storage.Queryable
		mint := int64(r.IntN(1000)) - 500
		for range 1 + r.IntN(4) {
			maxt := mint + 20 + r.Int64N(1500)
			if b := randomBlock(t, r, dir, mint, maxt, m); b != nil {
				blocks, sources = append(blocks, b), append(sources, b)
			}
			if mint = maxt; seed%2 == 0 {
				mint -= r.Int64N(800)
			}
		}
		if len(blocks) == 0 {
			continue
		}
		want := m.String()
		if got := dump(t, sources...); got != want {
			t.Fatalf("seed %d: queries over the blocks give\n%s\nwant\n%s", seed, got, want)
		}
		meta, err := Merge(t.Context(), Options{Dir: dir, SegmentBytes: 1 << 10}, blocks...)
		if want == "" && errors.Is(err, block.ErrEmpty) {
			continue
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		merged := openBlock(t, dir, meta)
		if got := dump(t, merged); got != want {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, got, want)
		}
		checkChunks(t, merged)
		if n := merged.Tombstones().Count(); n != 0 {
			t.Errorf("seed %d: %d tombstones are left", seed, n)
		}
	}
}

// checkChunks checks what other readers rely on: chunks don't overlap, their times are true, and the counts are right.
func checkChunks(t *testing.T, b *block.Block) {
	t.Helper()
	ids, err := b.Index().AllPostings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var samples, chunks uint64
	for _, id := range ids.AppendTo(nil) {
		metas, err := b.Index().Chunks(id, math.MinInt64, math.MaxInt64, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range metas {
			var c storage.Columns
			if err := b.Samples(m.Ref, &c); err != nil {
				t.Fatal(err)
			}
			if c.Len() == 0 || c.T[0] != m.MinTime || c.T[c.Len()-1] != m.MaxTime || i > 0 && m.MinTime <= metas[i-1].MaxTime {
				t.Fatalf("chunk from %d to %d has samples %v", m.MinTime, m.MaxTime, c.T)
			}
			if _, data, err := b.Chunk(m.Ref); err != nil || len(data) > 2*chunk.MaxBytes || c.Len() > maxSamples {
				t.Fatalf("a chunk of %d samples takes %d bytes: %v", c.Len(), len(data), err)
			}
			samples, chunks = samples+uint64(c.Len()), chunks+1
		}
	}
	if s := b.Meta().Stats; s.NumSamples != samples || s.NumChunks != chunks || s.NumFloatSamples != samples {
		t.Errorf("%d samples in %d chunks, the description says %+v", samples, chunks, s)
	}
}

func ramp(from, to, step int64) (ts []int64, vs []float64) {
	for at := from; at < to; at += step {
		ts, vs = append(ts, at), append(vs, float64(at))
	}
	return ts, vs
}

// TestFullChunksKeepTheirBytes: what was merged before is not encoded again.
func TestFullChunksKeepTheirBytes(t *testing.T) {
	dir := t.TempDir()
	ls := labels.FromStrings("a", "b")
	ts, vs := ramp(0, 2*maxSamples, 1)
	before := xorChunks(ts, vs, maxSamples)
	var blocks []*block.Block
	for i, c := range before {
		w, err := block.NewWriter(block.WriterOptions{Dir: dir, MinTime: c.MinTime, MaxTime: c.MaxTime + 1, Compaction: block.Compaction{Level: 2}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(ls, before[i:i+1]); err != nil {
			t.Fatal(err)
		}
		meta, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, openBlock(t, dir, meta))
	}
	meta, err := Merge(t.Context(), Options{Dir: dir}, blocks...)
	if err != nil {
		t.Fatal(err)
	}
	merged := openBlock(t, dir, meta)
	ids, err := merged.Index().AllPostings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	metas, err := merged.Index().Chunks(ids.AppendTo(nil)[0], math.MinInt64, math.MaxInt64, nil)
	if err != nil || len(metas) != len(before) {
		t.Fatalf("%d chunks became %d, %v", len(before), len(metas), err)
	}
	for i, m := range metas {
		if _, data, err := merged.Chunk(m.Ref); err != nil || !bytes.Equal(data, before[i].Data) {
			t.Errorf("chunk %d changed", i)
		}
	}
}

func TestDescriptionOfAMergedBlock(t *testing.T) {
	dir := t.TempDir()
	var blocks []*block.Block
	for i := range int64(3) {
		w, err := block.NewWriter(block.WriterOptions{Dir: dir, MinTime: i * 10, MaxTime: i*10 + 10, Extra: map[string]json.RawMessage{
			"thanos": json.RawMessage(`{"labels": {"cluster":"a"}}`), "note": json.RawMessage(fmt.Sprint(i)),
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Add(labels.FromStrings("a", "b"), []block.Chunk{xorChunk([]int64{i * 10}, []float64{1})}); err != nil {
			t.Fatal(err)
		}
		meta, err := w.Finish()
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, openBlock(t, dir, meta))
	}
	two, err := Merge(t.Context(), Options{Dir: dir}, blocks[0], blocks[1])
	if err != nil {
		t.Fatal(err)
	}
	m, err := Merge(t.Context(), Options{Dir: dir}, openBlock(t, dir, two), blocks[2])
	if err != nil {
		t.Fatal(err)
	}
	read, err := block.ReadMeta(filepath.Join(dir, m.ULID.String()))
	if err != nil {
		t.Fatal(err)
	}
	c := read.Compaction
	if read.MinTime != 0 || read.MaxTime != 30 || c.Level != 3 || len(c.Hints) != 0 || len(c.Sources) != 3 || !slices.IsSortedFunc(c.Sources, ulid.ULID.Compare) {
		t.Errorf("%+v", read)
	}
	if len(c.Parents) != 2 || c.Parents[0] != (block.Parent{ULID: two.ULID, MinTime: 0, MaxTime: 20}) || c.Parents[1].MinTime != 20 {
		t.Errorf("parents %+v", c.Parents)
	}
	if len(read.Extra) != 1 || !sameJSON(read.Extra["thanos"], json.RawMessage(`{"labels":{"cluster":"a"}}`)) {
		t.Errorf("extra keys %s", read.Extra)
	}
}

func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	ts, vs := ramp(0, 100, 1)
	b := writeBlock(t, dir, 0, 100, oneSeries{labels.FromStrings("a", "b"), xorChunks(ts, vs, 10)})
	all := labels.MustNewMatcher(labels.MatchEqual, "a", "b")
	if err := b.Delete(t.Context(), vfs.OS{}, 0, 1000, all); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(t.Context(), Options{Dir: dir}, b); !errors.Is(err, block.ErrEmpty) {
		t.Fatal(err)
	}
	onlyBlocks(t, dir, 1)
}

// onlyBlocks checks that the folder holds n blocks and nothing half made.
func onlyBlocks(t *testing.T, dir string, n int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != n {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestCancelledMergeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ts, vs := ramp(0, 100, 1)
	b := writeBlock(t, dir, 0, 100, oneSeries{labels.FromStrings("a", "b"), xorChunks(ts, vs, 10)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Merge(ctx, Options{Dir: dir}, b); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	onlyBlocks(t, dir, 1)
}

func TestDamagedChunkStopsTheMerge(t *testing.T) {
	dir := t.TempDir()
	ts, vs := ramp(0, 100, 1)
	b := writeBlock(t, dir, 0, 100, oneSeries{labels.FromStrings("a", "b"), xorChunks(ts, vs, 10)})
	name := filepath.Join(b.Dir(), "chunks", "000001")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-10] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(t.Context(), Options{Dir: dir}, openBlock(t, dir, b.Meta())); !errors.Is(err, block.ErrCorrupt) || !strings.Contains(err.Error(), "000001") {
		t.Fatal(err)
	}
	onlyBlocks(t, dir, 1)
}

// upstreamChunks are chunks that Prometheus wrote, by name.
func upstreamChunks(t *testing.T) map[string]block.Chunk {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "chunk", "testdata", "upstream.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]block.Chunk{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data))
	for lines.Scan() {
		var c struct {
			Name     string
			Encoding chunk.Encoding
			Data     []byte
			Samples  []struct{ T int64 }
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		if n := len(c.Samples); n > 1 {
			all[c.Name] = block.Chunk{Encoding: c.Encoding, Data: c.Data, MinTime: c.Samples[0].T, MaxTime: c.Samples[n-1].T}
		}
	}
	return all
}

// withoutHints drops what histograms say about resets before them: it is not known any more when others come between.
func withoutHints(dump string) string {
	return regexp.MustCompile(`CounterResetHint:\w+ |Hint:\w+ `).ReplaceAllString(dump, "")
}

// TestUnknownEncodingIsRefused: what nobody can read is copied as it is; only where it would have to be written anew, the
// merge is given up, and the blocks stay.
func TestUnknownEncodingIsRefused(t *testing.T) {
	dir := t.TempDir()
	ls := labels.FromStrings("__name__", "m")
	odd := block.Chunk{Encoding: 77, Data: []byte{0, 9, 1, 2, 3}, MinTime: 0, MaxTime: 100}
	a := writeBlock(t, dir, 0, 101, oneSeries{ls, []block.Chunk{odd}})
	b := writeBlock(t, dir, 101, 201, oneSeries{ls, []block.Chunk{xorChunk([]int64{150}, []float64{1})}})
	if _, err := Merge(t.Context(), Options{Dir: dir}, a, b); err != nil {
		t.Error(err)
	}
	c := writeBlock(t, dir, 0, 101, oneSeries{ls, []block.Chunk{xorChunk([]int64{50}, []float64{1})}})
	if _, err := Merge(t.Context(), Options{Dir: dir}, a, c); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "77") {
		t.Errorf("merging gives %v", err)
	}
	onlyBlocks(t, dir, 4)
}

// checkResetsUnknown checks that no chunk of histograms but the first claims to know what was before it.
func checkResetsUnknown(t *testing.T, b *block.Block) {
	t.Helper()
	ids, err := b.Index().AllPostings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	metas, err := b.Index().Chunks(ids.AppendTo(nil)[0], math.MinInt64, math.MaxInt64, nil)
	if err != nil || len(metas) < 2 {
		t.Fatal(metas, err)
	}
	for _, m := range metas[1:] {
		enc, data, err := b.Chunk(m.Ref)
		if err != nil {
			t.Fatal(err)
		}
		// The two highest bits: unknown, no reset, reset, gauge.
		at := 2
		if enc == chunk.EncHistogramST || enc == chunk.EncFloatHistogramST {
			at = 0
		}
		if flags := data[at] >> 6; enc.IsHistogram() && (flags == 1 || flags == 2) {
			t.Errorf("the chunk at %d has flags %d", m.MinTime, flags)
		}
	}
}

// TestOtherEncodings: chunks of all encodings are copied, and those that are the same in two blocks stay one. Where they
// overlap others, or are partly deleted, they are written anew, with their start timestamps.
func TestOtherEncodings(t *testing.T) {
	names := map[chunk.Encoding]string{}
	for name, c := range upstreamChunks(t) {
		if c.Encoding == chunk.EncXOR {
			continue
		}
		names[c.Encoding] = name
		dir := t.TempDir()
		ls := labels.FromStrings("__name__", "m")
		write := func(c block.Chunk) *block.Block {
			return writeBlock(t, dir, c.MinTime, c.MaxTime+1, oneSeries{ls, []block.Chunk{c}})
		}
		a, b := write(c), write(c)
		meta, err := Merge(t.Context(), Options{Dir: dir}, a, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, want := dump(t, openBlock(t, dir, meta)), dump(t, a); got != want || meta.Stats.NumChunks != 1 {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		// Floats between the histograms, and at the time of one, which counts for less.
		late := write(xorChunk([]int64{c.MinTime, c.MinTime + 1, c.MaxTime - 1, c.MaxTime}, []float64{1, 2, 3, 4}))
		if err := b.Delete(t.Context(), vfs.OS{}, c.MaxTime, c.MaxTime, labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")); err != nil {
			t.Fatal(err)
		}
		want := withoutHints(dump(t, b, late))
		meta, err = Merge(t.Context(), Options{Dir: dir}, b, late)
		if err != nil {
			t.Errorf("%s with floats in it: %v", name, err)
			continue
		}
		merged := openBlock(t, dir, meta)
		if got := withoutHints(dump(t, merged)); got != want || strings.Count(got, ":") < 4 {
			t.Errorf("%s with floats in it: got %s, want %s", name, got, want)
		}
		if withST := strings.Contains(name, "start time") && !strings.Contains(name, "without"); withST != strings.Contains(want, "@") {
			t.Errorf("%s: start timestamps are %v", name, !withST)
		}
		if c.Encoding.IsHistogram() {
			checkResetsUnknown(t, merged)
		}
	}
	if len(names) != 5 {
		t.Errorf("only the encodings %v were merged", names)
	}
}
