package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/narthex-io/narthex/model/labels"
	"github.com/narthex-io/narthex/storage"
	"github.com/narthex-io/narthex/tsdb/block"
)

// imported is what became of a text: blocks as FIRST-LAST, and samples as LABELS VALUE MILLIS.
type imported struct {
	blocks, samples []string
}

func read(t *testing.T, dir string) (got imported) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []*block.Block
	for _, e := range entries {
		b, err := block.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	slices.SortFunc(blocks, func(a, b *block.Block) int { return int(a.Meta().MinTime - b.Meta().MinTime) })
	for _, b := range blocks {
		m := b.Meta()
		got.blocks = append(got.blocks, fmt.Sprintf("%d-%d", m.MinTime, m.MaxTime))
		q, err := b.Querier(math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
		samples := uint64(0)
		for set.Next() {
			var c storage.Columns
			r := set.At().Samples(nil)
			for r.Read(&c) {
			}
			for i := range c.T {
				got.samples = append(got.samples, fmt.Sprintf("%s %v %d", set.At().Labels(), c.F[i], c.T[i]))
			}
			samples += uint64(c.Len())
		}
		if set.Err() != nil || samples != m.Stats.NumSamples {
			t.Error(set.Err(), samples, m.Stats)
		}
		if err := errors.Join(q.Close(), b.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func om(text ...string) string { return strings.Join(text, "\n") + "\n# EOF\n" }

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestImport(t *testing.T) {
	check := func(opts Options, text string, wantBlocks []string, want ...string) {
		t.Helper()
		opts.Input, opts.Name, opts.OutputDir = strings.NewReader(text), "in", filepath.Join(t.TempDir(), "new", "data")
		metas, err := Import(t.Context(), opts)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		got := read(t, opts.OutputDir)
		equal(t, text, got.blocks, wantBlocks...)
		equal(t, text, got.samples, want...)
		for i, m := range metas {
			if b := fmt.Sprintf("%d-%d", m.MinTime, m.MaxTime); b != wantBlocks[i] {
				t.Errorf("block %d is %s", i, b)
			}
		}
	}
	check(Options{}, "# EOF", nil)
	check(Options{}, "# HELP a text\n# TYPE a counter\n# EOF\n", nil)
	// Any order, two windows, the border between them, the same sample twice.
	check(Options{}, om(`a{x="1"} 3 7200`, `b 1 1`, `a{x="1"} 1 7199.999`, `a{x="1"} 2 100.5`, `b 1 1`, `c NaN 100`),
		[]string{"1000-7200000", "7200000-7200001"},
		`{__name__="a", x="1"} 2 100500`, `{__name__="a", x="1"} 1 7199999`, `{__name__="b"} 1 1000`, `{__name__="c"} NaN 100000`, `{__name__="a", x="1"} 3 7200000`)
	// Times before 1970.
	check(Options{}, om(`a 1 -0.001`, `a 2 -7200`, `a 3 -7200.001`, `a 4 0`), []string{"-7200001--7200000", "-7200000-0", "0-1"},
		`{__name__="a"} 3 -7200001`, `{__name__="a"} 2 -7200000`, `{__name__="a"} 1 -1`, `{__name__="a"} 4 0`)
	// Labels in other orders are the same series; those given on the command line win, and empty ones go away.
	check(Options{Labels: map[string]string{"x": "0", "job": "j", "y": ""}}, om(`a{y="2",x="1"} 1 1`, `a{x="1",y="2"} 2 2`, `a 3 3`), []string{"1000-3001"},
		`{__name__="a", job="j", x="0"} 1 1000`, `{__name__="a", job="j", x="0"} 2 2000`, `{__name__="a", job="j", x="0"} 3 3000`)
	check(Options{}, om(`{"a.b","c d"="\"\\\n"} 1 1`, `e{f="g"} 1 1 # {id="x"} 2 3`), []string{"1000-1001"}, `{__name__="a.b", "c d"="\"\\\n"} 1 1000`, `{__name__="e", f="g"} 1 1000`)
	// Buckets are brought into one form in histograms, and nowhere else.
	check(Options{}, om("# TYPE h histogram", `h_bucket{le="1"} 1 1`, "# TYPE g gauge", `g{le="1"} 1 1`), []string{"1000-1001"},
		`{__name__="g", le="1"} 1 1000`, `{__name__="h_bucket", le="1.0"} 1 1000`)
	check(Options{Span: 6 * time.Hour}, om("a 1 0", "a 2 21599", "a 3 21600"), []string{"0-21599001", "21600000-21600001"},
		`{__name__="a"} 1 0`, `{__name__="a"} 2 21599000`, `{__name__="a"} 3 21600000`)
}

func TestMistakes(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		parent := t.TempDir()
		dir := filepath.Join(parent, "data")
		_, err := Import(t.Context(), Options{Input: strings.NewReader(text), Name: "in", OutputDir: dir, RunSamples: 2})
		if _, mistake := errors.AsType[*Error](err); !mistake || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
		if entries, _ := os.ReadDir(parent); len(entries) > 0 {
			t.Errorf("%q left %v", text, entries)
		}
	}
	check("", "in:1: the file does not end with # EOF: it was cut off or is not OpenMetrics")
	check("a 1 1\nb 2 2\n", "in:3: the file does not end with # EOF: it was cut off or is not OpenMetrics")
	check("a 1 1\n\n# EOF\n", `in:2: expected a metric name: ""`)
	check("a 1 1\n# EOF\na 1 1\n", `in:2: unexpected content after # EOF: "# EOF"`)
	check(om("a 1 1", "b 2"), "in:2: sample of b has no timestamp: without one, it has no place in a block")
	check(om("a 1 1", "b x 2"), `in:2: "x" is not a value: "b x 2"`)
	check(om("a 1 1", "a 1 2", "a 1 3", `b{c="1",c="2"} 2 2`), `in:4: b{c="1",c="2"} has the label "c" twice`)
	check(om("a 1 1", `b{c=1} 2 2`), `in:2: expected a label value in double quotes after "c=": "b{c=1} 2 2"`)
	check(om("a 1 1", "a 1 1e300"), "in:2: timestamp of a is out of range")
	check(om("a 1 1", "a 1 NaN"), `in:2: invalid timestamp NaN: "a 1 NaN"`)
	check(om("a 1 1", "c 2 2", "b 3 3", "d 4 4", "a 5 1"), `in:5: {__name__="a"} at 1.000 is 5, but 1 in line 1`)
	check(om("a 1 1", `a 1 2 # {x="1} 1 1`), `in:2: exemplar: a string without closing quote: "a 1 2 # {x=\"1} 1 1"`)
}

func TestInputFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	_, err := Import(t.Context(), Options{Input: iotest.TimeoutReader(strings.NewReader("a 1 1\n")), Name: "in", OutputDir: dir})
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Import(ctx, Options{Input: strings.NewReader("a 1 1\n# EOF\n"), Name: "in", OutputDir: dir}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Error(entries)
	}
	if _, err := Import(ctx, Options{OutputDir: dir, Span: -time.Hour}); err == nil {
		t.Error("a negative span is taken")
	}
}

// text makes samples of some series over some time, in a random order, and what is to become of them.
func text(seed uint64) (text string, want []string) {
	rng := rand.New(rand.NewPCG(seed, 0))
	type point struct {
		series string
		t      int64
		v      float64
	}
	seen := map[string]bool{}
	var all []point
	for range 2000 {
		p := point{fmt.Sprintf(`{__name__="m%d", l="%s"}`, rng.IntN(3), strings.Repeat("x", rng.IntN(5)+1)), rng.Int64N(30_000) * 1000, float64(rng.IntN(100))}
		if key := fmt.Sprint(p.series, p.t); !seen[key] {
			seen[key] = true
			all = append(all, p)
		}
	}
	var b strings.Builder
	for _, p := range all {
		name, rest, _ := strings.Cut(strings.TrimPrefix(p.series, `{__name__="`), `", `)
		fmt.Fprintf(&b, "%s{%s %v %d\n", name, rest, p.v, p.t/1000)
	}
	slices.SortFunc(all, func(a, b point) int {
		if a.t/7_200_000 != b.t/7_200_000 {
			return int(a.t/7_200_000 - b.t/7_200_000)
		}
		if c := strings.Compare(a.series, b.series); c != 0 {
			return c
		}
		return int(a.t - b.t)
	})
	for _, p := range all {
		want = append(want, fmt.Sprintf("%s %v %d", p.series, p.v, p.t))
	}
	return b.String() + "# EOF\n", want
}

// TestRuns: however little is sorted at once, and however the text arrives, the blocks have the same samples.
func TestRuns(t *testing.T) {
	in, want := text(1)
	for _, n := range []int{1, 7, 100, 1999, 1 << 20} {
		dir := t.TempDir()
		input := io.Reader(strings.NewReader(in))
		if n == 7 {
			input = iotest.HalfReader(iotest.DataErrReader(input))
		}
		if _, err := Import(t.Context(), Options{Input: input, Name: "in", OutputDir: dir, RunSamples: n}); err != nil {
			t.Fatal(err)
		}
		got := read(t, dir)
		equal(t, fmt.Sprintf("runs of %d", n), got.samples, want...)
		if len(got.blocks) != 5 {
			t.Error(got.blocks)
		}
	}
}

// TestParts: lines that are cut by the end of a part, and long ones.
func TestParts(t *testing.T) {
	long := strings.Repeat("v", 3*partBytes)
	var b strings.Builder
	fmt.Fprintf(&b, "# TYPE h histogram\n# HELP h %s\n", strings.Repeat("t", partBytes-50))
	for i := range 100 {
		fmt.Fprintf(&b, "h_bucket{le=\"1\",i=\"%d\"} 1 %d\n", i%3, i)
	}
	fmt.Fprintf(&b, "long{l=\"%s\"} 1 1\n# EOF\n", long)
	dir := t.TempDir()
	if _, err := Import(t.Context(), Options{Input: strings.NewReader(b.String()), Name: "in", OutputDir: dir}); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir)
	if len(got.samples) != 101 || got.samples[0] != `{__name__="h_bucket", i="0", le="1.0"} 1 0` || !strings.Contains(got.samples[100], long) {
		t.Errorf("%d samples, %.200s", len(got.samples), got.samples)
	}
	_, err := Import(t.Context(), Options{Input: strings.NewReader("a 1 1\n# HELP a " + strings.Repeat("x", maxLine)), Name: "in", OutputDir: dir})
	if err == nil || err.Error() != "in:2: a line is longer than 16 MiB" {
		t.Errorf("%.200v", err)
	}
	check := func(text, want string) {
		t.Helper()
		text = "# HELP a " + strings.Repeat("x", partBytes-10) + "\n" + text
		_, err := Import(t.Context(), Options{Input: strings.NewReader(text), Name: "in", OutputDir: dir})
		if err == nil || err.Error() != want {
			t.Errorf("%.200v", err)
		}
	}
	check("a 1 1\nb\n", `in:3: expected a blank and a value: "b"`)
	check("a 1 1\n# EOF\n"+strings.Repeat("a 1 1\n", partBytes), `in:3: unexpected content after # EOF: "# EOF"`)
}

func TestBlockSpan(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{
		0: 2, time.Hour: 2, 5 * time.Hour: 2, 6 * time.Hour: 6, 17 * time.Hour: 6, 18 * time.Hour: 18, 30 * 24 * time.Hour: 486, math.MaxInt64: 39366,
	} {
		if got := BlockSpan(limit); got != want*time.Hour {
			t.Errorf("%s: %s, want %d h", limit, got, want)
		}
	}
}

// FuzzSort: whatever the text, there is either a mistake or groups that are in order, within their windows.
func FuzzSort(f *testing.F) {
	in, _ := text(2)
	f.Add(in[:200] + "\n# EOF\n")
	f.Add(om(`{"a.b","c d"="\"\\\n"} 1 1`, "# TYPE a histogram", `a{le="1"} NaN -1e9 # {} 1`))
	f.Fuzz(func(t *testing.T, in string) {
		spool, err := os.Create(filepath.Join(t.TempDir(), "spool"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = spool.Close() }()
		opts := Options{Input: strings.NewReader(in), Name: "in", Span: defaultSpan, RunSamples: 3}
		r := newRuns(spool, opts)
		if err := r.read(t.Context(), opts); err != nil {
			if _, mistake := errors.AsType[*Error](err); !mistake {
				t.Error(err)
			}
			return
		}
		m, err := r.merge()
		if err != nil {
			t.Fatal(err)
		}
		last, first := group{}, true
		for m.next() {
			g := m.group
			if !first && (g.window < last.window || g.window == last.window && labels.Compare(g.labels, last.labels) <= 0) {
				t.Errorf("%v comes after %v", g, last)
			}
			for i, s := range g.rows {
				b := r.windows[g.window]
				if windowOf(s.t, r.span) != g.window || s.t < b.min || s.t > b.max || i > 0 && s.t < g.rows[i-1].t {
					t.Errorf("%v in %v", s, g)
				}
			}
			last, first = group{window: g.window, labels: g.labels}, false
		}
		if m.err != nil {
			t.Error(m.err)
		}
	})
}

// BenchmarkImport reads 1000 series with 240 samples each, as dumps have them and as scrapes do.
func BenchmarkImport(b *testing.B) {
	bySeries, byTime := make([]string, 0, 240_000), make([]string, 240_000)
	for i := range 1000 {
		for k := range 240 {
			line := fmt.Sprintf("http_requests_total{instance=\"host-%04d:9090\",job=\"api\"} %d %d.000\n", i, k*(i%7+1), k*15)
			bySeries = append(bySeries, line)
			byTime[k*1000+i] = line
		}
	}
	for order, all := range map[string][]string{"series": bySeries, "time": byTime} {
		in := strings.Join(all, "") + "# EOF\n"
		b.Run("order="+order, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, err := Import(b.Context(), Options{Input: strings.NewReader(in), Name: "in", OutputDir: b.TempDir()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
