package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

type testSeries struct {
	ls     labels.Labels
	chunks []ChunkMeta
}

// makeSeries returns n series in label order with labels of different cardinality, some of which lack a label.
func makeSeries(n int) []testSeries {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	all := make([]testSeries, n)
	for i := range all {
		b := labels.NewBuilder(labels.EmptyLabels())
		b.Set("__name__", fmt.Sprintf("metric_%d", i%17)).Set("instance", fmt.Sprintf("host-%03d", i%101))
		b.Set("i", fmt.Sprint(i))
		if i%3 > 0 {
			b.Set("job", []string{"", "api", "node"}[i%3])
		}
		all[i].ls = b.Labels()
	}
	slices.SortFunc(all, func(a, b testSeries) int { return labels.Compare(a.ls, b.ls) })
	ref, at := uint64(8), int64(-5000)
	for i := range all {
		for range r.IntN(4) {
			length := r.Int64N(1 << r.IntN(30))
			all[i].chunks = append(all[i].chunks, ChunkMeta{Ref: ref, MinTime: at, MaxTime: at + length})
			at += length + 1 + r.Int64N(1000)
			ref += 1 + r.Uint64N(1<<r.IntN(34))
		}
		at = r.Int64N(10_000) - 5000
	}
	return all
}

func writeIndex(tb testing.TB, series []testSeries) []byte {
	tb.Helper()
	spool, err := os.CreateTemp(tb.TempDir(), "spool")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = spool.Close() }()
	w := NewWriter(spool)
	for _, s := range series {
		if err := w.Add(s.ls, s.chunks); err != nil {
			tb.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := w.Finish(&out); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func openIndex(tb testing.TB, series []testSeries) *Reader {
	tb.Helper()
	r, err := NewReader(writeIndex(tb, series))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func allIDs(tb testing.TB, r *Reader) []uint32 {
	tb.Helper()
	p, err := r.AllPostings(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return p.AppendTo(nil)
}

func TestSeriesComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 2, 33, 1000} {
		series := makeSeries(n)
		r := openIndex(t, series)
		ids := allIDs(t, r)
		if len(ids) != n {
			t.Fatalf("got %d series, want %d", len(ids), n)
		}
		var b Scratch
		for i, id := range ids {
			ls, err := r.Labels(id, &b)
			if err != nil || !labels.Equal(ls, series[i].ls) {
				t.Fatalf("series %d: got %s, %v, want %s", i, ls, err, series[i].ls)
			}
			chunks, err := r.Chunks(id, math.MinInt64, math.MaxInt64, nil)
			if err != nil || !slices.Equal(chunks, series[i].chunks) {
				t.Fatalf("series %d: got chunks %v, %v, want %v", i, chunks, err, series[i].chunks)
			}
			for _, name := range []string{"job", "i", "nothing"} {
				if v, err := r.LabelValue(id, name); err != nil || v != ls.Get(name) {
					t.Fatalf("series %s: got %q for %s, %v", ls, v, name, err)
				}
			}
		}
	}
}

func TestChunksOfARange(t *testing.T) {
	chunks := []ChunkMeta{{8, 0, 9}, {20, 10, 19}, {30, 20, 29}}
	r := openIndex(t, []testSeries{{labels.FromStrings("a", "b"), chunks}})
	id := allIDs(t, r)[0]
	check := func(mint, maxt int64, want []ChunkMeta) {
		t.Helper()
		if got, err := r.Chunks(id, mint, maxt, nil); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d..%d: got %v, %v, want %v", mint, maxt, got, err, want)
		}
	}
	check(0, 29, chunks)
	check(9, 10, chunks[:2])
	check(19, 19, chunks[1:2])
	check(30, 99, nil)
	check(-9, -1, nil)
}

func TestNamesAndValues(t *testing.T) {
	series := makeSeries(500)
	r := openIndex(t, series)
	want := map[string]map[string]bool{}
	for _, s := range series {
		for name, value := range s.ls.All() {
			if want[name] == nil {
				want[name] = map[string]bool{}
			}
			want[name][value] = true
		}
	}
	names := r.LabelNames()
	if len(names) != len(want) || !slices.IsSorted(names) {
		t.Fatalf("got names %v", names)
	}
	for _, name := range names {
		values := r.LabelValues(name, 0)
		if len(values) != len(want[name]) || !slices.IsSorted(values) || r.ValueCount(name) != len(values) {
			t.Fatalf("got %d values of %s, want %d", len(values), name, len(want[name]))
		}
		if got := r.LabelValues(name, 2); len(got) != 2 {
			t.Fatalf("got %v with a limit of 2", got)
		}
	}
	if got := r.LabelValues("", 0); got != nil {
		t.Fatalf("got values %v of no name", got)
	}
}

func TestWriterRefusesDisorder(t *testing.T) {
	check := func(what string, series ...testSeries) {
		t.Helper()
		w := NewWriter(nil)
		var err error
		for _, s := range series {
			err = errors.Join(err, w.Add(s.ls, s.chunks))
		}
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	a, b := labels.FromStrings("a", "1"), labels.FromStrings("a", "2")
	check("series out of order", testSeries{b, nil}, testSeries{a, nil})
	check("series twice", testSeries{a, nil}, testSeries{a, nil})
	check("chunk ends before it begins", testSeries{a, []ChunkMeta{{8, 5, 4}}})
	check("chunks overlap", testSeries{a, []ChunkMeta{{8, 5, 9}, {9, 9, 12}}})
	check("references do not ascend", testSeries{a, []ChunkMeta{{8, 5, 9}}}, testSeries{b, []ChunkMeta{{8, 5, 9}}})
}

// TestEachFlippedByteIsNoticed: with any byte of a small index damaged, opening and reading everything either fails
// or, where padding was hit, gives the same.
func TestEachFlippedByteIsNoticed(t *testing.T) {
	series := makeSeries(20)
	data := writeIndex(t, series)
	whole, err := readEverything(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 0x10
		got, err := readEverything(bad)
		if err == nil && got != whole {
			t.Fatalf("byte %d damaged: read something else without an error", i)
		}
		bad = data[:i]
		if _, err := readEverything(bad); err == nil {
			t.Fatalf("cut to %d bytes: no error", i)
		}
	}
}

func readEverything(data []byte) (string, error) {
	r, err := NewReader(data)
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	all, err := r.AllPostings(ctx)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	var b Scratch
	for _, id := range all.AppendTo(nil) {
		ls, err := r.Labels(id, &b)
		if err != nil {
			return "", err
		}
		chunks, err := r.Chunks(id, math.MinInt64, math.MaxInt64, nil)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&out, ls, chunks)
	}
	for _, name := range r.LabelNames() {
		err := r.EachPostings(ctx, name, func(value string, p Postings) bool {
			fmt.Fprintln(&out, name, value, p.AppendTo(nil))
			return true
		})
		if err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

func TestErrorsNameTheDamage(t *testing.T) {
	data := writeIndex(t, makeSeries(5))
	data[20] ^= 1
	_, err := NewReader(data)
	if want := "corrupt index: symbol table at offset 5: the checksum does not match"; !errors.Is(err, ErrCorrupt) || err.Error() != want {
		t.Fatalf("got %v", err)
	}
}
