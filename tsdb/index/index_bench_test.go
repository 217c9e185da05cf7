package index

import (
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/narthex-io/narthex/model/labels"
)

// benchIndex has 200,000 series: 100 metrics on 2,000 instances of 5 jobs.
func benchIndex(b *testing.B) []byte {
	b.Helper()
	var series []testSeries
	for m := range 100 {
		for i := range 2000 {
			series = append(series, testSeries{
				ls: labels.FromStrings("__name__", fmt.Sprintf("some_metric_name_%03d_total", m), "instance", fmt.Sprintf("host-%04d:9100", i),
					"job", fmt.Sprintf("job-%d", i%5), "pod", fmt.Sprintf("pod-%d-%d", i, m%10)),
			})
		}
	}
	slices.SortFunc(series, func(a, b testSeries) int { return labels.Compare(a.ls, b.ls) })
	ref := uint64(0)
	for i := range series {
		for c := range int64(4) {
			ref += 200
			series[i].chunks = append(series[i].chunks, ChunkMeta{ref, c * 1_800_000, c*1_800_000 + 1_799_999})
		}
	}
	return writeIndex(b, series)
}

func BenchmarkOpen(b *testing.B) {
	data := benchIndex(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := NewReader(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPostingsForMatchers(b *testing.B) {
	r, err := NewReader(benchIndex(b))
	if err != nil {
		b.Fatal(err)
	}
	m := labels.MustNewMatcher
	name := m(labels.MatchEqual, "__name__", "some_metric_name_050_total")
	for kind, ms := range map[string][]*labels.Matcher{
		"equal":           {name, m(labels.MatchEqual, "job", "job-3")},
		"equal-one":       {name, m(labels.MatchEqual, "instance", "host-0500:9100")},
		"set":             {name, m(labels.MatchRegexp, "job", "job-1|job-2")},
		"prefix":          {name, m(labels.MatchRegexp, "instance", "host-01.*")},
		"regex":           {name, m(labels.MatchRegexp, "pod", ".*-7")},
		"regex-alone":     {m(labels.MatchRegexp, "pod", ".*-7")},
		"negative":        {name, m(labels.MatchNotEqual, "job", "job-3")},
		"negative-regex":  {name, m(labels.MatchNotRegexp, "instance", "host-0.*")},
		"nonempty-alone":  {m(labels.MatchNotEqual, "pod", "")},
		"negative-widely": {m(labels.MatchEqual, "job", "job-3"), m(labels.MatchNotEqual, "__name__", "some_metric_name_050_total")},
	} {
		b.Run("matchers="+kind, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				ids, err := PostingsForMatchers(b.Context(), r, ms...)
				if err != nil {
					b.Fatal(err)
				}
				n = len(ids)
			}
			b.ReportMetric(float64(n), "series")
		})
	}
}

func BenchmarkSeries(b *testing.B) {
	r, err := NewReader(benchIndex(b))
	if err != nil {
		b.Fatal(err)
	}
	all, err := r.AllPostings(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	ids := all.AppendTo(nil)
	b.Run("read=labels", func(b *testing.B) {
		b.ReportAllocs()
		var scratch Scratch
		i := 0
		for b.Loop() {
			if _, err := r.Labels(ids[i%len(ids)], &scratch); err != nil {
				b.Fatal(err)
			}
			i += 7
		}
	})
	b.Run("read=chunks", func(b *testing.B) {
		b.ReportAllocs()
		var chunks []ChunkMeta
		i := 0
		for b.Loop() {
			if chunks, err = r.Chunks(ids[i%len(ids)], math.MinInt64, math.MaxInt64, chunks[:0]); err != nil {
				b.Fatal(err)
			}
			i += 7
		}
	})
}

func BenchmarkUnion(b *testing.B) {
	sets := make([]Postings, 100)
	for i := range sets {
		var ids IDs
		for k := range 1000 {
			ids = append(ids, uint32(3*(k*100+i)))
		}
		sets[i] = ids
	}
	b.Run("sort=bitmap", func(b *testing.B) {
		b.ReportAllocs()
		var dst []uint32
		for b.Loop() {
			dst = Union(sets...).AppendTo(dst[:0])
		}
	})
	b.Run("sort=slices", func(b *testing.B) {
		b.ReportAllocs()
		var dst []uint32
		for b.Loop() {
			dst = dst[:0]
			for _, p := range sets {
				dst = p.AppendTo(dst)
			}
			slices.Sort(dst)
			dst = slices.Compact(dst)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	series := makeSeries(20_000)
	spool, err := os.CreateTemp(b.TempDir(), "spool")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = spool.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := spool.Seek(0, io.SeekStart); err != nil {
			b.Fatal(err)
		}
		w := NewWriter(spool)
		for _, s := range series {
			if err := w.Add(s.ls, s.chunks); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Finish(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(series)), "ns/series")
}
